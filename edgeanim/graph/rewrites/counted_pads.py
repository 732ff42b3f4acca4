"""A mean over windows whose pads count is a depthwise convolution by equal numbers.

In INT8 graphs OpenVINO (2026.4) lets a shift in front of such a pool, or of a Pad before one, come
after it, where it is added to the pads as well: near the border the numbers are others.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from edgeanim.graph.convolutions import spatial_pads
from edgeanim.graph.edit import Editor, attributes, rewrite_each, states_pads


def rewrite(model: Any) -> int:
    """Returns the number of pools that are convolutions now; they keep their names."""
    return rewrite_each(model, _convolve)


def _convolve(graph: Editor, node: Any) -> bool:
    if node.op_type != "AveragePool":
        return False
    given, shape = attributes(node), graph.shapes.get(node.input[0], ())
    own = any(given.get("pads", ()))
    counted = given.get("count_include_pad", 0) if own else _is_padded(graph, node.input[0])
    if not counted or len(shape) != 4 or given.get("ceil_mode", 0):
        return False
    if not states_pads(given):
        return False
    channels, window = shape[1], given["kernel_shape"]
    kernel = np.full((channels, 1, *window), 1 / prod(window), np.float32)
    settings = {name: given[name] for name in ("dilations", "pads", "strides") if name in given}
    near = node.output[0]
    inputs = [node.input[0], graph.constant(kernel, near=near)]
    made = graph.add("Conv", inputs, near=near, name=node.name, group=channels, **settings)
    graph.replace(node, made, renamed=True)
    return True


def _is_padded(graph: Editor, name: str) -> bool:
    """Whether a value has a border of zeros."""
    pad = graph.maker(name, "Pad")
    found = None if pad is None else spatial_pads(graph, pad)
    return found is not None and found[0] == "constant"
