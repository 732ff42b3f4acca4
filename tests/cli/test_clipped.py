"""Frames that are nearly all clipped are warned of where a run ends, whatever its drift says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.cli.called import edgeanim
from tests.convnets import picture_spec, save_onnx


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that paints 0..255, which its file does not say."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["picture", "first"], ["a"], "first", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "last"], ["c"], "last", pads=[1] * 4),
        helper.make_node("Add", ["c", "middle"], ["result"], "middle"),
    ]
    weights = {
        "first": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "last": rng.normal(0, 3.0, (3, 16, 3, 3)),
        "middle": np.full((1, 3, 1, 1), 128.0),
    }
    path = tmp_path_factory.mktemp("bright") / "bright.onnx"
    return save_onnx(path, picture_spec("bright", 32), nodes, weights)


@pytest.mark.parametrize(
    "args",
    [
        ("quantize", "--method", "ptq", "--backend", "onnxruntime"),
        ("prune", "--ratio", 0.2, "--round-to", 1, "--steps", 0),
    ],
    ids=["quantize", "prune"],
)
def test_a_warning_ends_the_run(
    args: tuple[object, ...], bright: Path, photos: Path, tmp_path: Path
) -> None:
    name, *options = args
    common = (name, bright, "--calib", photos, *options)
    done = edgeanim(*common, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    warning = " ".join(done.stderr[done.stderr.rindex("Warning: ") :].split())
    assert warning.startswith("Warning: 100% of 'result' lies at the ends of its value range, 0..1")
    assert "--range" in warning
    said = json.loads(edgeanim(*common, "-o", tmp_path / "again", "--json").stdout)["note"]
    assert warning == f"Warning: {said}"
