"""Activations that exporters write out become the one function that they are.

Before opset 20 ONNX has no Gelu, before 14 no HardSwish, so that files hold their parts. TFLite,
which has an op for each, would compute the error function of a Gelu by a polynomial of its own, in
many passes over the picture.
"""

from __future__ import annotations

import operator
from math import isclose, sqrt
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx


def fuse(module: fx.GraphModule) -> None:
    """Put the functions in the place of their parts, in place."""
    for node in list(module.graph.nodes):
        if node.target is torch.erf:
            _gelu(module.graph, node)
        elif node.target is F.hardsigmoid:
            _hardswish(module.graph, node)
    module.recompile()


def _gelu(graph: fx.Graph, erf: fx.Node) -> None:
    """x / 2 (1 + erf(x / sqrt 2)), the factors in any order."""
    x, scale = _scaled(erf.args[0])
    one_more = _only_user(erf, operator.add)
    if one_more is None or 1 not in one_more.args or not isclose(scale, 1 / sqrt(2), rel_tol=1e-5):
        return
    last, factor, seen = one_more, 1.0, 0
    while (after := _only_user(last, operator.mul)) is not None and (seen, factor) != (1, 0.5):
        other = after.args[1] if after.args[0] is last else after.args[0]
        base, number = (None, other) if isinstance(other, Real) else _scaled(other)
        if base not in (None, x):
            break
        last, factor, seen = after, factor * float(number), seen + (base is x)
    if seen == 1 and factor == 0.5:
        _replace(graph, last, F.gelu, x)


def _hardswish(graph: fx.Graph, gate: fx.Node) -> None:
    """x hardsigmoid(x)."""
    product = _only_user(gate, operator.mul)
    if product is not None and gate.args[0] in product.args:
        _replace(graph, product, F.hardswish, gate.args[0])


def _scaled(value: Any) -> tuple[Any, float]:
    """A value as another one times a number."""
    if isinstance(value, fx.Node) and len(value.args) == 2:
        left, right = value.args
        if value.target is operator.truediv and isinstance(right, Real):
            return left, 1 / float(right)
        if value.target is operator.mul and isinstance(right, Real):
            return left, float(right)
        if value.target is operator.mul and isinstance(left, Real):
            return right, float(left)
    return value, 1.0


def _only_user(node: fx.Node, function: Any) -> fx.Node | None:
    """The one node that reads `node`, if it calls `function`."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target is function else None


def _replace(graph: fx.Graph, node: fx.Node, function: Any, x: Any) -> None:
    """Let `node`, which keeps its name, call `function` on `x`; its parts go."""
    node.target, node.args = function, (x,)
    graph.eliminate_dead_code()
