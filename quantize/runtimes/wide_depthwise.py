"""Wide depthwise convolutions, as ConvNeXt's, which ONNX Runtime computes faster in float on x86.

Its kernel for them in 8 bits takes tap after tap there: 7 x 7 lasts nearly three times as long as
in float, and 3 x 3 as long. Where float ops alone read the result, a norm say, the map leaves the 8
bits in any case, before or after. Between convolutions in 8 bits, float would have to be converted
to and from, which takes longer than the kernel.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any

from edgeanim.graph.edit import attributes

_LEAST_TAPS = 25


def find_wide_depthwise(model: Any, rounded: Collection[str]) -> set[str]:
    """The names of those nodes of an ONNX `model` that had better be in float, of the nodes that
    are to be `rounded`; none where no other convolution would remain."""
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.name in rounded]
    read = {name for node in model.graph.node if node.name in rounded for name in node.input}
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wide = {
        node.name
        for node in convolutions
        if _is_wide(node, kernels.get(node.input[1], ())) and node.output[0] not in read
    }
    return wide if len(wide) < len(convolutions) else set()


def _is_wide(convolution: Any, kernel: tuple[int, ...]) -> bool:
    """Whether each channel has a filter of its own, and one of many taps. `kernel` is the shape
    [C, 1, kh, kw]."""
    groups = attributes(convolution).get("group", 1)
    return groups > 1 and kernel[:2] == (groups, 1) and prod(kernel[2:]) >= _LEAST_TAPS
