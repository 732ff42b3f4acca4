"""What to ship on this machine, and why, in a few sentences."""

from __future__ import annotations

from dataclasses import dataclass

from edgeanim.benchmarks.results.compare import ratio_within
from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.benchmarks.timing.stats import Ratio
from edgeanim.core.limit import DriftLimit, in_words
from edgeanim.report.obstacles import explain
from edgeanim.report.words import elsewhere, milliseconds, telling

_PASS = DriftLimit()


@dataclass(frozen=True)
class Choice:
    """The variant to ship, and the reason as the end of a sentence."""

    variant: VariantResult
    reason: str


def choose(report: Report, limit: DriftLimit = _PASS) -> Choice | None:
    """The fastest variant whose drift is within `limit`, but INT8 only if it beats the
    fastest float form of any backend by more than its interval; `None` if none is within. `verdict`
    says it in words."""
    usable = [v for v in report.variants if _within(v, limit)]
    if not usable:
        return None
    floats = sorted((v for v in usable if v.precision != "int8"), key=_p50)
    int8 = sorted((v for v in usable if v.precision == "int8"), key=_p50)
    if not int8:
        return Choice(floats[0], _why_float(report, limit))
    best = int8[0]
    if not floats:
        return Choice(
            best,
            f"it is the fastest within a drift of {limit}, with no usable float variant beside it",
        )
    ratio = ratio_within(report, floats[0].id, best.id)
    if ratio.verdict != "higher":
        return Choice(floats[0], _why_not(best, ratio))
    return Choice(
        best,
        f"it is {ratio.times} as fast as the fastest float, {floats[0].id}, and within the drift "
        f"of {limit} that is allowed",
    )


def verdict(report: Report, limit: DriftLimit = _PASS) -> str:
    """What `choose` makes of `report` and `limit`, in words. Where float ships, it names the ops
    that stood in INT8's way."""
    choice = choose(report, limit)
    if all(variant.failure for variant in report.variants):
        return "Ship nothing yet: no variant ran."
    if choice is None:
        return (
            f"Ship nothing yet: no variant ran with an SSIM drift of at most {limit} "
            "from the float32 original."
        )
    ship = f"Ship {_described(choice.variant)}: {choice.reason}."
    if (place := elsewhere(report)) is not None:
        ship += f" But {place}: bench it there (`--on`) before you ship."
    return " ".join((ship, *_what_would_change_it(report, choice, limit)))


def _what_would_change_it(report: Report, choice: Choice, limit: DriftLimit) -> tuple[str, ...]:
    int8 = [v for v in report.variants if v.precision == "int8" and v.latency and v.drift]
    if choice.variant.precision == "int8" or not int8:
        return ()
    within = [v for v in int8 if _within(v, limit)]
    if within:
        return explain(report, min(within, key=_p50))
    return (
        "What would change it: mixed precision or distillation (`quantize --method`), other "
        "calibration frames, or a wider limit.",
    )


def _within(variant: VariantResult, limit: DriftLimit) -> bool:
    if variant.latency is None or variant.latency.p50_ms is None or variant.drift is None:
        return False
    return limit.holds(variant.drift)


def _p50(variant: VariantResult) -> float:
    assert variant.latency is not None
    return variant.latency.p50_ms or float("inf")


def _described(variant: VariantResult) -> str:
    assert variant.drift is not None
    return (
        f"{variant.id} ({milliseconds(_p50(variant))} ms a frame, "
        f"{telling(variant.throughput_fps)} frames/s, mean drift "
        f"{variant.drift.drift_mean:.4f}, 5th percentile {1 - variant.drift.ssim_p5:.4f})"
    )


def _why_not(best: VariantResult, ratio: Ratio) -> str:
    what = "slower" if ratio.verdict == "lower" else "not reliably faster"
    return f"the fastest INT8 variant, {best.id}, is {what}, at {ratio.times} its speed"


def _why_float(report: Report, limit: DriftLimit) -> str:
    int8 = [v for v in report.variants if v.precision == "int8" and v.latency is not None]
    if not int8:
        return "no INT8 variant was measured"
    over = [v.drift for v in int8 if v.drift and not limit.holds(v.drift)]
    if len(over) < len(int8):
        return "not enough was measured of the INT8 variants to judge them"
    # By the limit that is exceeded: the mean may well be within its own.
    least = min(over, key=limit.excess)
    return f"every INT8 variant drifts by more than {limit}, {in_words(least)} at the least"
