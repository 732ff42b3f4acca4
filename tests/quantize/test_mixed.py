"""`--method mixed` on a small net with its real runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import GateFailed
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline import mixed as search
from edgeanim.pipeline.quantize import Quantized, quantize
from edgeanim.quantize.mixed.islands import FloatGraph, Times
from edgeanim.targets.machine import read_machine

BACKEND = "onnxruntime"


Run = Callable[[Path, str, float], Quantized]


@pytest.fixture(scope="module")
def run(unet: GraphArtifact, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`run(out, method, max_drift)`, where what the tests have in common is done once."""
    store = Store(tmp_path_factory.mktemp("store"))

    def quantized(out: Path, method: str, max_drift: float) -> Quantized:
        return quantize(
            unet.path,
            out=out,
            calib=photos,
            backends=(BACKEND,),
            spec=QuantizeSpec(method=method, samples=8),  # type: ignore[arg-type]
            max_drift=max_drift,
            store=store,
        )

    return quantized


def test_islands_bring_the_drift_below_the_limit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = run(tmp_path / "plain", "ptq", 1.0).variants
    limit = 0.7 * plain.drift.drift_mean
    made = run(tmp_path / "mixed", "mixed", limit)
    (row,) = made.variants
    assert (row.method, row.curve[0].floats) == ("mixed", ())
    assert row.drift.drift_mean <= limit < row.curve[0].drift_mean
    assert row.islands
    assert any(point.floats == row.islands for point in row.curve)
    assert all(point.ms and point.float_ms and point.predicted_ms for point in row.curve)
    stored = json.loads((tmp_path / "mixed" / "int8" / "onnx-qdq.curve.json").read_text())
    assert [tuple(point["floats"]) for point in stored] == [p.floats for p in row.curve]

    def refuse(*_: object) -> None:
        raise AssertionError("a trial was done again")

    monkeypatch.setattr(search, "measure_frames", refuse)
    monkeypatch.setattr(search, "layer_errors", refuse)
    (again,) = run(tmp_path / "again", "mixed", limit).variants
    assert again == row


def test_a_limit_is_kept_where_float_is_faster_at_all_but_a_layer_that_drifts_too_far_alone(
    unet: GraphArtifact, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By time alone all others would be in float before it, and it would be what stays in INT8."""

    def timed(_job: Any, _named: Any, _int8: Any, own: FloatGraph) -> Times:
        slow = dict.fromkeys(own.candidates(), 50.0)
        return Times(dict.fromkeys(slow, 20.0), slow | {"dec1": 10.0}, crossing=0.0)

    monkeypatch.setattr(search, "_graph_times", timed)
    common: dict[str, Any] = {"calib": photos, "backends": (BACKEND,)}
    common["store"] = Store(tmp_path / "store")
    nodes = onnx.load(str(unet.path)).graph.node
    others = tuple(n.name for n in nodes if n.op_type == "Conv" and n.name != "dec1")
    mixed = QuantizeSpec(method="mixed", samples=8)
    alone = replace(mixed, method="ptq", keep_float=others)
    (row,) = quantize(
        unet.path, out=tmp_path / "alone", spec=alone, max_drift=1.0, **common
    ).variants
    limit = 0.95 * row.drift.drift_mean
    (row,) = quantize(
        unet.path, out=tmp_path / "mixed", spec=mixed, max_drift=limit, **common
    ).variants
    assert row.drift.drift_mean <= limit
    assert "unet:dec1" in row.islands


def test_times_of_another_machine_that_shares_the_store_are_not_taken(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "here", "mixed", 1.0)
    asked: list[str] = []
    measured = search.measure_frames

    def measure(*given: Any) -> dict[str, float]:
        asked.append("again")
        return measured(*given)

    monkeypatch.setattr(search, "measure_frames", measure)
    run(tmp_path / "again", "mixed", 1.0)
    assert not asked
    monkeypatch.setattr(search, "describe", lambda: SimpleNamespace(machine="another"))
    run(tmp_path / "there", "mixed", 1.0)
    assert asked


def test_islands_for_a_board_of_another_kind_are_found_without_times(
    unet: GraphArtifact, photos: Path, tmp_path: Path
) -> None:
    board = "raspberry-pi-5" if read_machine().arch == "x86_64" else "x86-avx2"
    spec = QuantizeSpec(method="mixed", samples=8)
    (row,) = quantize(
        unet.path, out=tmp_path / "out", calib=photos, backends=(BACKEND,), spec=spec,
        max_drift=1.0, board=board, store=Store(tmp_path / "store"),
    ).variants  # fmt: skip
    assert row.curve
    assert not any(point.ms or point.float_ms or point.predicted_ms for point in row.curve)


def test_auto_goes_on_to_islands_where_no_ranges_suffice(run: Run, tmp_path: Path) -> None:
    (plain,) = run(tmp_path / "plain", "ptq", 1.0).variants
    (row,) = run(tmp_path / "auto", "auto", 0.85 * plain.drift.drift_mean).variants
    assert row.method == "mixed"
    assert row.drift.drift_mean <= 0.85 * plain.drift.drift_mean


def test_an_unreachable_limit_leaves_the_curve_and_no_model(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "never"
    with pytest.raises(GateFailed, match=r"never\.curve\.json") as refused:
        run(out, "mixed", 1e-9)
    assert "--method distil" in str(refused.value), "what was tried is not proposed again"
    assert not out.exists()
    curve = json.loads((tmp_path / "never.curve.json").read_text())[BACKEND]
    # All in INT8, and what errs least alone; between them what is fast alone, unless that is all.
    assert len(curve) in (2, 3)
    assert curve[0]["floats"] == [] != curve[-1]["floats"]
    assert min(point["drift_mean"] for point in curve) > 1e-9
