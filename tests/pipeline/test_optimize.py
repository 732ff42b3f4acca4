"""The search: what is tried, what is not, and what is left when it stops."""

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
from edgeanim.benchmarks.results.result import Failure, Report
from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.errors import DeviceFailed, UsageError
from edgeanim.core.limit import DriftLimit
from edgeanim.core.parsing import parse, to_plain
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import open_model
from edgeanim.pipeline.search import outcome
from edgeanim.pipeline.search.finals import final_report, finalists
from edgeanim.pipeline.search.order import Result, Space, reference_ms
from edgeanim.pipeline.search.outcome import Run, Unreachable
from edgeanim.pipeline.search.sentences import why_no_int8
from edgeanim.pipeline.search.trials import Study, Timing, Trial
from edgeanim.pipeline.work import Work
from edgeanim.report.words import ABSENT
from edgeanim.targets.bundle import open_bundle
from tests.benchmarks.synthetic import build_report
from tests.cli.called import edgeanim_started
from tests.pipeline.table_study import BACKENDS, HALF, MOST, UNPRUNED, TableStudy, search, states


def test_a_trial_survives_json() -> None:
    trial = Trial("openvino", 2, HALF, QuantizeSpec(method="ptq", keep_float=("a", "b")))
    assert parse(Trial, json.loads(json.dumps(to_plain(trial))), where="here") == trial
    assert trial.id == "openvino-int8-ptq-pruned50-2t"
    assert Trial("openvino", 1, floats="bfloat16").id == "openvino-bfloat16"
    islands = Trial("openvino", 1, quantize=QuantizeSpec(method="mixed"), floats="bfloat16")
    assert islands.id == "openvino-int8-mixed-bfloat16"
    assert parse(Trial, to_plain(Trial("x", 1)), where="here") == Trial("x", 1)


def test_what_drifts_too_far_is_not_timed_for_its_own_sake() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.05, 0.2, 0.9), "onnxruntime-int8-ptq": (0.01, 0.6, 0.95),
    })  # fmt: skip
    found = search(study, methods=("float32", "ptq"), prunes=(UNPRUNED,))
    found.run()
    assert states(found)["openvino-int8-ptq"] == "drifts"
    assert study.timed == ["openvino-float32", "onnxruntime-float32", "onnxruntime-int8-ptq"]


def test_what_drifts_too_far_in_other_light_is_not_taken_either() -> None:
    study = TableStudy(
        {
            "openvino-float32": (0.0, 1.0, 0),
            "openvino-int8-ptq": (0.019, 0.4, 0.7),
            "openvino-int8-ptq-minmax": (0.019, 0.5, 0.7),
        },
        relit={"openvino-int8-ptq": 0.05, "openvino-int8-ptq-minmax": 0.019},
    )
    found = search(study, backends=("openvino",), methods=("float32", "ptq"), prunes=(UNPRUNED,))
    found.run()
    assert states(found) == {
        "openvino-float32": "measured",
        "openvino-int8-ptq": "drifts",
        "openvino-int8-ptq-minmax": "measured",
    }
    assert "in other light, 0.0500" in found.results[1].reason
    assert study.timed == ["openvino-float32", "openvino-int8-ptq-minmax"]


def test_other_ranges_are_tried_until_one_keeps_to_the_limit_and_the_nearest_goes_on() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 1.0, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.05, 0.5, 0.9), "openvino-int8-ptq-minmax": (0.01, 0.5, 0.9),
        "onnxruntime-int8-ptq": (0.09, 0.5, 0.7),
        "onnxruntime-int8-ptq-minmax": (0.05, 0.5, 0.7),
        "onnxruntime-int8-ptq-percentile": (0.03, 0.5, 0.7),
        "onnxruntime-int8-ptq-entropy": (0.04, 0.5, 0.7),
        "onnxruntime-int8-mixed-percentile": (0.01, 0.7, 0.5),
    })  # fmt: skip
    found = search(study, methods=("float32", "ptq", "mixed"), prunes=(UNPRUNED,))
    found.run()
    assert states(found) == {
        "openvino-float32": "measured", "onnxruntime-float32": "measured",
        "openvino-int8-ptq": "drifts", "openvino-int8-ptq-minmax": "measured",
        "onnxruntime-int8-ptq": "drifts", "onnxruntime-int8-ptq-minmax": "drifts",
        "onnxruntime-int8-ptq-percentile": "drifts", "onnxruntime-int8-ptq-entropy": "drifts",
        "openvino-int8-mixed-minmax": "skipped", "onnxruntime-int8-mixed-percentile": "measured",
    }  # fmt: skip


