"""Files that others made run as they are, with a contract inferred from the file itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.errors import BadInput
from edgeanim.targets.backends import (
    ReadsForeign,
    SessionOptions,
    backend_names,
    get_backend,
)
from edgeanim.targets.prebuilt import load_prebuilt, prebuilt_suffixes

KINDS = [
    (name, precision)
    for name in backend_names()
    for precision in ("float32", "int8")
    if get_backend(name).int8_scheme
]


@pytest.mark.parametrize(("name", "precision"), KINDS)
def test_a_file_alone_gives_contract_precision_and_picture(
    name: str, precision: str, compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    graph = compiled(name, precision)
    contract, variant = load_prebuilt(graph.files[0], tmp_path)
    assert variant.id == f"{name}-{precision}"
    (spec,) = contract.graphs
    (image,), (result,) = spec.inputs, spec.outputs
    assert (image.role, result.role) == ("driving_frame", "frame")
    assert (image.size, image.layout) == ((64, 64), graph.spec.inputs[0].layout)
    picture = np.random.default_rng(0).random(image.shape, dtype=np.float32)
    backend = get_backend(name)
    theirs = backend.load(variant.graphs[0], SessionOptions()).run({image.name: picture})
    ours = backend.load(graph, SessionOptions()).run({"image": picture})
    np.testing.assert_array_equal(theirs[result.name], ours["result"])


def test_onnx_needs_no_onnx_package(compiled: Callable[..., CompiledGraph], tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.modules['onnx'] = None; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from edgeanim.targets.prebuilt import load_prebuilt\n"
        "print(json.dumps(load_prebuilt(Path(sys.argv[1]), Path(sys.argv[2]))[1].id))"
    )
    file = compiled("onnxruntime", "int8").files[0]
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "onnxruntime-int8"


@pytest.mark.parametrize(("name", "precision"), KINDS)
@pytest.mark.parametrize("content", [b"", b"not a graph", None])
def test_damaged_files_are_bad_input(
    name: str,
    precision: str,
    content: bytes | None,
    compiled: Callable[..., CompiledGraph],
    tmp_path: Path,
) -> None:
    graph = compiled(name, precision)
    for file in graph.files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / graph.files[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(BadInput) as caught:
        load_prebuilt(path, tmp_path / "work")
    assert str(path) in str(caught.value)
    assert str(tmp_path / "work") not in str(caught.value)


def test_names_that_are_no_texts_are_bad_input(
    compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    backend, whole = get_backend("tflite"), compiled("tflite", "float32").files[0]
    assert isinstance(backend, ReadsForeign)
    content = whole.read_bytes()
    path = tmp_path / "odd.tflite"
    for name in (backend.interface(whole).inputs[0].name.encode(), b"litert_torch"):
        assert name in content
        path.write_bytes(content.replace(name, b"\xff" + name[1:]))
        with pytest.raises(BadInput, match=r"odd\.tflite: The names"):
            load_prebuilt(path, tmp_path / "work")


def test_what_no_backend_reads_is_refused_with_what_it_could_be(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"x")
    with pytest.raises(BadInput, match=r"\.tflite"):
        load_prebuilt(path, tmp_path / "work")
    assert set(prebuilt_suffixes()) == {".onnx", ".xml", ".tflite"}
    with pytest.raises(BadInput, match="No such file"):
        load_prebuilt(tmp_path / "absent.onnx", tmp_path / "work")


def _onnx(path: Path, shape: list[int | str], kind: int = 1) -> Path:
    from onnx import helper, save

    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Abs", ["a"], ["b"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "says"),
    [
        ([1, 3, "height", 64], 1, "not fixed"),
        ([1, 3, 64, 64], 11, "float64"),
        ([1, 100], 1, "none could be the finished picture"),
    ],
)
def test_what_it_cannot_play_is_named(
    tmp_path: Path, shape: list[int | str], kind: int, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        load_prebuilt(_onnx(tmp_path / "m.onnx", shape, kind), tmp_path / "work")


@pytest.mark.media
@pytest.mark.parametrize(
    ("file", "precision"),
    [
        ("style_transfer_f16_384.tflite", "float32"),
        ("style_transfer_quantized_384.tflite", "int8"),
        ("style_transfer_384.onnx", "float32"),
    ],
)
def test_a_real_model_of_others(
    style_model: Path, file: str, precision: str, tmp_path: Path
) -> None:
    contract, variant = load_prebuilt(style_model.with_name(file), tmp_path)
    assert variant.precision == precision
    (spec,) = contract.graphs
    roles = sorted(tensor.role.split(":")[0] for tensor in spec.inputs)
    assert roles == ["condition", "driving_frame"]
    backend = get_backend(variant.backend)
    session = backend.load(variant.graphs[0], SessionOptions(profile=True))
    rng = np.random.default_rng(0)
    (frame,) = session.run({t.name: rng.random(t.shape, np.float32) for t in spec.inputs}).values()
    assert frame.shape == (1, 384, 384, 3)
    assert 0 <= frame.min() < frame.max() <= 1
    profile = backend.executed_precision(session)
    assert (profile.int8 > 0.5) is (precision == "int8")
