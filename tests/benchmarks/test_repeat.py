"""A spoiled run is measured again, within the limit, and nothing of that is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.benchmarks.machine.recording import REPLAY
from edgeanim.benchmarks.machine.repeat import repeat_until_valid
from edgeanim.benchmarks.results.result import Failure, Report, dump_report, parse_report
from edgeanim.core.errors import UsageError
from tests.benchmarks.synthetic import build_report

HOT = build_report(reasons=("throttled by heat: cpu0",))
BUSY = build_report(reasons=("foreign load: other processes kept 0.30 cores busy", "swapping"))
GOOD = build_report()


class Measurer:
    def __init__(self, *reports: Report) -> None:
        self._reports: Iterator[Report] = iter(reports)
        self.count = 0

    def __call__(self) -> Report:
        self.count += 1
        return next(self._reports)


def test_the_first_valid_run_is_taken_and_the_others_are_named() -> None:
    measure = Measurer(HOT, BUSY, GOOD, GOOD)
    report = repeat_until_valid(measure, 5)
    assert measure.count == 3
    assert report.validity.valid
    assert report.validity.discarded == (
        "throttled by heat: cpu0",
        "foreign load: other processes kept 0.30 cores busy; swapping",
    )
    assert parse_report(dump_report(report), where="text") == report


def test_at_the_limit_the_last_run_stays_invalid() -> None:
    measure = Measurer(HOT, BUSY, HOT)
    report = repeat_until_valid(measure, 2)
    assert measure.count == 3
    assert report.validity.reasons == HOT.validity.reasons
    assert len(report.validity.discarded) == 2


def test_without_retries_and_when_valid_it_runs_once() -> None:
    assert repeat_until_valid(Measurer(HOT)) == HOT
    assert repeat_until_valid(Measurer(GOOD), 3) == GOOD


def test_a_failure_is_not_repeated() -> None:
    failed = build_report(reasons=("swapping",), failure=Failure("DeviceFailed", 5, "died"))
    assert repeat_until_valid(Measurer(failed), 3) == failed


def test_a_recording_is_not_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(REPLAY, str(tmp_path))
    assert repeat_until_valid(Measurer(HOT), 3) == HOT


@pytest.mark.parametrize("retries", [-1, 11])
def test_the_limit_has_limits(retries: int) -> None:
    with pytest.raises(UsageError, match="0 to 10"):
        repeat_until_valid(Measurer(GOOD), retries)


def test_a_report_from_before_discarding_is_read() -> None:
    text = dump_report(GOOD).replace('"discarded": [],', "")
    assert '"discarded"' not in text
    assert replace(parse_report(text, where="text")) == GOOD
