"""What keeps INT8 from being faster: the ops that did not run in it, and what would change that."""

from __future__ import annotations

from dataclasses import dataclass

from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.benchmarks.results.shares import shares_of_ops

_WORTH_NAMING = 0.02
_MOST_NAMED = 4
# From here on it is not what is left in float that makes INT8 slow.
_MOSTLY_INT8 = 0.75
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}


@dataclass(frozen=True)
class Obstacle:
    """An op that took this share of a frame's graphs without computing in INT8."""

    op: str
    kind: str
    precision: str
    share: float


def obstacles(variant: VariantResult) -> tuple[Obstacle, ...]:
    """What stood in the way of an INT8 variant, the largest share first: see `shares_of_ops`."""
    if variant.precision != "int8":
        return ()
    found = [
        Obstacle(op, kind, precision, share)
        for (op, kind, precision), share in shares_of_ops(variant).items()
        if share >= _WORTH_NAMING and (kind != "compute" or precision != "int8")
    ]
    return tuple(sorted(found, key=lambda one: -one.share))


def explain(report: Report, variant: VariantResult) -> tuple[str, ...]:
    """Why this INT8 variant is not faster than it is, and what would change it, in sentences."""
    if variant.executed is None:
        return ()
    found = obstacles(variant)
    share = variant.executed.int8_share
    sentences = []
    if found:
        named = ", ".join(_in_words(one) for one in found[:_MOST_NAMED])
        sentences.append(f"In {variant.id} {1 - share:.0%} of the work is not INT8: {named}.")
    else:
        sentences.append(f"In {variant.id} {share:.0%} of the work runs in INT8.")
    if remedy := _remedy(found, share, report.environment.cpu_features):
        sentences.append(remedy)
    return tuple(sentences)


def _in_words(one: Obstacle) -> str:
    what = {"convert": "conversion", "layout": "layout"}.get(one.kind, one.precision)
    return f"{one.op} {one.share:.0%} ({what})"


def _remedy(found: tuple[Obstacle, ...], int8: float, features: tuple[str, ...]) -> str:
    """What would change it; nothing where no op takes enough to be named."""
    if int8 >= _MOSTLY_INT8:
        if not features or _DOT_PRODUCTS & set(features):
            return "What would change it: pruning, or a backend with faster INT8 kernels."
        return (
            "What would change it: a processor with an 8-bit dot product (VNNI, or Arm's "
            "asimddp), which this one lacks, or pruning."
        )
    if not found:
        return ""
    by_kind = {
        kind: sum(one.share for one in found if one.kind == kind)
        for kind in ("convert", "layout", "compute")
    }
    kind = max(by_kind, key=lambda k: by_kind[k])
    ops = ", ".join(dict.fromkeys(one.op for one in found if one.kind == kind))
    if kind == "convert":
        return (
            "What would change it: fewer borders between INT8 and float. Fold or quantise what "
            "lies between two convolutions (norms, activations), or leave whole stretches in float."
        )
    if kind == "layout":
        return f"What would change it: a graph without {ops} between its convolutions."
    return f"What would change it: INT8 kernels for {ops}, or a form of the graph without them."
