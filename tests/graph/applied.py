"""A rewrite applied to a copy of a graph."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import onnx

from edgeanim.graph.edit import infer_shapes


def applied(module: ModuleType, model: Any) -> tuple[int, Any, Counter[str]]:
    """The rewrite's count, the rewritten copy of `model`, and its ops."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    count = module.rewrite(copy)
    onnx.checker.check_model(copy, full_check=True)
    return count, copy, Counter(node.op_type for node in copy.graph.node)
