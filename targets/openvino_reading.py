"""OpenVINO reads an ONNX graph, or says which node it does not know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.targets.checks import OTHER_BACKENDS

_UNKNOWN = re.compile(r"No conversion rule found for operations: (\w+)-\d+")


def read_model(model: Any, where: Path) -> Any:
    """The `openvino.Model` of an ONNX `ModelProto`; `BadInput` names the first node with an op that
    OpenVINO (2026.4) has not. Of that, its own error speaks in the last lines of many."""
    import openvino

    try:
        return openvino.Core().read_model(model.SerializeToString())
    except RuntimeError as error:
        node = _first_unknown(model, str(error))
        if node is None:
            raise
        from edgeanim.graph.queries import node_label

        raise BadInput(
            f"OpenVINO does not know the op {node.op_type} of node {node_label(node)}.",
            where=where,
            hint=OTHER_BACKENDS,
        ) from error


def _first_unknown(model: Any, error: str) -> Any | None:
    from edgeanim.graph.nested import all_nodes

    unknown = _UNKNOWN.search(error)
    ops = (node for node in all_nodes(model.graph) if unknown and node.op_type == unknown[1])
    return next(ops, None)
