"""What a search tries, in which order, and what it skips and why."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.errors import DeviceFailed, UsageError, disk_errors
from edgeanim.core.recipe import PruneSpec
from edgeanim.pipeline.search.order import Result, reference_ms
from edgeanim.pipeline.search.sentences import why_no_int8
from edgeanim.pipeline.search.trials import Timing, Trial
from tests.pipeline.table_study import BACKENDS, HALF, MOST, UNPRUNED, TableStudy, search, states


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
    assert found.results[1].reason == "by 0.0500 (5th percentile 0.0500) in other light"
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


@pytest.mark.parametrize(("drift", "relit"), [(0.03, 0.0), (0.01, 0.03)])
def test_once_pruning_alone_drifts_too_far_nothing_more_is_pruned(
    drift: float, relit: float
) -> None:
    study = TableStudy(
        {
            "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 0.6, 0),
            "openvino-float32-pruned50": (drift, 0.3, 0),
        },
        relit={"openvino-float32-pruned50": relit},
    )  # fmt: skip
    found = search(study, methods=("float32",), prunes=(UNPRUNED, HALF, MOST))
    found.run()
    assert states(found)["openvino-float32-pruned50"] == "drifts"
    skipped = {name for name, state in states(found).items() if state == "skipped"}
    assert skipped == {
        "onnxruntime-float32-pruned50", "openvino-float32-pruned80", "onnxruntime-float32-pruned80",
    }  # fmt: skip


def test_what_cannot_be_pruned_is_tried_once_and_is_not_held_against_int8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every backend's trials failed of it, one after the other."""
    study = TableStudy({
        "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 0.6, 0),
        "openvino-int8-ptq": (0.01, 0.5, 0.95), "onnxruntime-int8-ptq": (0.01, 0.5, 0.95),
    })  # fmt: skip
    whole = study.drift

    def drift(trial: Trial) -> Any:
        if trial.prune.ratio:
            raise UsageError("Only 61% of a frame's multiply-accumulates can be pruned away.")
        return whole(trial)

    monkeypatch.setattr(study, "drift", drift)
    found = search(study, methods=("float32", "ptq"), prunes=(UNPRUNED, MOST))
    found.run()
    pruned = [state for name, state in states(found).items() if "pruned80" in name]
    assert pruned == ["failed", "skipped", "skipped", "skipped"]
    assert found.results[-1].reason == "pruning 80% cannot be done"
    assert why_no_int8(found.results, study.limit) == ""


