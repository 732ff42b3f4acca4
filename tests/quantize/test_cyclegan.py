"""A generator whose INT8 falls apart by every public tool's defaults, and holds by ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quantize.distil_figures import BACKENDS, Lab

FALLEN, HELD = 0.9, 0.98


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab.at(tmp_path_factory.mktemp("cyclegan"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_default_int8_falls_and_ours_holds_with_everything_in_int8(
    backend: str, lab: Lab, tmp_path: Path
) -> None:
    default = lab.by_default(backend, tmp_path / "default")
    ours = lab.ours(backend, "distil", tmp_path / "ours")
    assert default.mean < FALLEN
    assert ours.mean >= HELD
    assert "in float" not in ours.form