def test_no_mixture_is_sought_where_all_of_it_in_int8_is_slower_than_float() -> None:
    ranges = ("", "-minmax", "-percentile", "-entropy")
    study = TableStudy(
        {"openvino-float32": (0.0, 1.0, 0)}
        | {f"openvino-int8-ptq{name}": (0.05, 1.3, 0.9) for name in ranges}
    )
    found = search(
        study, backends=("openvino",), methods=("float32", "ptq", "mixed", "distil"),
        prunes=(UNPRUNED,),
    )  # fmt: skip
    found.run()
    assert (
        states(found)["openvino-int8-mixed"] == states(found)["openvino-int8-distil"] == "skipped"
    )
    assert "1.30 times as long as float32" in found.results[-1].reason
    assert why_no_int8(found.results, study.limit) == (
        " Of INT8: calibration alone drifts by 0.0500 (5th percentile 0.0500) at the least; "
        "all in INT8 takes 1.30 times as long as float32 on openvino."
    )
    assert study.timed == ["openvino-float32", "openvino-int8-ptq"]
    assert states(found)["openvino-int8-ptq"] == "drifts"


def test_a_mixture_is_sought_where_all_in_int8_may_be_as_fast_as_float() -> None:
    """Each time is known to five percent: eight more are no proof."""
    ranges = ("", "-minmax", "-percentile", "-entropy")
    study = TableStudy(
        {"openvino-float32": (0.0, 1.0, 0), "openvino-int8-mixed": (0.01, 0.9, 0.5)}
        | {f"openvino-int8-ptq{name}": (0.05, 1.08, 0.9) for name in ranges}
    )
    methods = ("float32", "ptq", "mixed")
    found = search(study, backends=("openvino",), methods=methods, prunes=(UNPRUNED,))
    found.run()
    assert states(found)["openvino-int8-mixed"] == "measured"


def test_the_reference_takes_what_most_trials_say_it_took() -> None:
    """Each was timed beside it, some while something else ran."""
    timings = [Timing(2.0, Interval(1.9, 2.1), ms, None) for ms in (20.0, 22.0, 21.0, 80.0, 18.0)]
    results = [Result(Trial("openvino", 1), "measured", "", None, each) for each in timings]
    untimed = Result(Trial("openvino", 1), "drifts", "")
    assert reference_ms([*results, untimed]) == 10.5


def test_training_is_for_where_islands_cost_time() -> None:
    def tried(mixed_ms: float) -> dict[str, str]:
        found = search(TableStudy({
            "openvino-float32": (0.0, 1.0, 0), "openvino-int8-ptq": (0.05, 0.5, 0.9),
            "openvino-int8-mixed": (0.01, mixed_ms, 0.5), "openvino-int8-distil": (0.01, 0.5, 0.9),
        }), backends=("openvino",), prunes=(UNPRUNED,))  # fmt: skip
        found.run()
        return states(found)

    assert tried(0.51)["openvino-int8-distil"] == "skipped"
    assert tried(0.7)["openvino-int8-distil"] == "measured"


def test_the_untouched_model_is_measured_beside_its_restructured_form() -> None:
    study = TableStudy(
        {"openvino-float32-untouched": (0.0, 1.0, 0), "openvino-float32": (0.0, 0.7, 0)},
        rewritten=True,
    )
    found = search(study, backends=("openvino",), methods=("float32",), prunes=(UNPRUNED,))
    found.run()
    assert study.timed == ["openvino-float32-untouched", "openvino-float32"]


def test_int8_is_compared_with_the_restructured_form_and_not_with_the_untouched_one() -> None:
    study = TableStudy(
        {
            "openvino-float32-untouched": (0.0, 1.0, 0),
            "openvino-float32": (0.0, 0.5, 0),
            "openvino-int8-ptq": (0.05, 0.7, 0.9),
        },
        rewritten=True,
    )
    methods = ("float32", "ptq", "mixed")
    found = search(study, backends=("openvino",), methods=methods, prunes=(UNPRUNED,))
    found.run()
    assert states(found)["openvino-int8-mixed"] == "skipped"
    assert "1.40 times as long as float32" in found.results[-1].reason


def test_once_pruning_alone_drifts_too_far_nothing_more_is_pruned() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 0.6, 0),
        "openvino-float32-pruned50": (0.03, 0.3, 0),
    })  # fmt: skip
    found = search(study, methods=("float32",), prunes=(UNPRUNED, HALF, MOST))
    found.run()
    assert states(found)["openvino-float32-pruned50"] == "drifts"
    skipped = {name for name, state in states(found).items() if state == "skipped"}
    assert skipped == {
        "onnxruntime-float32-pruned50", "openvino-float32-pruned80", "onnxruntime-float32-pruned80",
    }  # fmt: skip


