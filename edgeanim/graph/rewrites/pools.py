"""The windows of pools said in numbers, as ONNX Runtime lays them.

`auto_pad` takes no notice of a dilation there, and with `ceil_mode` a last window that would begin
behind the picture is none, of which ONNX's own inference of shapes knows since opset 22 only.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, editing, set_attributes
from edgeanim.graph.rewrites.pads import pads_needed, shared_out

_POOLS = ("AveragePool", "MaxPool")


def rewrite(model: Any) -> int:
    """Returns the number of pools restated, each once the shapes before it are known."""
    total = 0
    while _first(model):
        total += 1
    return total


def _first(model: Any) -> bool:
    with editing(model) as graph:
        pools = (node for node in graph.nodes if node.op_type in _POOLS)
        return any(_spell_out_pads(graph, node) or _round_down(graph, node) for node in pools)


def _spell_out_pads(graph: Editor, node: Any) -> bool:
    """`auto_pad` as numbers. Where strides leave out a border it stays: the pads would be negative,
    which even ONNX Runtime's own kernels differ about."""
    given = attributes(node)
    mode = given.get("auto_pad", "NOTSET")
    shape = graph.shapes.get(node.input[0])
    if mode == "NOTSET" or shape is None:
        return False
    kernel = given["kernel_shape"]
    needed = pads_needed(mode, shape[2:], kernel, given.get("strides", [1] * len(kernel)))
    if min(needed) < 0:
        return False
    set_attributes(node, auto_pad=None, pads=shared_out(mode, needed))
    return True


def _round_down(graph: Editor, node: Any) -> bool:
    """Without `ceil_mode`, where that asks for a window of no pixels; the other axes are padded to
    whole windows, unless pads count in a mean, which what is beyond them does not."""
    given = attributes(node)
    shape = graph.shapes.get(node.input[0])
    if not given.get("ceil_mode", 0) or given.get("auto_pad", "NOTSET") != "NOTSET" or not shape:
        return False
    kernel = given["kernel_shape"]
    rank = len(kernel)
    strides, dilations = (given.get(name, [1] * rank) for name in ("strides", "dilations"))
    pads = list(given.get("pads", [0] * (2 * rank)))
    empty, missing = False, [0] * rank
    for axis, size in enumerate(shape[2:]):
        window = (kernel[axis] - 1) * dilations[axis] + 1
        count, rest = divmod(size + pads[axis] + pads[rank + axis] - window, strides[axis])
        if rest and (count + 1) * strides[axis] >= size + pads[axis]:
            empty = True
        elif rest:
            missing[axis] = strides[axis] - rest
    if not empty or (any(missing) and given.get("count_include_pad", 0)):
        return False
    ends = [end + more for end, more in zip(pads[rank:], missing, strict=True)]
    set_attributes(node, ceil_mode=None, pads=[*pads[:rank], *ends])
    return True
