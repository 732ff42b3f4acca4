"""What OpenVINO's execution graph says of each node."""

from __future__ import annotations

from collections.abc import Mapping

from edgeanim.targets.profile import COMPUTE, CONVERT, INT8, LAYOUT, ExecutedOp

_NOT_WORK = {"Input", "Output", "Const", "Parameter", "Result", "Constant"}
_LAYOUTS = {"Reorder", "Transpose"}
_CONVERTS = {"Convert", "FakeQuantize"}
_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "u8": INT8, "i8": INT8}


def executed(info: Mapping[str, str]) -> ExecutedOp | None:
    """The op that a node's run-time information describes; `None` if it did no work."""
    op, time = info.get("layerType", "unknown"), info.get("execTimeMcs", "not_executed")
    if op in _NOT_WORK or not time.isdigit():
        return None
    runs_in = info.get("runtimePrecision", "unknown")
    gives = info.get("outputPrecisions", runs_in).split(",")[0]
    precision = _PRECISIONS.get(runs_in, runs_in)
    return ExecutedOp(op, precision, _kind(op, runs_in, gives, info), float(time))


def _kind(op: str, runs_in: str, gives: str, info: Mapping[str, str]) -> str:
    """A lone FakeQuantize turns up as an elementwise `Subgraph` from float to 8 bits."""
    converts = _PRECISIONS.get(gives) == INT8 and _PRECISIONS.get(runs_in) != INT8
    alone = "," not in info.get("originalLayersNames", "")
    if op in _CONVERTS or (converts and alone and op in ("Subgraph", "Reorder", "Eltwise")):
        return CONVERT
    return LAYOUT if op in _LAYOUTS else COMPUTE
