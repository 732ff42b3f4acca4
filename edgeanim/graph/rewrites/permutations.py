"""Channels in another order, looked up by a Gather, are brought into it in two exchanges.

OpenVINO (2026.4) takes such a Gather into the weights of the convolution behind it, but by the
inverse order: its numbers are others, without a word. An order that is its own inverse it gets
right, and every order is one of these after another (a cycle's rotation is two reflections).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants


def rewrite(model: Any) -> int:
    """Returns the number of Gathers that are two now."""
    if all(node.op_type != "Gather" for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _exchange_twice)


def _exchange_twice(graph: Editor, node: Any) -> bool:
    order = _order(graph, node)
    if order is None or np.array_equal(order[order], np.arange(order.size)):
        return False
    first, second = _exchanges(order)
    near, axis = node.output[0], attributes(node).get("axis", 0)
    places = graph.constant(first, near=near)
    node.input[0] = graph.add("Gather", [node.input[0], places], near=near, axis=axis)
    graph.set_constant(node, 1, second)
    graph.reindex(node)
    return True


def _order(graph: Editor, node: Any) -> AnyArray | None:
    """What a Gather looks up, from 0, if that is everything once."""
    if node.op_type != "Gather":
        return None
    places, shape = graph.constant_of(node, 1), graph.shapes.get(node.input[0])
    if places is None or places.ndim != 1 or shape is None:
        return None
    # Of any axis: transposed, each may be that of the channels.
    size = shape[attributes(node).get("axis", 0)]
    order = places % size
    return order if np.array_equal(np.sort(order), np.arange(size)) else None


def _exchanges(order: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Two orders, each its own inverse, of which the second after the first is `order`."""
    first, second = order.copy(), order.copy()
    pending = set(range(order.size))
    while pending:
        cycle = [pending.pop()]
        while (place := int(order[cycle[-1]])) != cycle[0]:
            cycle.append(place)
        pending.difference_update(cycle)
        for step, place in enumerate(cycle):
            second[place] = cycle[-step]
            first[place] = cycle[(1 - step) % len(cycle)]
    return first, second
