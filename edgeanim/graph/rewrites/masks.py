"""Values that are masked by adding a stored -inf are replaced by it.

INT8 has no infinity: a sum that holds one has no range to be rounded in. What replaces values is
not rounded, and the softmax behind it sees what it is to see.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of additions of a mask, which choose by it now. What else a mask holds is
    added as before."""
    return rewrite_each(model, _choose)


def _choose(graph: Editor, node: Any) -> bool:
    if node.op_type != "Add":
        return False
    x, mask = sorted(node.input, key=lambda name: name in graph.constants)
    values = graph.constants.get(mask)
    if values is None or x in graph.constants or not np.isneginf(values).any():
        return False
    near, kept = node.output[0], ~np.isneginf(values)
    rest = np.where(kept, values, 0)
    if rest.any():
        x = graph.add("Add", [x, graph.constant(rest, near=near)], near=near)
    hidden = graph.constant(np.array(-np.inf, values.dtype), near=near)
    chosen = [graph.constant(kept, near=near), x, hidden]
    graph.replace(node, graph.add("Where", chosen, near=near), renamed=True)
    return True
