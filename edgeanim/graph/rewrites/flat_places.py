"""Values looked up by a table of places are looked up by a row of them, and reshaped.

OpenVINO (2026.4) moves what scales 8-bit values back from before a Gather to behind it, without a
thought to the axes that a table adds: with a step for each channel it then refuses the graph.
Windows of a map are looked up so.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of look-ups by tables of known shape, which are by rows now."""
    return rewrite_each(model, _flatten)


def _flatten(graph: Editor, node: Any) -> bool:
    if node.op_type != "Gather":
        return False
    values, places = node.input
    shape, near = graph.shapes.get(node.output[0]), node.output[0]
    if len(graph.shapes.get(places, ())) < 2 or shape is None:
        return False
    row = graph.reshaped(places, (-1,), near=near)
    x = graph.add("Gather", [values, row], near=near, **attributes(node))
    graph.replace(node, graph.reshaped(x, shape, near=near), renamed=True)
    return True
