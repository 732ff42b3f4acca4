"""From the ops that a runtime says it executed to an `OpProfile`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from edgeanim.targets.backends.base import OpProfile, OpRow

COMPUTE, CONVERT, LAYOUT = "compute", "convert", "layout"
INT8 = "int8"


@dataclass(frozen=True)
class ExecutedOp:
    """One op of one run. `cost` is its time, or whatever else `OpProfile.basis` names."""

    op: str
    precision: str
    kind: str
    cost: float


def summarize(ops: Iterable[ExecutedOp], *, basis: str, detail: str, runs: int = 1) -> OpProfile:
    """Group the executed ops by name, precision and kind; the shares sum to 1.

    `runs` is over how many runs `ops` extends; counts are per run. Everything that computes in
    anything but INT8 counts as float: integer index arithmetic is no INT8 either. If no op has a
    cost, every op counts the same and the basis becomes `ops`.
    """
    listed = list(ops)
    if listed and not any(op.cost > 0 for op in listed):
        listed = [ExecutedOp(op.op, op.precision, op.kind, 1.0) for op in listed]
        basis, detail = "ops", f"{detail} Costs were too small to be seen: the ops are counted."
    total = sum(op.cost for op in listed)
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for op in listed:
        groups[op.op, op.precision, op.kind].append(op.cost)
    rows = [
        OpRow(op, precision, kind, max(1, round(len(costs) / runs)), sum(costs) / total)
        for (op, precision, kind), costs in groups.items()
    ]
    rows.sort(key=lambda row: (-row.share, row.op))

    def share(kind: str, int8: bool | None = None) -> float:
        shares = (
            row.share
            for row in rows
            if row.kind == kind and (int8 is None or (row.precision == INT8) is int8)
        )
        return min(1.0, math.fsum(shares))  # rounding may carry a sum of shares past the whole

    return OpProfile(
        basis=basis,
        int8=share(COMPUTE, True),
        float_=share(COMPUTE, False),
        convert=share(CONVERT),
        layout=share(LAYOUT),
        ops=tuple(rows),
        detail=detail,
    )
