"""How the tests of the schemes play what was quantised, and compare it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.contract import TensorSpec
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.backends import OpProfile, SessionOptions, backend_names, get_backend
from edgeanim.targets.board import Board

SCHEMES = ("onnx-qdq", "openvino-int8", "tflite-int8")


def backend_of(scheme: str) -> str:
    return next(name for name in backend_names() if get_backend(name).int8_scheme == scheme)


def play(
    artifact: GraphArtifact, backend: str, board: Board, samples: ArraySamples, out: Path
) -> tuple[Array, OpProfile]:
    """The outputs `result` as NCHW, one after the other, and what precision they ran in."""
    runtime = get_backend(backend)
    session = runtime.load(runtime.compile(artifact, board, out), SessionOptions(profile=True))
    (given,), (result,) = session.spec.inputs, session.spec.outputs
    frames = []
    for sample in samples:
        fed = nchw_to(given, sample["image"])
        made = session.run({given.name: fed})[result.name].copy()
        frames.append(made.transpose(0, 3, 1, 2) if result.layout == "NHWC" else made)
    profile = runtime.executed_precision(session)
    session.close()
    return np.concatenate(frames), profile


def in_float_and_int8(
    source: GraphArtifact, scheme: str, samples: ArraySamples, board: Board, folder: Path
) -> tuple[Array, Array, OpProfile]:
    """The results of a graph as ONNX Runtime has them, those of this INT8, and what it ran in."""
    made = get_scheme(scheme).quantize(source, samples, QuantizeSpec(), board, folder / "8")
    wanted, _ = play(source, "onnxruntime", board, samples, folder / "float")
    got, profile = play(made, backend_of(scheme), board, samples, folder / "int8")
    return wanted, got, profile


def nchw_to(spec: TensorSpec, array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else array


def outputs(path: Path, samples: ArraySamples) -> Array:
    """The one output of an ONNX graph for every sample, as it is, in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, dict(sample))[0] for sample in samples])


def psnr(one: Array, other: Array) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2)))
