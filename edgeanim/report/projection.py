"""Projections as a table that cannot be taken for measurements."""

from __future__ import annotations

from collections.abc import Sequence

from edgeanim.benchmarks.projection import CALIBRATION, SPREAD, Projected
from edgeanim.report.columns import ruled
from edgeanim.report.words import telling

_TITLES = ("board", "threads", "variant", "PROJECTED ms", "interval", "budget", "verdict")
_LEFT = (0, 2, 6)
_NOTE = (
    "PROJECTED, not measured: a roofline from this machine's profile and the board's peaks, times\n"
    f"{CALIBRATION:g} from public figures, right within a factor of {SPREAD:g} at best. "
    "Measure on the board:\nedgeanim bench BUNDLE --on ssh://user@board"
)


def projection_table(projections: Sequence[Projected]) -> str:
    """One row for every variant on every board, each with its interval."""
    rows = [
        (
            p.board,
            str(p.threads),
            p.variant,
            telling(p.ms),
            f"{telling(p.low_ms)} to {telling(p.high_ms)}",
            f"{p.budget_ms:g}",
            p.verdict,
        )
        for p in projections
    ]
    lines = ruled(_TITLES, rows, _LEFT)
    return "\n".join([*lines, "", _NOTE]) + "\n"
