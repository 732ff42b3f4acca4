"""An .onnx that is not static float32, but means it, goes through the commands' functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim import api
from edgeanim.core.errors import BadInput
from edgeanim.core.progress import Silent
from edgeanim.core.store import Store


class Notes(Silent):
    """Progress that remembers what was noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def done(self, note: str = "") -> None:
        self.said.append(note)


def batched(path: Path, size: int) -> Path:
    """A copy of the model at `path` whose batch is open, and whose pictures have `size` lines."""
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        dims[2].dim_value = size
    copy = path.with_name("batched.onnx")
    onnx.save(model, str(copy))
    return copy


def test_an_open_batch_is_told_of_and_played_as_one_picture(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    path, store, notes = batched(tiny_onnx(32, 4), 32), Store(tmp_path / "store"), Notes()
    (graph,) = api.inspect(path, store=store).graphs
    assert graph.warnings[0] == "The batch (batch) is fixed at 1."
    assert graph.spec.inputs[0].shape == (1, 3, 32, 32)
    bundle = tmp_path / "net.eab"
    api.compile(
        path, out=bundle, backends=("onnxruntime",), frames=photos, store=store, progress=notes
    )
    assert notes.said[0] == "The batch (batch) is fixed at 1."
    assert bundle.is_file()


def test_a_copy_of_another_name_is_a_model_of_its_own(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    """The store held the first one's file, and the copy was said not to be there."""
    path, store = batched(tiny_onnx(32, 4), 32), Store(tmp_path / "store")
    assert api.inspect(path, store=store).contract.name == "batched"
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    assert api.inspect(copy, store=store).contract.name == "copy"


def test_a_model_that_takes_anothers_place_is_read_anew(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    for size in (32, 48):
        path = batched(tiny_onnx(size, 4), size)
        (graph,) = api.inspect(path.rename(tmp_path / "net.onnx"), store=store).graphs
        assert graph.spec.inputs[0].shape == (1, 3, size, size)


def test_what_is_wrong_all_the_same_is_told_of_the_users_file(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    path = batched(tiny_onnx(32, 4), 4)
    with pytest.raises(BadInput) as caught:
        api.inspect(path, store=Store(tmp_path / "store"))
    assert caught.value.where == str(path)


def test_a_graph_that_is_quantised_already_is_told_of(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    path = tiny_onnx(32, 4)
    model = onnx.load(str(path))
    (name,) = (value.name for value in model.graph.input)
    scale, zero = np.array(1 / 255, np.float32), np.array(0, np.uint8)
    for label, value in (("scale", scale), ("zero", zero)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, label))
    for node in model.graph.node:
        node.input[:] = ["rounded" if given == name else given for given in node.input]
    pair = [
        onnx.helper.make_node("QuantizeLinear", [name, "scale", "zero"], ["bytes"], "round"),
        onnx.helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["rounded"]),
    ]
    nodes = [*pair, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))
    with pytest.raises(BadInput, match=r"quantised already: QuantizeLinear 'round'"):
        api.quantize(path, calib=photos, out=tmp_path / "int8", store=Store(tmp_path / "store"))
