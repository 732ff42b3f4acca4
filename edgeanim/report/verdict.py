"""What to ship on this machine, and why, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from edgeanim.benchmarks.compare import ratio_within
from edgeanim.benchmarks.result import Report, VariantResult
from edgeanim.core.artifact import FLOAT32
from edgeanim.report.words import milliseconds, number

MAX_DRIFT = 0.02


@dataclass(frozen=True)
class Choice:
    """The variant to ship, and the reason as the end of a sentence."""

    variant: VariantResult
    reason: str


def choose(report: Report, *, max_drift: float = MAX_DRIFT) -> Choice | None:
    """The fastest variant whose mean drift is within `max_drift`, but INT8 only if it beats the
    fastest float32 by more than its interval; `None` if none is within."""
    usable = [v for v in report.variants if _within(v, max_drift)]
    if not usable:
        return None
    best = min(usable, key=_p50)
    if best.precision == FLOAT32:
        return Choice(best, _why_float(report, max_drift))
    floats = [v for v in usable if v.precision == FLOAT32]
    if not floats:
        return Choice(
            best,
            f"it is the fastest within a drift of {max_drift:g}, with no usable float32 variant "
            "beside it",
        )
    float32 = min(floats, key=_p50)
    ratio = ratio_within(report, float32.id, best.id)
    times = f"{ratio.value:.2f}x ({ratio.interval.low:.2f} to {ratio.interval.high:.2f})"
    if ratio.verdict != "higher":
        return Choice(
            float32,
            f"the fastest INT8 variant, {best.id}, is not reliably faster, at {times} its speed",
        )
    return Choice(
        best,
        f"it is {times} as fast as the fastest float32, {float32.id}, and within the drift of "
        f"{max_drift:g} that is allowed",
    )


def verdict(report: Report, *, max_drift: float = MAX_DRIFT) -> str:
    """`choose` as one sentence."""
    choice = choose(report, max_drift=max_drift)
    if choice is None:
        return (
            f"Ship nothing yet: no variant ran with a mean SSIM drift of at most {max_drift:g} "
            "from the float32 original."
        )
    return f"Ship {_described(choice.variant)}: {choice.reason}."


def _within(variant: VariantResult, max_drift: float) -> bool:
    if variant.latency is None or variant.latency.p50_ms is None or variant.drift is None:
        return False
    return variant.drift.drift_mean <= max_drift


def _p50(variant: VariantResult) -> float:
    assert variant.latency is not None
    assert variant.latency.p50_ms is not None
    return variant.latency.p50_ms


def _described(variant: VariantResult) -> str:
    assert variant.drift is not None
    return (
        f"{variant.id} ({milliseconds(_p50(variant))} ms a frame, "
        f"{number(variant.throughput_fps, 0)} frames/s, mean drift "
        f"{variant.drift.drift_mean:.4f}, worst {1 - variant.drift.ssim_worst:.4f})"
    )


def _why_float(report: Report, max_drift: float) -> str:
    int8 = [v for v in report.variants if v.precision == "int8" and v.latency is not None]
    if not int8:
        return "no INT8 variant was measured"
    if not any(_within(v, max_drift) for v in int8):
        return f"every INT8 variant drifts by more than {max_drift:g}"
    return "no INT8 variant within the allowed drift is faster"
