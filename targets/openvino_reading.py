"""OpenVINO reads an ONNX graph, or says which node it does not take, and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.targets.checks import OTHER_BACKENDS

_UNKNOWN = re.compile(r"No conversion rule found for operations: (\w+)-\d+")
_REFUSED = re.compile(r"ONNX node '<Node\((\w+)\): (.+?)>':(.+?)(?:\n\n|\Z)", re.DOTALL)
"""An op, its node or what that gives, and what is wrong with it, which the last line says."""


def read_model(model: Any, where: Path) -> Any:
    """The `openvino.Model` of an ONNX `ModelProto`; `BadInput` names the first node that OpenVINO
    (2026.4) does not take. Of that, its own error speaks in the last lines of many."""
    import openvino

    try:
        return openvino.Core().read_model(model.SerializeToString())
    except RuntimeError as error:
        refused = _first_unknown(model, str(error)) or _first_refused(str(error))
        if refused is None:
            raise
        raise BadInput(refused, where=where, hint=OTHER_BACKENDS) from error


def _first_unknown(model: Any, error: str) -> str | None:
    from edgeanim.graph.nested import all_nodes
    from edgeanim.graph.queries import node_label

    unknown = _UNKNOWN.search(error)
    for node in all_nodes(model.graph):
        if unknown and node.op_type == unknown[1]:
            return f"OpenVINO does not know the op {node.op_type} of node {node_label(node)}."
    return None


def _first_refused(error: str) -> str | None:
    refused = _REFUSED.search(error)
    if refused is None:
        return None
    op, node, reasons = refused.groups()
    reason = reasons.strip().splitlines()[-1].rstrip(" ,.")
    return f"OpenVINO does not take the op {op} of node {node!r}: {reason}."
