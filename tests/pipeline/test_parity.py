"""The gate of `compile`: a backend that computes otherwise is told before there is a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeanim import api
from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.targets.backends import backend_names, get_backend

# ONNX Runtime, but for one level of 255 more in every value of a picture; and one that is not here.
_ANOTHER = """
from dataclasses import replace
from edgeanim.targets.backends import Availability
from edgeanim.targets.backends.onnxruntime import OnnxRuntime

class Brighter(OnnxRuntime):
    name = "brighter"

    def load(self, graph, options):
        inner = super().load(graph, options)
        class Session:
            spec = inner.spec
            def run(self, inputs):
                return {name: array + 1 / 255 for name, array in inner.run(inputs).items()}
            def close(self):
                inner.close()
        return Session()

class Elsewhere(Brighter):
    name = "elsewhere"

    def available(self):
        return Availability(reason="It is on another board.")
"""


@pytest.fixture
def _others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two backends by another distribution's entry points."""
    (tmp_path / "another_runtime.py").write_text(_ANOTHER)
    dist = tmp_path / "another_runtime-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: another-runtime\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "[edgeanim.backends]\n"
        "brighter = another_runtime:Brighter\nelsewhere = another_runtime:Elsewhere\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    backend_names.cache_clear()
    yield
    backend_names.cache_clear()
    get_backend.cache_clear()


@pytest.fixture
def compiled(
    tiny_onnx: Callable[..., Path], tmp_path: Path, _others: None
) -> Callable[..., api.Compiled]:
    """Compile a tiny model into `net.eab` for some backends."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        picture = np.random.default_rng(i).integers(0, 200, (64, 64, 3), np.uint8)
        cv2.imwrite(str(photos / f"{i}.png"), picture)
    model, out = tiny_onnx(size=64), tmp_path / "net.eab"

    def run(*backends: str, **options: float) -> api.Compiled:
        return api.compile(model, out=out, backends=backends, frames=photos, **options)

    return run


def test_what_shows_other_frames_is_refused(
    compiled: Callable[..., api.Compiled], tmp_path: Path
) -> None:
    with pytest.raises(GateFailed, match="brighter shows other frames"):
        compiled("onnxruntime", "brighter")
    assert not (tmp_path / "net.eab").exists()


def test_whoever_accepts_them_has_them_with_what_they_are_off(
    compiled: Callable[..., api.Compiled],
) -> None:
    parity = compiled("onnxruntime", "brighter", tolerance=1.5).parity
    assert parity["onnxruntime"] < 0.01
    assert 0.5 < parity["brighter"] <= 1


def test_what_computes_nothing_or_is_not_here_is_not_judged(
    compiled: Callable[..., api.Compiled],
) -> None:
    made = compiled("null", "elsewhere")
    assert made.variants == ("null-float32", "elsewhere-float32")
    assert made.parity == {}


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(
    compiled: Callable[..., api.Compiled], tolerance: float
) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        compiled("null", tolerance=tolerance)
