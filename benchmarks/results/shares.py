"""What share of the frames' time ran in which precision, and in which op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeanim.benchmarks.results.result import GraphProfile, ProcessSamples, VariantResult

_SHARES = ("int8_share", "float_share", "convert_share", "layout_share")


def shares_of(
    profiles: Mapping[str, GraphProfile], samples: Sequence[ProcessSamples]
) -> dict[str, float]:
    """The shares over all graphs that run per frame, weighted by the time each takes; 0 where none
    took any."""
    stages = dict.fromkeys(stage for process in samples for stage in process.stages_ms)
    weights = {
        name: sum(time for process in samples for time in process.stages_ms.get(name, ()))
        for name in stages
        if name in profiles
    }
    total = sum(weights.values())

    def share(of: str) -> float:
        parts = (weight * getattr(profiles[name], of) for name, weight in weights.items())
        return min(1.0, sum(parts) / total) if total else 0.0

    return {name: share(name) for name in _SHARES}


def shares_of_ops(variant: VariantResult) -> dict[tuple[str, str, str], float]:
    """The share of each op, by its name, kind and precision, in what all graphs that run per frame
    take together; empty where nothing is known of it, or they took no time to speak of.

    Within a graph whose runtime does not time its ops, shares are of the multiply-accumulates
    (`GraphProfile.basis`).
    """
    graphs = variant.executed.graphs if variant.executed else {}
    weights = {name: stage.share for name, stage in variant.stages.items() if name in graphs}
    total = sum(weights.values())
    shares: dict[tuple[str, str, str], float] = {}
    for name, weight in weights.items() if total else ():
        for op in graphs[name].ops:
            key = op.op, op.kind, op.precision
            shares[key] = shares.get(key, 0.0) + op.share * weight / total
    return shares