def test_elaborate_methods_are_for_what_plain_calibration_does_not_do_well() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.01, 0.3, 0.95), "onnxruntime-int8-ptq": (0.05, 0.9, 0.6),
        "onnxruntime-int8-mixed": (0.015, 0.8, 0.5),
    })  # fmt: skip
    found = search(study, methods=("float32", "ptq", "mixed"), prunes=(UNPRUNED,))
    found.run()
    assert states(found)["openvino-int8-mixed"] == "skipped"
    assert states(found)["onnxruntime-int8-mixed"] == "measured"


def test_a_backend_without_hope_and_an_int8_that_is_slower_are_not_pruned_as_well() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 0.3, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.01, 0.4, 0.9), "onnxruntime-int8-ptq": (0.01, 0.9, 0.9),
        "openvino-float32-pruned50": (0.01, 0.2, 0),
    })  # fmt: skip
    found = search(study, methods=("float32", "ptq"))
    found.run()
    reasons = {result.id: result.reason for result in found.results}
    assert "more than 2 times slower" in reasons["onnxruntime-float32-pruned50"]
    assert "INT8 is slower than float32" in reasons["openvino-int8-ptq-pruned50"]
    assert states(found)["openvino-float32-pruned50"] == "measured"


def test_what_cannot_be_made_is_told_and_the_search_goes_on() -> None:
    study = TableStudy({"onnxruntime-float32": (0.0, 1.0, 0)})
    found = search(study, methods=("float32",), prunes=(UNPRUNED,))
    found.run()
    assert states(found) == {"openvino-float32": "failed", "onnxruntime-float32": "measured"}
    assert found.results[0].reason == "openvino-float32 cannot be made."


def test_int8_that_cannot_be_made_is_told_with_the_float_that_ships() -> None:
    study = TableStudy({"openvino-float32": (0.0, 1.0, 0)})
    found = search(study, backends=("openvino",), methods=("float32", "ptq"), prunes=(UNPRUNED,))
    found.run()
    assert why_no_int8(found.results, study.limit) == (
        " Of INT8: it failed: openvino-int8-ptq cannot be made."
    )


def test_an_interruption_leaves_what_was_done() -> None:
    study = TableStudy({"openvino-float32": (0.0, 0.5, 0)}, stop_at="onnxruntime-float32")
    found = search(study)
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert states(found) == {"openvino-float32": "measured"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, "The fastest so far is openvino-float32."),
        (4.0, "openvino-float32: 5.0 ms a frame by its trial alone, longer than the 4 ms asked"),
        (5.5, "openvino-float32: 5.0 ms a frame by its trial alone, within the 5.5 ms asked for."),
    ],
)
def test_an_interruption_says_whether_the_fastest_so_far_is_fast_enough(
    asked: float | None, said: str
) -> None:
    study = TableStudy({"openvino-float32": (0.0, 0.5, 0)}, stop_at="onnxruntime-float32")
    run = Run(study, Space(BACKENDS, ("float32",), (UNPRUNED,), (1,), QuantizeSpec()), asked)  # type: ignore[arg-type]
    found = run.result(None, None)
    assert not found.complete
    assert said in found.verdict


def test_every_trial_is_a_point_in_milliseconds_and_drift() -> None:
    study = TableStudy(
        {
            "openvino-float32": (0.0, 1.0, 0),
            "openvino-int8-ptq": (0.05, 0.5, 0.9),
            "openvino-int8-ptq-minmax": (0.01, 0.4, 0.9),
        },
        stop_at="openvino-float32-pruned50",
    )
    space = Space(("openvino",), ("float32", "ptq"), (UNPRUNED, HALF), (1,), QuantizeSpec())
    float_, far, near = Run(study, space, None).result(None, None).points  # type: ignore[arg-type]
    assert (float_.latency_ms, float_.drift, float_.executed) == (10.0, 0.0, "float")
    assert (far.latency_ms, far.drift, far.executed) == (None, 0.05, ABSENT)
    assert (near.latency_ms, near.drift_p5, near.executed) == (4.0, pytest.approx(0.01), "int8 90%")
    assert (near.low_ms, near.high_ms) == (pytest.approx(3.8), pytest.approx(4.2))
    assert [point.chosen for point in (float_, far, near)] == [False, False, True]
    assert far.note == "drifts: too far from the original"


