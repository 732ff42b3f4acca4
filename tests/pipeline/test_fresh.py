"""What is to be done anew is all done anew, but nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgeanim import api
from edgeanim.benchmarks.results.result import Failure, Report
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.limit import NO_LIMIT
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.search import trials
from edgeanim.pipeline.search.trials import Study, Trial
from edgeanim.pipeline.work import Work
from tests.benchmarks.synthetic import build_report


class Watched(Store):
    """A store that lists what was really made, and not taken from it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.made: list[tuple[str, str]] = []

    def build(
        self,
        stage: str,
        parts: Mapping[str, object],
        make: Callable[[Path], None],
        *,
        fresh: bool = False,
    ) -> tuple[Path, bool]:
        def watched(folder: Path) -> None:
            self.made.append((stage, self.key(**parts)))
            make(folder)

        return super().build(stage, parts, watched, fresh=fresh)


def study_of(store: Store, model: Path, photos: Path, *, fresh: bool = False) -> Study:
    work = Work.on("local", store=store, fresh=fresh)
    source = open_model(model, work)
    material = gather(source.contract, photos, {}, limit=12)
    golden = make_golden(work, source, material.held_out)
    return Study(work, source, material, golden, NO_LIMIT)


def pruned_trial(store: Store, model: Path, photos: Path, *, fresh: bool) -> None:
    spec = PruneSpec(ratio=0.5, round_to=8, rounds=1, steps=0)
    int8 = QuantizeSpec(method="ptq", samples=6)
    study = study_of(store, model, photos, fresh=fresh)
    for _ in range(2):
        study.variant(Trial("onnxruntime", 1, spec, int8))


def quantized(store: Store, model: Path, photos: Path, *, fresh: bool) -> None:
    api.quantize(
        model, calib=photos, out=store.root / "int8", backends=("onnxruntime",),
        spec=QuantizeSpec(samples=6), store=store, fresh=fresh,
    )  # fmt: skip


@pytest.mark.parametrize("run", [quantized, pruned_trial])
def test_a_fresh_run_makes_everything_anew_and_only_once(
    run: Any, tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    store, model = Watched(tmp_path), tiny_onnx()
    run(store, model, photos, fresh=False)
    first = sorted(store.made)
    assert {"histograms", "kernels"} < {stage for stage, _ in first}
    store.made.clear()
    run(store, model, photos, fresh=False)
    assert not store.made
    run(store, model, photos, fresh=True)
    assert sorted(store.made) == first


def test_a_trial_that_failed_is_run_again(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in its way may be gone: memory that another process held, say."""
    ended = build_report(failure=Failure("DeviceFailed", 5, "it was killed"))
    runs: list[Report] = []

    def run_bench(*_: object, **__: object) -> Report:
        runs.append(ended)
        return ended

    monkeypatch.setattr(trials, "run_bench", run_bench)
    study = study_of(Store(tmp_path), tiny_onnx(), photos)
    for _ in range(2):
        with pytest.raises(DeviceFailed, match="it was killed"):
            study.time(Trial("onnxruntime", 1))
    assert len(runs) == 2
