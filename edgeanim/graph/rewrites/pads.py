"""Pads of convolutions said once and in numbers: `auto_pad` is spelt out, a pad by zeros joins."""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each, set_attributes


def rewrite(model: Any) -> int:
    """Returns the number of places changed."""
    return rewrite_each(model, lambda graph, node: _spell_out(graph, node) + _join(graph, node))


def _spell_out(graph: Editor, node: Any) -> bool:
    """`SAME_UPPER`, `SAME_LOWER` and `VALID` as numbers (ONNX operators, Conv)."""
    given = attributes(node)
    mode = given.get("auto_pad", "NOTSET")
    if mode == "NOTSET" or node.op_type != "Conv":
        return False
    shape = graph.shapes.get(node.input[0])
    kernel = _kernel(graph, node, given)
    if shape is None or kernel is None:
        return False
    rank = len(shape) - 2
    strides = given.get("strides", [1] * rank)
    dilations = given.get("dilations", [1] * rank)
    begins, ends = [], []
    for size, k, stride, dilation in zip(shape[2:], kernel, strides, dilations, strict=True):
        needed = 0
        if mode != "VALID":
            steps = -(-size // stride)
            needed = max(0, (steps - 1) * stride + (k - 1) * dilation + 1 - size)
        smaller, larger = needed // 2, needed - needed // 2
        begins.append(smaller if mode != "SAME_LOWER" else larger)
        ends.append(larger if mode != "SAME_LOWER" else smaller)
    set_attributes(node, auto_pad=None, pads=[*begins, *ends])
    return True


def _join(graph: Editor, node: Any) -> bool:
    """`Conv(Pad(x))` with zeros is one `Conv`."""
    pad = graph.maker(node.input[0], "Pad") if node.op_type == "Conv" else None
    if pad is None:
        return False
    own, given = attributes(node), attributes(pad)
    pads = given.get("pads")
    pads = graph.constant_of(pad, 1) if pads is None else pads
    value = (
        graph.scalar_of(pad, 2) if len(pad.input) > 2 and pad.input[2] else given.get("value", 0)
    )
    if (
        given.get("mode", "constant") != "constant"
        or pads is None
        or value != 0
        or len(pad.input) > 3
        or own.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    ):
        return False
    rank = len(pads) // 2
    begins, ends = list(pads[:rank]), list(pads[rank:])
    if any(begins[:2]) or any(ends[:2]) or min([*begins, *ends]) < 0:
        return False
    added = [int(v) for v in (*begins[2:], *ends[2:])]
    present = own.get("pads", [0] * len(added))
    pads = [a + b for a, b in zip(added, present, strict=True)]
    set_attributes(node, auto_pad=None, pads=pads)
    node.input[0] = pad.input[0]
    graph.reindex()
    return True


def _kernel(graph: Editor, node: Any, given: dict[str, Any]) -> list[int] | None:
    if "kernel_shape" in given:
        return list(given["kernel_shape"])
    shape = graph.shapes.get(node.input[1]) if len(node.input) > 1 else None
    return None if shape is None else list(shape[2:])
