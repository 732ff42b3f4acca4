"""Pads of convolutions said once and in numbers: `auto_pad` is spelt out, that of transposed ones
too, and a pad by zeros joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeanim.graph.convolutions import pad_value
from edgeanim.graph.edit import Editor, attributes, rewrite_each, set_attributes, states_pads


def rewrite(model: Any) -> int:
    """Returns the number of places changed."""
    rules = (_spell_out, _spell_out_transposed, _join)
    return rewrite_each(model, lambda graph, node: sum(rule(graph, node) for rule in rules))


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
    dilations = given.get("dilations", [1] * rank)
    windows = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    needed = pads_needed(mode, shape[2:], windows, given.get("strides", [1] * rank))
    set_attributes(node, auto_pad=None, pads=shared_out(mode, [max(0, n) for n in needed]))
    return True


def _spell_out_transposed(graph: Editor, node: Any) -> bool:
    """The same for what is left out of a transposed convolution's result, where that is said by the
    mode or by the result's size, as TensorFlow's are (ONNX operators, ConvTranspose)."""
    given = attributes(node)
    mode, wanted = given.get("auto_pad", "NOTSET"), given.get("output_shape")
    if node.op_type != "ConvTranspose" or (mode == "NOTSET" and wanted is None):
        return False
    shape, kernel = graph.shapes.get(node.input[0]), _kernel(graph, node, given)
    if shape is None or kernel is None:
        return False
    rank = len(shape) - 2
    strides, dilations = (given.get(name, [1] * rank) for name in ("strides", "dilations"))
    extra = given.get("output_padding", [0] * rank)
    whole = [
        (size - 1) * stride + (k - 1) * dilation + 1 + more
        for size, stride, k, dilation, more in zip(
            shape[2:], strides, kernel, dilations, extra, strict=True
        )
    ]
    if wanted is None:
        same = [size * stride for size, stride in zip(shape[2:], strides, strict=True)]
        wanted = whole if mode == "VALID" else same
    surplus = [size - left for size, left in zip(whole, wanted[-rank:], strict=True)]
    if min(surplus) < 0:
        return False
    # Of an odd number one more goes in front, unless the mode says otherwise.
    pads = shared_out(mode if mode == "SAME_UPPER" else "SAME_LOWER", surplus)
    set_attributes(node, auto_pad=None, output_shape=None, pads=pads)
    return True


def pads_needed(
    mode: str, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """How many pixels `auto_pad` adds on each axis, both sides together; below zero where strides
    leave out a border."""
    if mode == "VALID":
        return [0] * len(sizes)
    axes = zip(sizes, windows, strides, strict=True)
    return [(-(-size // stride) - 1) * stride + window - size for size, window, stride in axes]


def shared_out(mode: str, needed: Sequence[int]) -> list[int]:
    """The same as ONNX's `pads`: half before, half behind, and of an odd number one more where the
    mode says."""
    smaller = [n // 2 for n in needed]
    larger = [n - n // 2 for n in needed]
    return [*larger, *smaller] if mode == "SAME_LOWER" else [*smaller, *larger]


def _join(graph: Editor, node: Any) -> bool:
    """`Conv(Pad(x))` with zeros is one `Conv`."""
    pad = graph.maker(node.input[0], "Pad") if node.op_type == "Conv" else None
    if pad is None:
        return False
    own, pads = attributes(node), graph.setting_of(pad, "pads", 1)
    if (
        attributes(pad).get("mode", "constant") != "constant"
        or pads is None
        or pad_value(graph, pad) != 0
        or len(pad.input) > 3
        or not states_pads(own)
    ):
        return False
    rank = len(pads) // 2
    begins, ends = list(pads[:rank]), list(pads[rank:])
    if any(begins[:2]) or any(ends[:2]) or min([*begins, *ends]) < 0:
        return False
    added = [int(v) for v in (*begins[2:], *ends[2:])]
    present = own.get("pads", [0] * len(added))
    total = [a + b for a, b in zip(added, present, strict=True)]
    set_attributes(node, auto_pad=None, pads=total)
    node.input[0] = pad.input[0]
    graph.reindex(node)
    return True


def _kernel(graph: Editor, node: Any, given: dict[str, Any]) -> list[int] | None:
    if "kernel_shape" in given:
        return list(given["kernel_shape"])
    shape = graph.shapes.get(node.input[1]) if len(node.input) > 1 else None
    return None if shape is None else list(shape[2:])
