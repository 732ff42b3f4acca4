"""Graphs in every scheme, made straight with each runtime's own quantiser, and compiled once; a
tiny bundle; stand-ins for a board."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.quiet import quiet
from edgeanim.targets.backends import Backend, backend_names, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import write_bundle
from edgeanim.targets.on import remote
from edgeanim.targets.on.payload import Payload
from tests.targets.bundles import CONTRACT, PROVENANCE, make_variant
from tests.targets.far_end import Board, fake_board, real_board

SIZE = 64
SPEC = GraphSpec(
    name="tiny",
    file="tiny.onnx",
    runs="frame",
    inputs=(TensorSpec("image", "driving_frame", (1, 3, SIZE, SIZE), "NCHW", range=(0.0, 1.0)),),
    outputs=(TensorSpec("result", "frame", (1, 3, SIZE, SIZE), "NCHW", range=(0.0, 1.0)),),
)
CASES = [
    (name, precision)
    for name in backend_names()
    for precision in (*get_backend(name).floats, "int8")
    if precision != "int8" or get_backend(name).int8_scheme
]


def sample(seed: int = 0, spec: GraphSpec = SPEC) -> dict[str, Array]:
    """A random input in 0..1 for every input of `spec`."""
    rng = np.random.default_rng(seed)
    return {t.name: rng.random(t.shape, dtype=np.float32) for t in spec.inputs}


def _onnx_qdq(source: Path, path: Path, _float: Callable[[str], CompiledGraph]) -> None:
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.samples: Iterator[dict[str, Array]] = iter([sample(i) for i in range(4)])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.samples, None)

    q.quantize_static(
        str(source),
        str(path),
        Reader(),
        quant_format=q.QuantFormat.QDQ,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
        per_channel=True,
    )


def _openvino_int8(source: Path, path: Path, _float: Callable[[str], CompiledGraph]) -> None:
    import nncf
    import openvino as ov

    samples = [sample(i)["image"] for i in range(4)]
    quantized = nncf.quantize(
        ov.Core().read_model(str(source)), nncf.Dataset(samples), subset_size=4
    )
    ov.save_model(quantized, str(path), compress_to_fp16=False)


def _tflite_int8(_source: Path, path: Path, floating: Callable[[str], CompiledGraph]) -> None:
    from ai_edge_quantizer import qtyping, quantizer, recipe, recipe_manager

    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        manager.add_quantization_config(".*", end, algorithm_key="no_quantize")
    maker = quantizer.Quantizer(str(floating("tflite").files[0]), manager.get_quantization_recipe())
    samples = [{"args_0": sample(i)["image"].transpose(0, 2, 3, 1).copy()} for i in range(4)]
    calibration = maker.calibrate({"serving_default": samples})
    maker.quantize(calibration).export_model(str(path), overwrite=True)


_MAKERS = {
    "onnx-qdq": (".onnx", _onnx_qdq),
    "openvino-int8": (".xml", _openvino_int8),
    "tflite-int8": (".tflite", _tflite_int8),
}


@pytest.fixture(scope="session")
def tiny(tiny_onnx: Callable[..., Path]) -> Path:
    return tiny_onnx(size=SIZE)


@pytest.fixture(scope="session")
def compiled(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CompiledGraph]:
    """`compiled(backend, precision)` -> the tiny graph, compiled once for the whole run."""
    board, cache = load_board("local"), {}
    folder = tmp_path_factory.mktemp("compiled")

    def make(name: str, precision: str = "float32") -> CompiledGraph:
        if (name, precision) not in cache:
            backend = get_backend(name)
            if not (there := backend.available()):
                pytest.skip(f"{name}: {there.reason}")
            artifact = GraphArtifact(SPEC, tiny)
            if precision != "int8":
                if precision not in board.backend(name).floats(backend.floats):
                    pytest.skip(f"this processor does not multiply {precision}")
                artifact = replace(artifact, floats=precision)
            else:
                suffix, maker = _MAKERS[str(backend.int8_scheme)]
                path = folder / f"int8-{name}{suffix}"
                with quiet():
                    maker(tiny, path, make)
                artifact = replace(artifact, path=path, scheme=str(backend.int8_scheme))
            out = folder / f"{name}-{precision}"
            cache[name, precision] = backend.compile(artifact, board, out)
        return cache[name, precision]

    return make


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(
    request: pytest.FixtureRequest, compiled: Callable[..., CompiledGraph]
) -> tuple[Backend, CompiledGraph]:
    """A backend and the tiny graph compiled for it, in each precision."""
    name, precision = request.param
    return get_backend(name), compiled(name, precision)


@pytest.fixture(scope="session")
def reference(tiny: Path) -> Callable[[dict[str, Array]], Array]:
    """The tiny graph computed by ONNX's reference implementation in NumPy."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(tiny))
    return lambda inputs: np.asarray(evaluator.run(None, inputs)[0])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `write_bundle` makes a tiny bundle of."""
    folder = tmp_path_factory.mktemp("parts")
    for name in ("golden", "walk"):
        np.savez(folder / f"{name}.npz", values=np.arange(6, dtype=np.float32))
    return {
        "contract": CONTRACT,
        "variants": [make_variant(folder / "one")],
        "golden": folder / "golden.npz",
        "tracks": {"walk": folder / "walk.npz"},
        "provenance": PROVENANCE,
    }


@pytest.fixture(scope="module")
def bundle(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle of the fake backend."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.eab"
    write_bundle(path, **parts)
    return path


@pytest.fixture
def small_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The code that is pushed to a board is one file, and what runs there is the call's own."""
    (tmp_path / "code.py").write_text("X = 1\n")
    code = Payload.of({"edgeanim/code.py": tmp_path / "code.py"})
    monkeypatch.setattr(remote, "runtime", lambda: code)
    monkeypatch.setattr(remote, "MODULE", "in.job")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board that an `ssh` on the path stands in for."""
    return fake_board(tmp_path, monkeypatch)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board that a real sshd stands in for."""
    board, server = real_board(tmp_path, monkeypatch)
    yield board
    server.terminate()
    server.wait()
