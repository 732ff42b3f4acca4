"""What `auto` tries, and which of the results `quantize` holds to the limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeanim.core.errors import GateFailed
from edgeanim.core.limit import DriftLimit
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.pipeline import methods
from edgeanim.pipeline.methods import Job, Outcome
from edgeanim.pipeline.quantize import QuantizedVariant, require_within


def likeness(drift: float) -> Any:
    return SimpleNamespace(drift_mean=drift, ssim_p5=1 - drift)


@pytest.mark.parametrize(
    ("drifts", "tried", "ends_with"),
    [
        ({"mse": 0.01}, ["mse"], "ptq mse"),
        ({"mse": 0.05, "minmax": 0.01}, ["mse", "minmax"], "ptq minmax"),
        (
            {"mse": 0.05, "minmax": 0.03, "percentile": 0.04, "entropy": 0.06},
            ["mse", "minmax", "percentile", "entropy"],
            "mixed minmax",
        ),
        (
            {"mse": 0.05, "minmax": 0.06, "percentile": 0.04, "entropy": 0.02},
            ["mse", "minmax", "percentile", "entropy"],
            "ptq entropy",
        ),
    ],
)
def test_auto_tries_each_way_to_find_ranges_once_and_mixes_with_the_nearest(
    drifts: dict[str, float], tried: list[str], ends_with: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def ptq(_job: object, spec: QuantizeSpec) -> Outcome:
        seen.append(spec.ranges)
        return Outcome((), spec.ranges, likeness(drifts[spec.ranges]))

    def mixed(job: object, spec: QuantizeSpec) -> Outcome:
        return replace(ptq(job, spec), method="mixed")

    monkeypatch.setattr(methods, "ptq", ptq)
    monkeypatch.setattr(methods, "mixed", mixed)
    nothing: Any = None
    job = Job(nothing, nothing, nothing, {}, nothing, "openvino", "x", DriftLimit.of(0.02))
    outcome = methods.auto(job, QuantizeSpec())
    assert f"{outcome.method} {outcome.ranges}" == ends_with
    assert seen[: len(tried)] == tried
    assert len(seen) == len(tried) + (outcome.method == "mixed")


@pytest.mark.parametrize("bad", ["openvino", "tflite"])
def test_every_backends_int8_has_to_keep_to_the_limit(bad: str, tmp_path: Path) -> None:
    rows = [
        QuantizedVariant(name, "x", "mse", likeness(0.05 if name == bad else 0.01))
        for name in ("openvino", "onnxruntime", "tflite")
    ]
    material: Any = SimpleNamespace(separate=True)
    with pytest.raises(GateFailed, match=rf"INT8 drifts by 0\.0500 .* on {bad}, more than"):
        require_within(rows, DriftLimit.of(0.02), tmp_path / "out", material, "ptq")
    require_within(rows, DriftLimit.of(0.05), tmp_path / "out", material, "ptq")