@pytest.mark.parametrize("rewritten", [False, True])
def test_the_model_as_it_came_is_among_the_finalists(rewritten: bool) -> None:
    original = "openvino-float32-untouched" if rewritten else "openvino-float32"
    study = TableStudy(
        {
            "openvino-float32-untouched": (0.0, 1.0, 0),
            "openvino-float32": (0.0, 0.9, 0),
            "openvino-float32-pruned50": (0.01, 0.5, 0),
            "openvino-float32-pruned80": (0.01, 0.4, 0),
            "openvino-int8-ptq": (0.01, 0.4, 0.9),
            "openvino-int8-ptq-pruned50": (0.01, 0.2, 0.9),
            "openvino-int8-ptq-pruned80": (0.01, 0.3, 0.9),
        },
        rewritten=rewritten,
    )
    found = search(
        study, backends=("openvino",), methods=("float32", "ptq"), prunes=(UNPRUNED, HALF, MOST)
    )
    found.run()
    ranked = sorted(found.results, key=lambda result: study.table[result.id][1])
    names = [result.id for result in finalists(ranked)]
    assert names[0] == "openvino-int8-ptq-pruned50"
    assert names.count(original) == 1


def test_the_fastest_float_form_is_a_finalist_however_slow() -> None:
    faster = [
        Trial("openvino", 1, quantize=QuantizeSpec(method="ptq", ranges=ranges))
        for ranges in ("minmax", "percentile", "mse", "entropy")
    ]
    floats = [Trial("openvino", 1, HALF), Trial("onnxruntime", 1)]
    ranked = [Result(trial, "measured") for trial in (*faster, *floats)]
    names = [result.id for result in finalists(ranked)]
    assert names == [*(trial.id for trial in faster[:3]), "openvino-float32-pruned50"]


@pytest.mark.parametrize("asked", [None, 100.0, 10.0])
def test_what_is_chosen_takes_no_longer_than_was_asked_for(
    asked: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_report({"onnxruntime": (20.0, 8.0)})
    report = replace(report, variants=report.variants[:1])
    study: Any = TableStudy({"onnxruntime-float32": (0.0, 2.0, 0)})
    run = Run(
        study, Space(("onnxruntime",), ("float32",), (UNPRUNED,), (1,), QuantizeSpec()), asked
    )
    monkeypatch.setattr(outcome, "final_report", lambda *_: report)
    if asked != 10.0:
        found = run.result(None, None)
        assert (found.chosen, found.complete) == ("onnxruntime-float32", True)
        assert "Beside" not in found.verdict  # it is the model as it came
        return
    with pytest.raises(Unreachable, match=r"takes at most 10 ms .* with 20\.\d ms\.") as refused:
        run.result(None, None)
    assert refused.value.result.chosen is None
    assert [point.chosen for point in refused.value.result.points] == [False]


def test_where_a_latency_is_out_of_reach_the_curve_goes_on_beyond_the_drift() -> None:
    table = {
        "openvino-float32": (0.0, 1.0, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.05, 0.2, 0.9), "onnxruntime-int8-ptq": (0.03, 0.8, 0.9),
    }  # fmt: skip
    space = {"methods": ("float32", "ptq"), "prunes": (UNPRUNED,)}
    far, near = TableStudy(table), TableStudy(table)
    found = search(far, max_latency_ms=5.0, **space)
    found.run()
    assert far.timed[2:] == ["onnxruntime-int8-ptq", "openvino-int8-ptq"]
    assert reference_ms(found.results) == pytest.approx(10.0)
    search(near, max_latency_ms=20.0, **space).run()
    assert len(near.timed) == 2


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


FAILED = Failure("DeviceFailed", 5, "It was killed.")


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


def test_finals_in_which_nothing_ran_are_a_failure_of_the_device(
    study_of: Callable[..., Study],
) -> None:
    report = build_report(failure=FAILED)
    nothing = replace(report, variants=report.variants[1:])
    study = _Finals(**vars(study_of(DriftLimit(), "tensorrt-qdq")) | {"reports": [nothing]})
    with pytest.raises(DeviceFailed, match=r"No finalist .* killed.* kept"):
        final_report(study, RANKED)


def test_what_drifts_in_other_light_alone_is_told_by_that_light() -> None:
    study = TableStudy(
        {"openvino-float32": (0.0, 1.0, 0)}
        | {f"openvino-int8-ptq{name}": (0.01, 0.5, 0.7) for name in ("", "-minmax")}
        | {f"openvino-int8-ptq{name}": (0.03, 0.5, 0.7) for name in ("-percentile", "-entropy")},
        relit={"openvino-int8-ptq": 0.05, "openvino-int8-ptq-minmax": 0.025},
    )
    found = search(study, backends=("openvino",), methods=("float32", "ptq"), prunes=(UNPRUNED,))
    found.run()
    assert why_no_int8(found.results, study.limit) == (
        " Of INT8: calibration alone drifts by 0.0250 (5th percentile 0.0250) in other light "
        "at the least."
    )


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
    assert "<svg" in (tmp_path / "page.html").read_text()
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
