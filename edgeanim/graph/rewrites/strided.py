"""A convolution of whose result every n-th pixel is kept computes only these.

So the nets after the first order motion model shrink a picture: a wide blur at full size, then a
slice. Of the blur, fifteen sixteenths were thrown away.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each, set_attributes, states_pads


def rewrite(model: Any) -> int:
    """Returns the number of slices that are strides now."""
    return rewrite_each(model, _stride)


def _stride(graph: Editor, node: Any) -> bool:
    conv = graph.maker(node.input[0], "Conv") if node.op_type == "Slice" else None
    if conv is None or graph.only_user(conv.output[0]) is None:
        return False
    steps = _steps(graph, node)
    kernel, shape = (graph.shapes.get(name, ()) for name in (conv.input[1], conv.input[0]))
    given = attributes(conv)
    if steps is None or len(shape) != 4 or len(kernel) != 4 or not states_pads(given):
        return False
    strides, pads = list(given.get("strides", (1, 1))), list(given.get("pads", (0,) * 4))
    dilations, wanted = given.get("dilations", (1, 1)), graph.shapes[node.output[0]]
    for axis, (start, step) in enumerate(steps):
        window = dilations[axis] * (kernel[2 + axis] - 1) + 1
        pads[axis] -= start * strides[axis]
        strides[axis] *= step
        count, size = wanted[2 + axis], shape[2 + axis]
        covered = (count - 1) * strides[axis] + window - pads[axis]
        pads[2 + axis] = max(0, covered - size)
        made = (size + pads[axis] + pads[2 + axis] - window) // strides[axis] + 1
        if pads[axis] < 0 or made != count:
            return False
    set_attributes(conv, strides=strides, pads=pads, auto_pad=None)
    graph.shapes[conv.output[0]] = wanted
    graph.replace(node, conv.output[0])
    return True


def _steps(graph: Editor, node: Any) -> list[tuple[int, int]] | None:
    """Start and step along height and width; `None` unless one of them steps, and nothing else is
    cut."""
    shape, out = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    values = [graph.constant_of(node, index) for index in range(1, len(node.input))]
    if len(shape) != 4 or len(out) != 4 or shape[:2] != out[:2] or len(values) < 4:
        return None
    if any(value is None for value in values):
        return None
    starts, ends, axes, steps = (list(map(int, v.ravel())) for v in values if v is not None)
    found = [(0, 1), (0, 1)]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= 4
        if step < 1:
            return None
        if axis < 2:
            continue  # whole, as its size tells
        begin, _, _ = slice(start, end, step).indices(shape[axis])
        found[axis - 2] = (begin, step)
    return found if any(step > 1 for _, step in found) else None
