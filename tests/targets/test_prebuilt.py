"""Files that others made run as they are, with a contract inferred from the file itself."""

from __future__ import annotations

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
from edgeanim.targets.on.payload import files_of
from edgeanim.targets.prebuilt import load_prebuilt, prebuilt_suffixes
from tests.targets.conftest import sample

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


@pytest.fixture
def external(tiny: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The tiny generator with its weights in the file that the graph calls so."""

    def make(location: str) -> Path:
        import onnx

        model = onnx.load(str(tiny))
        path = tmp_path / "model" / "my net.onnx"
        (path.parent / "weights").mkdir(parents=True)
        content = b""
        for tensor in model.graph.initializer:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": location, "offset": len(content), "length": len(tensor.raw_data)}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            content += tensor.raw_data
            tensor.ClearField("raw_data")
        path.write_bytes(model.SerializeToString())
        if not Path(location).is_absolute() and location:
            (path.parent / location).write_bytes(content)
        return path

    return make


WITHOUT_ONNX = """
import sys; sys.modules["onnx"] = None; sys.modules["torch"] = None
from pathlib import Path
from edgeanim.targets.prebuilt import load_prebuilt
print(load_prebuilt(Path(sys.argv[1]), Path(sys.argv[2]))[1].id)
"""


def _id_without_onnx(file: Path, workdir: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONNX, str(file), str(workdir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_onnx_needs_no_onnx_package(compiled: Callable[..., CompiledGraph], tmp_path: Path) -> None:
    file = compiled("onnxruntime", "int8").files[0]
    assert _id_without_onnx(file, tmp_path) == "onnxruntime-int8"


@pytest.mark.parametrize("location", ["net.onnx.data", "weights/all.bin"])
def test_external_weights_come_along(
    external: Callable[[str], Path],
    location: str,
    compiled: Callable[..., CompiledGraph],
    tmp_path: Path,
) -> None:
    path, work = external(location), tmp_path / "work"
    assert _id_without_onnx(path, tmp_path / "bare") == "onnxruntime-float32"
    _, variant = load_prebuilt(path, work)
    assert variant.graphs[0].files[1:] == (work / location,)
    assert files_of(path, "0/net.onnx") == {
        "0/net.onnx": path,
        f"0/{location}": path.parent / location,
    }
    (path.parent / location).unlink()
    backend = get_backend("onnxruntime")
    theirs = backend.load(variant.graphs[0], SessionOptions()).run(sample())
    ours = backend.load(compiled("onnxruntime"), SessionOptions()).run(sample())
    np.testing.assert_array_equal(theirs["result"], ours["result"])
    for take in (lambda: load_prebuilt(path, work), lambda: files_of(path, "0/net.onnx")):
        with pytest.raises(BadInput, match=f"{location} is missing"):
            take()


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "link.bin"])
def test_external_weights_outside_the_folder_stay_there(
    external: Callable[[str], Path], location: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.bin").write_bytes(b"")
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "outside.bin")
    path = external(location)
    for take in (lambda: load_prebuilt(path, tmp_path / "w"), lambda: files_of(path, "n.onnx")):
        with pytest.raises(BadInput, match="leads outside its folder"):
            take()


def test_external_weights_cannot_take_the_place_of_the_graph(
    external: Callable[[str], Path], tmp_path: Path
) -> None:
    path = external("my_net.onnx")
    with pytest.raises(BadInput, match="cannot lie beside"):
        load_prebuilt(path, tmp_path / "work")


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
        ([], 1, r"not fixed.*\[1\] for a single number"),
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
