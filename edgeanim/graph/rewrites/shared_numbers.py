"""A number per channel that several nodes read is stored anew for each of them.

PyTorch's exporter stores equal values once, such as the all-zero biases of several layers. Who
follows channels would take the layers for tied by them, though they only happen to be equal.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import editing
from edgeanim.graph.nested import read_instead
from edgeanim.graph.queries import is_per_channel


def rewrite(model: Any) -> int:
    """Returns the number of copies; the first reader of each constant keeps the one with its
    name."""
    copies = 0
    with editing(model) as graph:
        for name, value in list(graph.constants.items()):
            others = graph.users(name)[1:] if is_per_channel(value) else []
            for node in others:
                read_instead(node, name, graph.constant(value, near=name))
            graph.reindex(*others)
            copies += len(others)
    return copies
