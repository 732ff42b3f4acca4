"""Loading: a file or a folder becomes a model with a contract that it agrees with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeanim.core.contract import dump_contract
from edgeanim.core.errors import BadInput
from edgeanim.graph.load import infer_contract, load_model, save_model

IMAGE = ("float[1,3,16,16] x", "float[1,3,16,16] y")


def test_a_bare_onnx_gets_a_contract(tiny_onnx: Callable[..., Path]) -> None:
    path = tiny_onnx(32)
    model = load_model(path)
    (graph,) = model.contract.graphs
    assert graph.runs == "frame"
    assert (graph.name, graph.file) == ("tiny", "tiny.onnx")
    assert graph.inputs[0].role == "driving_frame"
    assert graph.outputs[0].role == "frame"
    assert graph.outputs[0].layout == "NCHW"
    assert graph.outputs[0].range == (0.0, 1.0)
    assert model.graphs[0].path == path
    assert model.contract == infer_contract(path)


def test_a_channels_last_net_with_a_condition(style_model: Path) -> None:
    (graph,) = load_model(style_model).contract.graphs
    picture, style = graph.inputs
    assert (picture.role, picture.layout, picture.size) == ("driving_frame", "NHWC", (384, 384))
    assert style.role == "condition:mobilenet_conv_Conv_BiasAdd"
    assert (style.layout, style.range) == ("plain", None)
    assert graph.outputs[0].range == (0.0, 1.0)


def test_an_own_contract_replaces_the_inferred_one(tiny_onnx: Any, tmp_path: Path) -> None:
    path = tiny_onnx(32)
    contract = infer_contract(path)
    spec = contract.graphs[0]
    signed = replace(spec, inputs=(replace(spec.inputs[0], range=(-1.0, 1.0)),))
    toml = tmp_path / "model.toml"
    toml.write_text(dump_contract(replace(contract, graphs=(signed,))))
    model = load_model(path, toml)
    assert model.contract.graphs[0].inputs[0].range == (-1.0, 1.0)
    assert model.digest != load_model(path).digest

    wrong = replace(spec, inputs=(replace(spec.inputs[0], shape=(1, 3, 64, 64)),))
    toml.write_text(dump_contract(replace(contract, graphs=(wrong,))))
    said = r"\[1, 3, 64, 64\]; in the graph it is \[1, 3, 32, 32\]\. Correct the contract"
    with pytest.raises(BadInput, match=said):
        load_model(path, toml)


def test_a_saved_folder_loads_again(tiny_onnx: Any, tmp_path: Path) -> None:
    path = tiny_onnx(32)
    contract = infer_contract(path)
    folder = save_model(contract, {"tiny": path}, tmp_path / "model")
    model = load_model(folder)
    assert model.contract == contract
    assert model.graphs[0].path == folder / "tiny.onnx"
    assert load_model(folder).digest == model.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("name", [b"r\xff.onnx", b"9:16.onnx", b"a\\b.onnx", b"my net.onnx"])
def test_a_file_of_any_name_becomes_a_folder(name: bytes, tiny_onnx: Any, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(tiny_onnx(16).read_bytes())
    model = load_model(path)
    (graph,) = model.graphs
    folder = save_model(model.contract, {graph.spec.name: path}, tmp_path / "saved")
    assert load_model(folder).contract == model.contract


def test_a_folder_without_a_contract_or_graph(tmp_path: Path, tiny_onnx: Any) -> None:
    with pytest.raises(BadInput, match=r"holds no model\.toml"):
        load_model(tmp_path)
    (tmp_path / "int8").mkdir()  # as the demo leaves its models
    (tmp_path / "int8" / "model.toml").touch()
    with pytest.raises(BadInput, match=r"Give the folder of a model, .*, like int8\.$"):
        load_model(tmp_path)
    (tmp_path / "model.toml").write_text(dump_contract(infer_contract(tiny_onnx(32))))
    with pytest.raises(BadInput, match="No such file"):
        load_model(tmp_path)


def test_a_strangers_folder_of_onnx_files_tells_which_to_give(tmp_path: Path) -> None:
    for name in ("style.onnx", "coarse.onnx", "weights.npy"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=r"an \.onnx file itself, like coarse\.onnx\.$"):
        load_model(tmp_path)


def test_a_graph_outside_the_folder_is_refused(tmp_path: Path, tiny_onnx: Any) -> None:
    contract = infer_contract(tiny_onnx(32))
    escaped = replace(contract, graphs=(replace(contract.graphs[0], file="../tiny.onnx"),))
    (tmp_path / "model.toml").write_text(dump_contract(escaped))
    with pytest.raises(BadInput, match="leads outside"):
        load_model(tmp_path)


def test_dynamic_outputs_are_found_by_running(graph: Any, save: Any) -> None:
    path = save(graph(IMAGE[0], "float[1,3,h,w] y", "y = Sigmoid (x)"))
    assert load_model(path).contract.graphs[0].outputs[0].shape == (1, 3, 16, 16)
