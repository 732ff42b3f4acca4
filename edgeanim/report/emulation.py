"""What emulation showed, as a table. Without a latency: there is none to show."""

from __future__ import annotations

from collections.abc import Sequence

from edgeanim.benchmarks.emulation import EmulatedVariant, Emulation
from edgeanim.core.errors import printable
from edgeanim.report.columns import ruled

_TITLES = ("processor", "variant", "runtime", "drift", "worst", "drift here", "equal", "levels")
_NOTE = (
    "Drift is 1 - SSIM to the float32 original's golden frames, there and on this machine; equal\n"
    "are the frames that are the same to the last bit here and there, levels the largest\n"
    "difference of 255. Emulation says nothing of time, so no latency is shown."
)


def emulation_table(emulations: Sequence[Emulation]) -> str:
    """One row for every variant on every processor; below it, why a variant has no frames."""
    rows = [[e.title, *_cells(v)] for e in emulations for v in e.variants]
    lines = ruled(_TITLES, rows, range(3))
    failed = [
        printable(f"{v.id} failed on {e.title}. {v.failure.message}")
        for e in emulations
        for v in e.variants
        if v.failure
    ]
    return "\n".join([*lines, *failed, "", _NOTE]) + "\n"


def _cells(variant: EmulatedVariant) -> list[str]:
    drift, here, agreement = variant.drift, variant.here, variant.agreement
    return [
        variant.id,
        variant.backend_version or "–",
        f"{drift.drift_mean:.4f}" if drift else "failed",
        f"{1 - drift.ssim_worst:.4f}" if drift else "–",
        f"{here.drift_mean:.4f}" if here else "–",
        f"{agreement.equal_frames} of {variant.frames}" if agreement else "–",
        str(agreement.max_levels) if agreement else "–",
    ]
