"""A net that computes with linear layers over its pixels gets INT8 and can be pruned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim import api
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from tests.onnx_text import parsed


@pytest.fixture(scope="module")
def mixer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64x64 patches of 2 pixels, two linear layers over each one's channels, and back."""
    graph = """mixer (float[1,3,64,64] image) => (float[1,3,64,64] result) {
            p = Conv <strides = [2,2]> (image, patches)
            t = Transpose <perm = [0,2,3,1]> (p)
            m = MatMul (t, widen)
            r = Relu (m)
            n = MatMul (r, narrow)
            s = Add (t, n)
            u = Transpose <perm = [0,3,1,2]> (s)
            result = ConvTranspose <strides = [2,2]> (u, paint)
        }"""
    shapes = {
        "patches": (16, 3, 2, 2), "widen": (16, 64), "narrow": (64, 16), "paint": (16, 3, 2, 2),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    path = tmp_path_factory.mktemp("mixer") / "mixer.onnx"
    onnx.save(parsed(graph, weights, opset=17), str(path))
    return path


def test_linear_layers_over_pixels_run_in_int8(mixer: Path, photos: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = api.quantize(
        mixer, calib=photos, out=tmp_path / "int8", backends=("onnxruntime",), store=store,
        spec=QuantizeSpec(samples=6),
    )  # fmt: skip
    assert made.variants[0].drift.drift_mean < 0.02
    (file,) = (tmp_path / "int8").rglob("onnx-qdq/**/*.onnx")
    rounded = [t for t in onnx.load(str(file)).graph.initializer if t.data_type == t.INT8]
    assert {tuple(t.dims) for t in rounded} >= {(64, 16, 1, 1), (16, 64, 1, 1)}


def test_their_channels_can_go(mixer: Path, photos: Path, tmp_path: Path) -> None:
    pruned = api.prune(
        mixer, calib=photos, out=tmp_path / "pruned", store=Store(tmp_path / "store"),
        spec=PruneSpec(ratio=0.2, steps=0, rounds=1, round_to=8),
    )  # fmt: skip
    assert pruned.graphs[0].macs_after <= 0.8 * pruned.graphs[0].macs_before
    assert pruned.drift.drift_mean < 0.05