def test_elaborate_methods_are_for_what_plain_calibration_does_not_do_well() -> None:
    study = TableStudy({
        "openvino-float32": (0.0, 0.5, 0), "onnxruntime-float32": (0.0, 1.0, 0),
        "openvino-int8-ptq": (0.01, 0.3, 0.95), "onnxruntime-int8-ptq": (0.05, 0.4, 0.6),
        "onnxruntime-int8-mixed": (0.015, 0.45, 0.5),
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
    assert reasons["onnxruntime-float32-pruned50"] == (
        "at 50% of its unpruned time still slower than openvino-float32-pruned50"
    )
    assert "INT8 is slower than float32" in reasons["openvino-int8-ptq-pruned50"]
    assert states(found)["openvino-float32-pruned50"] == "measured"


def test_what_is_pruned_is_timed_only_where_it_could_become_the_fastest() -> None:
    """Float is judged all the same: whether pruning by itself drifts too far."""
    study = TableStudy({
        "openvino-float32": (0.0, 1.0, 0), "onnxruntime-float32": (0.0, 1.1, 0),
        "openvino-int8-ptq": (0.01, 0.4, 0.95), "onnxruntime-int8-ptq": (0.01, 0.7, 0.95),
        "openvino-float32-pruned25": (0.01, 0.8, 0), "openvino-int8-ptq-pruned25": (0.01, 0.3, 1),
    })  # fmt: skip
    quarter = PruneSpec(ratio=0.25)
    found = search(study, methods=("float32", "ptq"), prunes=(UNPRUNED, quarter))
    found.run()
    pruned = {r.id: (r.state, r.drift) for r in found.results if r.trial.prune.ratio}
    assert {name: state for name, (state, _) in pruned.items()} == {
        "openvino-float32-pruned25": "skipped", "onnxruntime-float32-pruned25": "skipped",
        "openvino-int8-ptq-pruned25": "measured", "onnxruntime-int8-ptq-pruned25": "skipped",
    }  # fmt: skip
    assert pruned["openvino-float32-pruned25"][1] is not None
    assert pruned["onnxruntime-float32-pruned25"][1] is None
    assert study.timed[4:] == ["openvino-int8-ptq-pruned25"]


def test_of_channels_a_layer_loses_some_that_come_in_and_some_that_go_out() -> None:
    table = {"openvino-float32": (0.0, 0.3, 0), "onnxruntime-float32": (0.0, 0.7, 0)}
    table |= {f"{backend}-float32-pruned50": (0.01, 0.2, 0) for backend in BACKENDS}
    for of, state in (("macs", "skipped"), ("channels", "measured")):
        found = search(
            TableStudy(table), methods=("float32",),
            prunes=(UNPRUNED, PruneSpec(ratio=0.5, of=of)),  # type: ignore[arg-type]
        )  # fmt: skip
        found.run()
        assert states(found)["onnxruntime-float32-pruned50"] == state


def test_elaborate_methods_are_not_for_a_backend_on_which_they_cannot_be_the_fastest() -> None:
    """Other weights run as fast as all in INT8; islands may be faster where INT8 is slow."""

    def tried(relative: float) -> dict[str, str]:
        ranges = ("", "-minmax", "-percentile", "-entropy")
        study = TableStudy(
            {
                "openvino-float32": (0.0, 1.0, 0), "onnxruntime-float32": (0.0, 2.0, 0),
                "openvino-int8-ptq": (0.01, 0.5, 0.95),
                "onnxruntime-int8-mixed": (0.05, 1.5, 0.5),
                "onnxruntime-int8-distil": (0.01, relative, 0.95),
            } | {f"onnxruntime-int8-ptq{name}": (0.05, relative, 0.9) for name in ranges}
        )  # fmt: skip
        found = search(study, prunes=(UNPRUNED,))
        found.run()
        return {r.trial.method: r.state for r in found.results if r.trial.backend == "onnxruntime"}

    assert tried(0.5)["distil"] == "measured"
    assert (tried(0.7)["mixed"], tried(0.7)["distil"]) == ("drifts", "skipped")
    assert tried(0.9)["mixed"] == "skipped"


def test_what_cannot_be_made_is_told_and_the_search_goes_on() -> None:
    study = TableStudy({"onnxruntime-float32": (0.0, 1.0, 0)})
    found = search(study, methods=("float32",), prunes=(UNPRUNED,))
    found.run()
    assert states(found) == {"openvino-float32": "failed", "onnxruntime-float32": "measured"}
    assert found.results[0].reason == "openvino-float32 cannot be made."


def test_an_interruption_leaves_what_was_done() -> None:
    study = TableStudy({"openvino-float32": (0.0, 0.5, 0)}, stop_at="onnxruntime-float32")
    found = search(study)
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert states(found) == {"openvino-float32": "measured"}


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


@pytest.mark.parametrize("act", ["drift", "time"])
def test_a_full_disk_ends_the_search_and_is_no_trials_failure(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else float ships, since it was tried first and found room."""
    study = TableStudy({
        "onnxruntime-float32": (0.0, 1.0, 0), "onnxruntime-int8-ptq": (0.05, 0.5, 0.9),
    })  # fmt: skip
    whole = getattr(study, act)

    def fill(trial: Trial) -> Any:
        if trial.quantize:
            with disk_errors(Path("store")):
                raise OSError(errno.ENOSPC, "No space left on device")
        return whole(trial)

    monkeypatch.setattr(study, act, fill)
    methods = ("float32", "ptq", "mixed")
    found = search(study, backends=("onnxruntime",), methods=methods, prunes=(UNPRUNED,))
    with pytest.raises(DeviceFailed, match="disk is full"):
        found.run()
