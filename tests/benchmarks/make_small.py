"""Builds tests/benchmarks/small.eab, on which the harness itself is measured.

    python -m tests.benchmarks.make_small

Three convolutions of 32 channels at 64x64, about a millisecond a frame, in float32 for ONNX Runtime
and OpenVINO, with eight golden frames: small enough to be committed, so that everybody measures the
same. Needs edgeanim[all].
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, write_bundle
from tests.convnets import picture_spec, save_onnx

WIDTHS = (3, 32, 32, 3)
SPEC = picture_spec("small", 64)


def make_onnx(path: Path) -> Path:
    """Three 3x3 convolutions, ReLU between them and a sigmoid at the end."""
    from onnx import helper

    rng = np.random.default_rng(0)
    nodes, weights, before = [], {}, "picture"
    for k, (given, made) in enumerate(itertools.pairwise(WIDTHS)):
        weights[f"w{k}"] = rng.normal(0, (2 / (9 * given)) ** 0.5, (made, given, 3, 3))
        last = k == len(WIDTHS) - 2
        after = "result" if last else f"a{k}"
        nodes += [
            helper.make_node("Conv", [before, f"w{k}"], [f"c{k}"], f"conv{k}", pads=[1] * 4),
            helper.make_node("Sigmoid" if last else "Relu", [f"c{k}"], [after], f"act{k}"),
        ]
        before = after
    return save_onnx(path, SPEC, nodes, weights)


def pictures() -> np.ndarray:
    """A disc that wanders over a gradient, uint8 [8, 64, 64, 3]."""
    y, x = np.mgrid[0:64, 0:64] / 63.0
    frames = []
    for step in range(8):
        frame = np.stack([x, y, 1 - x * y], -1)
        frame[(y - 0.5) ** 2 + (x - 0.2 - 0.08 * step) ** 2 < 0.04] = (0.9, 0.2, 0.1)
        frames.append((frame * 255).round().astype(np.uint8))
    return np.stack(frames)


def main() -> None:
    """Write the bundle beside this file."""
    contract = Contract("small", (SPEC,))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        artifact = GraphArtifact(SPEC, make_onnx(folder / "small.onnx"))
        graphs = {
            name: get_backend(name).compile(artifact, load_board("local"), folder / name)
            for name in ("onnxruntime", "openvino")
        }
        scene = Scene(driver=pictures())
        session = get_backend("onnxruntime").load(graphs["onnxruntime"], SessionOptions())
        with Player(contract, {"small": session}) as player:
            frames = np.stack(list(player.play(scene)))
        save_golden(folder / "golden.npz", Golden(scene, frames))
        write_bundle(
            Path(__file__).with_name("small.eab"),
            contract=contract,
            variants=[Variant(name, "float32", (graph,)) for name, graph in graphs.items()],
            golden=folder / "golden.npz",
            tracks={},
            provenance={"made by": "tests/benchmarks/make_small.py"},
        )


if __name__ == "__main__":
    main()
