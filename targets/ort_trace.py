"""What ONNX Runtime's own trace says of each node."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from edgeanim.targets.checks import check_ran
from edgeanim.targets.profile import COMPUTE, CONVERT, INT8, LAYOUT, ExecutedOp

_CONVERTS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"}
_LAYOUTS = {"Transpose", "ReorderInput", "ReorderOutput"}
_KERNEL = "_kernel_time"
# What the optimiser adds to the names of nodes that it replaces.
_ORIGINAL = re.compile(r"(_nchwc|_token_\d+)$")
_PRECISIONS = {"float": "float32", "uint8": INT8, "int8": INT8, "float16": "float16"}


@dataclass(frozen=True)
class TracedNode:
    """A node of the optimised graph: its name there, and what it is."""

    name: str
    op: ExecutedOp


def read_trace(events: Iterable[Mapping[str, Any]]) -> list[TracedNode]:
    """The nodes of a trace with their median time, which a disturbed run does not move; the first
    run, which allocates, is left out if there are more."""
    listed = list(events)
    runs = sorted(e["ts"] + e["dur"] for e in listed if e.get("name") == "model_run")
    check_ran(bool(runs))
    warm = runs[0] if len(runs) > 1 else 0
    kernels: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in listed:
        name = str(event.get("name"))
        if event.get("cat") == "Node" and name.endswith(_KERNEL) and event["ts"] >= warm:
            place = str(event["args"].get("node_index", ""))
            kernels[name.removesuffix(_KERNEL), place].append(event)
    return [
        TracedNode(_ORIGINAL.sub("", name), _executed(same[0], median(e["dur"] for e in same)))
        for (name, _), same in kernels.items()
    ]


def _executed(event: Mapping[str, Any], time: float) -> ExecutedOp:
    args = event["args"]
    op = str(args["op_name"])
    tensors = args.get("input_type_shape") or args.get("output_type_shape") or [{"none": []}]
    precision = str(next(iter(tensors[0]), "none"))
    precision = _PRECISIONS.get(precision, precision)
    kind = CONVERT if op in _CONVERTS else LAYOUT if op in _LAYOUTS else COMPUTE
    return ExecutedOp(op, precision, kind, float(time))
