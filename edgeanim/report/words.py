"""Figures in words, the same in the table, the page and the sentence."""

from __future__ import annotations

from edgeanim.benchmarks.result import Executed, Report

ABSENT = "–"


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; a dash for one that was not measured."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def milliseconds(value: float | None) -> str:
    """A time in ms with three significant digits."""
    if value is None:
        return ABSENT
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def executed_in_words(executed: Executed | None) -> str:
    """What executed, by share: `int8 93%, float32 4%, conversion and layout 3%`."""
    if executed is None:
        return ABSENT
    parts = (
        ("int8", executed.int8_share),
        (_float_name(executed), executed.float_share),
        ("conversion and layout", executed.convert_share + executed.layout_share),
    )
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= 0.005) or ABSENT


def executed_in_short(executed: Executed | None) -> str:
    """The same in one word: the share of INT8, or the float type if there is none."""
    if executed is None:
        return ABSENT
    if executed.int8_share < 0.005:
        return _float_name(executed)
    return f"int8 {executed.int8_share:.0%}"


def _float_name(executed: Executed) -> str:
    """The type that most of what is not INT8 computed in."""
    rows = [
        op
        for graph in executed.graphs.values()
        for op in graph.ops
        if op.kind == "compute" and op.precision != "int8"
    ]
    return max(rows, key=lambda op: op.share).precision if rows else "float"


def cautions(report: Report) -> tuple[str, ...]:
    """What speaks against relying on the report's times."""
    unsteady = [v.id for v in report.variants if v.latency and v.latency.steady is False]
    late = (f"{', '.join(unsteady)}: still speeding up after the warm-up",) if unsteady else ()
    return (*report.validity.reasons, *report.settings.remarks, *late)
