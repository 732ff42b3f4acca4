"""A PRelu with one slope for all channels is the LeakyRelu with that slope.

nn.PReLU() makes such ones. Runtimes fuse a LeakyRelu with a convolution, or look it up in a table
in 8 bits, where ONNX Runtime computes a PRelu in float by itself.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, rewrite_each, set_attributes


def rewrite(model: Any) -> int:
    """Returns the number of PRelus with one slope, which are LeakyRelus now."""
    return rewrite_each(model, _to_leaky)


def _to_leaky(graph: Editor, node: Any) -> bool:
    slope = graph.scalar_of(node, 1) if node.op_type == "PRelu" else None
    if slope is None:
        return False
    node.op_type = "LeakyRelu"
    del node.input[1:]
    set_attributes(node, alpha=slope)
    graph.reindex(node)
    return True
