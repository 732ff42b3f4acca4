"""What a search is left with: its finalists, the choice among them, and the sentences on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgeanim import api
from edgeanim.cli.optimize import command
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.pipeline.search import outcome
from edgeanim.pipeline.search.finals import finalists
from edgeanim.pipeline.search.order import Result, Space
from edgeanim.pipeline.search.outcome import Run, Unreachable
from edgeanim.pipeline.search.sentences import why_no_int8
from edgeanim.pipeline.search.trials import Trial
from edgeanim.report.words import ABSENT
from tests.benchmarks.synthetic import build_report
from tests.pipeline.table_study import BACKENDS, HALF, MOST, UNPRUNED, TableStudy, search


def test_int8_that_cannot_be_made_is_told_with_the_float_that_ships() -> None:
    study = TableStudy({"openvino-float32": (0.0, 1.0, 0)})
    found = search(study, backends=("openvino",), methods=("float32", "ptq"), prunes=(UNPRUNED,))
    found.run()
    assert why_no_int8(found.results, study.limit) == (
        " Of INT8: it failed: openvino-int8-ptq cannot be made."
    )


def test_a_search_in_which_nothing_ran_says_how_to_do_without_what_was_kept() -> None:
    """A damaged trial in the store would fail again in every run."""
    space = Space(("openvino",), ("float32",), (UNPRUNED,), (1,), QuantizeSpec())
    run = Run(TableStudy({}), space, None)  # type: ignore[arg-type]
    with pytest.raises(DeviceFailed, match=r"openvino-float32 cannot be made\. .*--fresh"):
        run.result(None, None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, "The fastest so far is openvino-float32: 5.0 ms a frame by its trial alone."),
        (4.0, "openvino-float32: 5.0 ms a frame by its trial alone, longer than the 4 ms asked"),
        (5.5, "openvino-float32: 5.0 ms a frame by its trial alone, within the 5.5 ms asked for."),
    ],
)
def test_an_interruption_says_how_fast_the_fastest_so_far_is_and_whether_that_is_enough(
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


@pytest.mark.parametrize(
    ("prunes", "threads", "drift", "hint"),
    [
        ((UNPRUNED,), 1, 0.05, "Allow more time or drift, prune more (`--prune 0.25`), give it "
         "more threads (`--threads 2`), or use a smaller model."),
        ((UNPRUNED, HALF), 2, 0.01, "Allow more time, prune more (`--prune 0.75`), or use a "
         "smaller model."),
        ((UNPRUNED, MOST), 2, 0.05, "Allow more time or drift, or use a smaller model."),
    ],
)  # fmt: skip
def test_where_a_latency_is_out_of_reach_the_hint_is_what_was_not_tried(
    prunes: tuple[Any, ...], threads: int, drift: float, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More drift only if something that drifts is fast enough, more pruning unless it drifts."""
    suffix = f"-{threads}t" if threads > 1 else ""
    study: Any = TableStudy({
        f"onnxruntime-float32{suffix}": (0.0, 2.0, 0),
        f"onnxruntime-int8-ptq{suffix}": (0.05, 1.0 if drift > 0.02 else 1.9, 0.9),
        f"onnxruntime-float32-pruned50{suffix}": (drift, 1.8, 0),
        f"onnxruntime-float32-pruned80{suffix}": (drift, 1.0, 0),
    })  # fmt: skip
    space = Space(("onnxruntime",), ("float32", "ptq"), prunes, (threads,), QuantizeSpec())
    monkeypatch.setattr(outcome, "final_report", lambda *_: None)
    with pytest.raises(Unreachable) as refused:
        Run(study, space, 15.0).result(None, None)
    assert refused.value.hint == hint


def test_of_a_candidates_two_times_it_is_told_which_is_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its trial's and the finals' differ on a busy machine, and readers took that for a mistake."""
    study: Any = TableStudy({"onnxruntime-float32": (0.0, 2.0, 0)})
    space = Space(("onnxruntime",), ("float32",), (UNPRUNED,), (1,), QuantizeSpec())
    report = build_report({"onnxruntime": (20.0, 8.0)})
    report = replace(report, variants=report.variants[:1])
    monkeypatch.setattr(outcome, "final_report", lambda *_: report)
    found = Run(study, space, None).result(None, None)
    monkeypatch.setattr(api, "optimize", lambda *_, **__: found)
    command.main(["net.onnx"], standalone_mode=False)
    trials, finals = capsys.readouterr().out.split("\n\n")[:2]
    assert trials.startswith("Every candidate, timed on its own beside the original:")
    assert finals.startswith("The finalists, timed anew beside each other, which decides:")


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
