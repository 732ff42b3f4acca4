"""`number - x` and `number / x` in forms that do not begin with the constant.

Where litert-torch 0.10 moves a transpose over an op whose first operand is a constant, that becomes
the second one: 1 - x is computed as x - 1, and 1 / x as x. The forms here have no such order, and
one op more.
"""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import torch
from torch import fx


def without_leading_constants(module: fx.GraphModule) -> int:
    """Put those forms in the place of all that do, in place; returns how many."""
    count = 0
    for node in list(module.graph.nodes):
        if node.op != "call_function" or not _begins_with_constant(node):
            continue
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(_restated(module.graph, node))
        module.graph.erase_node(node)
        count += 1
    module.recompile()
    return count


def _begins_with_constant(node: fx.Node) -> bool:
    if node.target is torch.reciprocal:
        return True
    first = node.args[0] if node.target in (operator.sub, operator.truediv) else None
    return isinstance(first, Real) or (isinstance(first, fx.Node) and first.op == "get_attr")


def _restated(graph: fx.Graph, node: fx.Node) -> fx.Node:
    def call(function: Any, *operands: Any) -> fx.Node:
        return graph.call_function(function, operands)

    first, x = (1.0, node.args[0]) if node.target is torch.reciprocal else node.args
    if node.target is operator.sub:
        return call(operator.add, call(operator.mul, x, -1), first)
    inverse = call(torch.pow, x, -1.0)
    return inverse if first == 1.0 else call(operator.mul, inverse, first)
