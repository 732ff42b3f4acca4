"""A search of a real model: its trials, its finals, and what it leaves in the store."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edgeanim import api
from edgeanim.benchmarks.results.result import Report
from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.files import sha256_tree
from edgeanim.core.limit import DriftLimit
from edgeanim.core.parsing import parse, to_plain
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.search.finals import final_report
from edgeanim.pipeline.search.order import Result
from edgeanim.pipeline.search.outcome import Unreachable
from edgeanim.pipeline.search.sentences import why_no_int8
from edgeanim.pipeline.search.trials import Study, Timing, Trial
from edgeanim.pipeline.work import Work
from edgeanim.targets.bundle import open_bundle
from tests.benchmarks.synthetic import FAILED, build_report
from tests.cli.called import edgeanim_started
from tests.pipeline.table_study import HALF, UNPRUNED, search


def test_a_trial_survives_json() -> None:
    trial = Trial("openvino", 2, HALF, QuantizeSpec(method="ptq", keep_float=("a", "b")))
    assert parse(Trial, json.loads(json.dumps(to_plain(trial))), where="here") == trial
    assert trial.id == "openvino-int8-ptq-pruned50-2t"
    assert Trial("openvino", 1, floats="bfloat16").id == "openvino-bfloat16"
    islands = Trial("openvino", 1, quantize=QuantizeSpec(method="mixed"), floats="bfloat16")
    assert islands.id == "openvino-int8-mixed-bfloat16"
    assert parse(Trial, to_plain(Trial("x", 1)), where="here") == Trial("x", 1)


def test_times_of_another_kind_of_machine_are_not_measured_here(
    tiny_onnx: Callable[..., Path],
) -> None:
    import platform

    other = "raspberry-pi-5" if platform.machine() == "x86_64" else "x86-avx2"
    with pytest.raises(UsageError, match="cannot be measured here"):
        api.optimize(tiny_onnx(), board=other)


def test_pruned_trials_are_told_apart_by_their_ratio() -> None:
    ratios = (0.12, 0.125, 0.07, 0.5)
    ids = [Trial("openvino", 1, PruneSpec(ratio=ratio)).id for ratio in ratios]
    assert ids == [f"openvino-float32-pruned{percent}" for percent in ("12", "12.5", "7", "50")]


def test_an_unknown_method_names_the_nearest(tiny_onnx: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="ptq"):
        api.optimize(tiny_onnx(), methods=("pqt",))


@pytest.fixture(scope="module")
def study_of(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Study]:
    """`study_of(limit, scheme)`: a study of a small net on a board that asks for this INT8."""
    folder = tmp_path_factory.mktemp("study")
    path = tiny_onnx(size=16, channels=8)

    def make(limit: DriftLimit, scheme: str = "onnx-qdq") -> Study:
        board = folder / f"{scheme}.toml"
        board.write_text(
            'schema = 1\nname = "asking"\ntitle = "Asking"\narch = "x86_64"\nmemory_mb = 1024\n'
            f'cores = 1\n[[backends]]\nname = "onnxruntime"\nscheme = "{scheme}"\n'
        )
        work = Work.on(board, store=Store(folder / "store"))
        model = open_model(path, work)
        material = gather(model.contract, photos, {}, limit=16)
        golden = make_golden(work, model, material.held_out)
        return Study(work, model, material, golden, limit)

    return make


def test_a_trial_is_in_the_int8_that_the_board_asks_for(study_of: Callable[..., Study]) -> None:
    trial = Trial("onnxruntime", 1, quantize=QuantizeSpec(method="ptq", samples=6))
    _, variant = study_of(DriftLimit(), "tensorrt-qdq").variant(trial)
    assert [graph.scheme for graph in variant.graphs] == ["tensorrt-qdq"]


def test_a_mixture_that_drifts_too_far_is_a_trial_like_any_other(
    study_of: Callable[..., Study],
) -> None:
    study = study_of(DriftLimit.of(0.0))
    found = search(
        study, backends=("onnxruntime",), methods=("mixed",), prunes=(UNPRUNED,),
        quantize=QuantizeSpec(samples=6),
    )  # fmt: skip
    found.run()
    (mixed,) = found.results
    assert (mixed.state, mixed.reason) == ("drifts", "too far from the original")
    assert mixed.drift is not None
    assert mixed.drift.drift_mean > 0
    assert "float islands or trained weights it drifts by 0.0" in why_no_int8(
        found.results, study.limit
    )


@dataclass(frozen=True)
class _Finals(Study):
    """A study whose finals end in the first of these reports, and then in the next."""

    reports: list[Report] = field(default_factory=list)

    def bench(self, *_: Any, **__: Any) -> Report:
        return self.reports.pop(0)


RANKED = [
    Result(Trial("onnxruntime", 1), "measured", timing=Timing(1.0, Interval(0.9, 1.1), 10.0, 0.0))
]


def test_finals_that_failed_or_were_spoiled_are_measured_again_the_next_time(
    study_of: Callable[..., Study],
) -> None:
    base = study_of(DriftLimit())
    reports = [
        build_report(failure=FAILED),
        build_report(reasons=("foreign load: other processes kept 1.00 cores busy",)),
        build_report(),
    ]
    study = _Finals(**vars(base) | {"reports": list(reports)})
    found = [final_report(study, RANKED) for _ in range(4)]
    assert found == [*reports, reports[-1]]


def test_of_kept_finals_that_cannot_be_read_it_is_told_how_to_make_them_anew(
    study_of: Callable[..., Study], tmp_path: Path
) -> None:
    """What another version of the code wrote is as sound as it was, and means nothing any more."""
    work = Work.on("local", store=Store(tmp_path))
    study = _Finals(**vars(study_of(DriftLimit())) | {"work": work, "reports": [build_report()]})
    final_report(study, RANKED)
    (report,) = (tmp_path / "optimize").rglob("report.json")
    report.write_text("{}")
    entry = report.parents[1] / "entry.json"
    record = json.loads(entry.read_text()) | {"sha256": sha256_tree(report.parent)}
    entry.write_text(json.dumps(record))
    with pytest.raises(BadInput, match="--fresh"):
        final_report(study, RANKED)


def test_finals_in_which_nothing_ran_are_a_failure_of_the_device(
    study_of: Callable[..., Study],
) -> None:
    report = build_report(failure=FAILED)
    nothing = replace(report, variants=report.variants[1:])
    study = _Finals(**vars(study_of(DriftLimit(), "tensorrt-qdq")) | {"reports": [nothing]})
    with pytest.raises(DeviceFailed, match=r"No finalist .* killed.* kept"):
        final_report(study, RANKED)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_search_ends_with_a_bundle_and_runs_again_from_the_store(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    common: dict[str, Any] = {
        "calib": photos, "backends": ("onnxruntime",), "methods": ("ptq",), "prunes": (),
        "max_drift": 0.1, "store": Store(tmp_path / "store"),
    }  # fmt: skip
    found = api.optimize(
        tiny_onnx(), out=tmp_path / "net.eab", html=tmp_path / "page.html", **common
    )
    assert found.complete
    # Whether there is anything to restructure depends on how wide the processor's vectors are.
    points = {p.id for p in found.points} - {"onnxruntime-float32-untouched"}
    assert points == {"onnxruntime-float32", "onnxruntime-int8-ptq"}
    assert found.report is not None
    assert not found.report.failures
    assert found.chosen in found.trials
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "The finalists" in page
    with open_bundle(tmp_path / "net.eab") as bundle:
        assert len(bundle.variants) == 1
        assert bundle.provenance["trial"]["backend"] == "onnxruntime"
    began = time.perf_counter()
    again = api.optimize(tiny_onnx(), **common)
    if found.report.validity.valid:
        assert again.points == found.points
        assert time.perf_counter() - began < 30
    else:  # the finals, and so the choice, are made anew
        assert [p.latency_ms for p in again.points] == [p.latency_ms for p in found.points]
    with pytest.raises(Unreachable, match="Nothing within a drift") as caught:
        api.optimize(tiny_onnx(), max_latency_ms=0.001, **common)
    assert caught.value.exit_code == 1
    assert caught.value.result.front
    assert caught.value.result.chosen is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_reports_the_best_so_far_and_ends_with_130(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    process = edgeanim_started(
        "optimize", tiny_onnx(), "--calib", photos, "--backend", "onnxruntime",
        "--backend", "openvino", "--prune", 0, "-o", tmp_path / "net.eab",
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Trial"):
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Interrupted. The fastest so far is" in stdout
    assert (tmp_path / "net.eab").is_file()
