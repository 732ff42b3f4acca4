"""Builds targets/smoke.eab, the smoke test's graph in every backend's own format.

    python -m tests.targets.make_smoke

Run it when a backend's file format or the manifest's schema changes. Needs edgeanim[all].
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration.samples import DiskSamples, SampleWriter
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.backends import Backend, backend_names, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, write_bundle
from edgeanim.targets.smoke import BUNDLE, ramp
from tests.convnets import picture_spec, save_onnx

SPEC = picture_spec("smoke", 16)
# Seven-bit weights, so that the same file is right on every processor.
BOARD = load_board("x86-avx2")


def make_onnx(path: Path) -> Path:
    """Two 3x3 convolutions, ReLU and Sigmoid."""
    from onnx import helper

    rng = np.random.default_rng(0)
    arrays = {
        "w0": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "b0": rng.normal(0, 0.1, 8),
        "w1": rng.normal(0, 0.2, (3, 8, 3, 3)),
        "b1": rng.normal(0, 0.1, 3),
    }
    nodes = [
        helper.make_node("Conv", ["picture", "w0", "b0"], ["c0"], "conv0", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4),
        helper.make_node("Sigmoid", ["c1"], ["result"], "sigmoid"),
    ]
    return save_onnx(path, SPEC, nodes, arrays)


def make_variants(backend: Backend, source: GraphArtifact, folder: Path) -> list[Variant]:
    artifacts = [source]
    if backend.int8_scheme:
        with SampleWriter(folder / "samples", SPEC) as writer:
            rng = np.random.default_rng(1)
            writer.add({"picture": ramp(SPEC.inputs[0])})
            for _ in range(7):
                writer.add({"picture": rng.random(SPEC.inputs[0].shape, dtype=np.float32)})
        scheme = get_scheme(backend.int8_scheme)
        samples = DiskSamples(folder / "samples")
        artifacts.append(
            scheme.quantize(source, samples, QuantizeSpec(), BOARD, folder / "quantized")
        )
    return [
        Variant(
            backend.name,
            artifact.precision,
            (backend.compile(artifact, BOARD, folder / artifact.precision),),
        )
        for artifact in artifacts
    ]


def main() -> None:
    from onnx.reference import ReferenceEvaluator

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = make_onnx(folder / "smoke.onnx")
        (expected,) = ReferenceEvaluator(str(path)).run(None, {"picture": ramp(SPEC.inputs[0])})
        source = GraphArtifact(SPEC, path)
        variants = [
            variant
            for name in backend_names()
            if get_backend(name).int8_scheme
            for variant in make_variants(get_backend(name), source, folder / name)
        ]
        write_bundle(
            Path(__file__).parents[2] / "targets" / BUNDLE,
            contract=Contract("smoke", (SPEC,)),
            variants=variants,
            golden=None,
            tracks={},
            provenance={"expected": [round(float(v), 6) for v in np.ravel(expected)]},
        )


if __name__ == "__main__":
    main()
