"""Whether two runs agree: `python -m edgeanim.benchmarks.figures.agreement first.json second.json`.

The same thing measured twice on the same machine must come out within the intervals that each run
states for itself; otherwise those are too narrow to be believed, or the machine was not the same:
then its times differ and the gains, which are ratios from blocks side by side, still agree. Prints
bars for every variant; exit code 1 if one is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from edgeanim.benchmarks.figures.bar import Bar, line
from edgeanim.benchmarks.results.compare import compare
from edgeanim.benchmarks.results.result import CREATED, Latency, Report, Speedup
from edgeanim.benchmarks.timing.stats import Interval, as_times
from edgeanim.core.errors import GateFailed, UsageError, reports_errors

_FIGURES = ("p50", "p90")


def bars(first: Report, second: Report) -> Iterator[Bar]:
    """For each variant and percentile, then for each gain: do the two intervals overlap?

    `UsageError` for reports of unlike models, frames or machines, or without a variant in common.
    """
    compare([first, second])
    pairs = [
        (v.id, v.latency, other.latency)
        for v in second.variants
        if (other := first.variant(v.id)) is not None
    ]
    measured = [(name, a, b) for name, b, a in pairs if a is not None and b is not None]
    if not measured:
        raise UsageError("The two reports have no variant in common that was measured.")
    for name, before, after in measured:
        for figure in _FIGURES:
            yield _bar(name, figure, before, after)
    for variant in second.variants:
        other = first.variant(variant.id)
        if variant.speedup and other and other.speedup:
            yield _gain(variant.id, other.speedup, variant.speedup)


def apart(first: Report, second: Report) -> timedelta:
    """The time from the end of one run to the end of the other."""
    ends = [datetime.strptime(report.created, CREATED) for report in (first, second)]
    return abs(ends[1] - ends[0])


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the bars; 0 if all are met."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.benchmarks.figures.agreement",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("reports", nargs=2, type=Path, help="as `edgeanim bench -o` writes them")
    options = parser.parse_args(arguments)
    first, second = compare(options.reports).reports
    print(f"{apart(first, second).total_seconds() / 60:.0f} minutes apart")
    for name, report in zip(options.reports, (first, second), strict=True):
        for reason in report.validity.reasons:
            print(f"  {name}: {reason}")
    found = list(bars(first, second))
    for bar in found:
        print(line(bar))
    return 0 if all(bar.met for bar in found) else GateFailed.exit_code


def _bar(name: str, figure: str, before: Latency, after: Latency) -> Bar:
    values = [getattr(run, f"{figure}_ms") for run in (before, after)]
    intervals = [getattr(run, f"{figure}_interval_ms") for run in (before, after)]
    known = None not in (*values, *intervals)
    return Bar(
        f"{name}, {figure}, twice",
        "intervals overlap",
        " and ".join(_in_words(v, i) for v, i in zip(values, intervals, strict=True)),
        known and _overlap(*intervals),
    )


def _gain(name: str, before: Speedup, after: Speedup) -> Bar:
    runs = [as_times(speedup.ratio, speedup.interval) for speedup in (before, after)]
    met = before.over == after.over and _overlap(before.interval, after.interval)
    return Bar(f"{name}, gain over float32, twice", "intervals overlap", " and ".join(runs), met)


def _overlap(a: Interval, b: Interval) -> bool:
    return max(a.low, b.low) <= min(a.high, b.high)


def _in_words(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "too few samples"
    return f"{value:.3g} ms ({interval.low:.3g} to {interval.high:.3g})"


if __name__ == "__main__":
    sys.exit(main())
