"""Weights that lie beside the file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model, save_model
from edgeanim.graph.reading.external import external_files

IMAGE = ("float[1,3,16,16] x", "float[1,3,16,16] y")


def _external(graph: Any, folder: Path, location: str) -> Path:
    model = graph(*IMAGE, "y = Mul (x, scale)", {"scale": (3, 1, 1)})
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_file_are_read_hashed_and_missed(
    graph: Any, tmp_path: Path
) -> None:
    path = _external(graph, tmp_path, "weights.bin")
    model = load_model(path)
    folder = save_model(model.contract, {model.contract.graphs[0].name: path}, tmp_path / "m")
    assert sorted(p.name for p in folder.iterdir()) == ["model.onnx", "model.toml"]

    changed = bytearray((tmp_path / "weights.bin").read_bytes())
    changed[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(changed)
    assert load_model(path).digest != model.digest, "the digest covers external weights"

    (tmp_path / "weights.bin").write_bytes(changed[:-4])
    with pytest.raises(BadInput, match=r"short|raw_data size"):
        load_model(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadInput, match="external data file of the weight 'scale' is missing"):
        load_model(path)


def test_external_data_are_found_beside_numbers_below_zero(graph: Any, tmp_path: Path) -> None:
    """Protobuf writes them in ten bytes."""
    path = _external(graph, tmp_path, "weights.bin")
    model = onnx.load(str(path), load_external_data=False)
    model.graph.node[0].output[0] = "scaled"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["scaled"], ["y"], axis=-1))
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in external_files(path)] == ["weights.bin"]


def test_external_data_of_branches_and_functions_are_found(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1] x) => (float[1] y) {
        y = If (c) <
          then_branch = one () => (float[1] p) { p = Constant <value = float[1] {1.0}> () },
          else_branch = two () => (float[1] q) { q = local.half (x) }
        >
      }
      <opset_import: ["": 18], domain: "local">
      half (a) => (b) { k = Constant <value = float[1] {0.5}> () \n b = Mul (a, k) }"""
    model = onnx.parser.parse_model(text)
    branch = model.graph.node[0].attribute[0].g.node[0].attribute[0].t
    for tensor, name in ((branch, "b.bin"), (model.functions[0].node[0].attribute[0].t, "f.bin")):
        (tmp_path / name).write_bytes(tensor.raw_data)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in external_files(path)] == ["b.bin", "f.bin"]


@given(data=st.data())
def test_damage_is_bad_input_where_external_data_are_looked_for(
    graph: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = _external(graph, tmp_path_factory.mktemp("damaged"), "weights.bin")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(BadInput):
        assert len(external_files(path)) <= 1


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "link.bin"])
def test_external_data_outside_is_refused(graph: Any, tmp_path: Path, location: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = _external(graph, inner, location)
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    (inner / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BadInput, match="leads outside its folder"):
        load_model(path)
