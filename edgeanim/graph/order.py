"""Which nodes of a graph are needed, and in which order they can run."""

from __future__ import annotations

from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.graph.nested import nested_inputs
from edgeanim.graph.queries import node_label


def live_nodes(nodes: list[Any], outputs: list[str]) -> list[Any]:
    """Those that `outputs` need, in the given order: dead code is left out."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    pending, live = list(outputs), set()
    while pending:
        index = makers.get(pending.pop())
        if index is not None and index not in live:
            live.add(index)
            pending += nested_inputs(nodes[index])
    return [node for i, node in enumerate(nodes) if i in live]


def in_order(nodes: list[Any]) -> list[Any]:
    """Makers before users, otherwise in the given order: a topological sort, depth first.
    `BadInput` if they read each other."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    done: set[int] = set()
    begun: set[int] = set()
    order: list[Any] = []
    for start in range(len(nodes)):
        stack = [start]
        while stack:
            index = stack[-1]
            waiting = {makers[n] for n in nested_inputs(nodes[index]) if n in makers} - done
            waiting.discard(index)
            if index in done or not waiting:
                stack.pop()
                if index not in done:
                    done.add(index)
                    order.append(nodes[index])
            elif index in begun:  # all that it waits for has had its turn
                raise BadInput(
                    f"The node {node_label(nodes[index])} depends on its own output.",
                    hint="No runtime can compute such a graph; export it again.",
                )
            else:
                begun.add(index)
                stack.extend(sorted(waiting, reverse=True))
    return order
