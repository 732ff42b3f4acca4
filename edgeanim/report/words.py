"""Figures in words, the same in the table, the page and the sentence."""

from __future__ import annotations

import math

from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.benchmarks.results.shares import shares_of_ops
from edgeanim.core.figures import decimals

ABSENT = "–"
_WORST_REGIONS = 3


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; a dash for one that was not measured."""
    return ABSENT if value is None else decimals(value, digits)


def telling(value: float | None, digits: int = 0) -> str:
    """A figure with so many decimals, and more where fewer than two digits would be left: a slow
    board's 0.42 frames a second are not none."""
    if value is None or not value:
        return number(value, digits)
    return number(value, max(digits, 1 - math.floor(math.log10(abs(value)))))


def milliseconds(value: float | None) -> str:
    """A time in ms with three digits, of which two at most are decimals."""
    if value is None:
        return ABSENT
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def executed_in_words(variant: VariantResult) -> str:
    """What executed, by share: `int8 93%, float32 4%, conversion and layout 3%`."""
    executed = variant.executed
    if executed is None:
        return ABSENT
    parts = (
        ("int8", executed.int8_share),
        (_float_name(variant), executed.float_share),
        ("conversion and layout", executed.convert_share + executed.layout_share),
    )
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= 0.005) or ABSENT


def executed_in_short(variant: VariantResult) -> str:
    """The same in one word: the share of INT8, or the float type if there is none."""
    if variant.executed is None:
        return ABSENT
    if variant.executed.int8_share < 0.005:
        return _float_name(variant)
    return f"int8 {variant.executed.int8_share:.0%}"


def _float_name(variant: VariantResult) -> str:
    """The type that most of what is not INT8 computed in."""
    shares: dict[str, float] = {}
    for (_, kind, precision), share in shares_of_ops(variant).items():
        if kind == "compute" and precision != "int8":
            shares[precision] = shares.get(precision, 0.0) + share
    return max(shares, key=lambda name: shares[name], default="float")


def regions_in_words(variant: VariantResult) -> str | None:
    """Where a variant drifts most: the three worst regions with their 1 - SSIM; `None` for a model
    that finds no regions."""
    regions = (variant.drift and variant.drift.regions) or {}
    drifts = {name: 1 - region.ssim.mean for name, region in regions.items() if region.ssim}
    worst = sorted(drifts, key=lambda name: -drifts[name])[:_WORST_REGIONS]
    return ", ".join(f"{name} {drifts[name]:.4f}" for name in worst) or None


def difference(share: float) -> str:
    """A difference in percent; beyond the double there is nothing to be precise about."""
    return f"{share:.1%}" if share < 1 else "more than 100%"


def detectable_in_words(report: Report) -> str | None:
    """Which differences this run could have shown; `None` where that is not known."""
    beside = [v.speedup.detectable for v in report.variants if v.speedup and v.speedup.detectable]
    again = [v.latency.detectable for v in report.variants if v.latency and v.latency.detectable]
    parts = [
        f"{difference(max(found))} {where}"
        for found, where in (
            (beside, "between a variant and its float32"),
            (again, "from another such run"),
        )
        if found
    ]
    return " and ".join(parts) or None


def elsewhere(report: Report) -> str | None:
    """That the report was not made on its board but on another architecture, if that is so."""
    board, here = report.board, report.environment.arch
    if board.arch in (None, here):
        return None
    return f"these are times of a machine of {here}, not of {board.name}, which is {board.arch}"


def cautions(report: Report) -> tuple[str, ...]:
    """What speaks against relying on the report's times."""
    place = elsewhere(report)
    unsteady = [v.id for v in report.variants if v.latency and v.latency.steady is False]
    late = (f"{', '.join(unsteady)}: still speeding up after the warm-up",) if unsteady else ()
    first = () if place is None else (place,)
    return (*first, *report.validity.reasons, *report.settings.remarks, *late)
