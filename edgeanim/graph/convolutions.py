"""What rewrites of convolutions share: reading one, its pads, and putting one between blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, states_pads

Pair = tuple[int, int]


@dataclass(frozen=True)
class Plain:
    """A two-dimensional convolution with stride 1, no dilation, one group, constant weights.

    `kernel` is [O, I, h, w]; `out` the height and width that it gives; `begins` and `ends` its own
    pads by zeros.
    """

    kernel: AnyArray
    out: Pair
    begins: Pair
    ends: Pair


def plain_convolution(graph: Editor, node: Any) -> Plain | None:
    """`node` as a `Plain` one, if it is that."""
    if node.op_type != "Conv":
        return None
    given = attributes(node)
    kernel, out = graph.constant_of(node, 1), graph.shapes.get(node.output[0], ())
    if kernel is None or kernel.ndim != 4 or len(out) != 4 or not graph.is_known(node, 2):
        return None
    if (
        any(v != 1 for v in (*given.get("strides", ()), *given.get("dilations", ())))
        or given.get("group", 1) != 1
        or not states_pads(given)
    ):
        return None
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return Plain(kernel, (out[2], out[3]), (top, left), (bottom, right))


def is_convolution(node: Any | None) -> bool:
    """Whether there is a node, and it is a convolution."""
    return node is not None and node.op_type == "Conv"


def spatial_pads(graph: Editor, pad: Any) -> tuple[str, Pair, Pair] | None:
    """Mode, begins and ends of a Pad of height and width only; of constants, zero only."""
    pads, mode = graph.setting_of(pad, "pads", 1), attributes(pad).get("mode", "constant")
    if pads is None or len(pads) != 8 or len(pad.input) > 3 or pads.min() < 0:
        return None
    if any(pads[[0, 1, 4, 5]]) or (mode == "constant" and pad_value(graph, pad) != 0):
        return None
    top, left, bottom, right = (int(pads[i]) for i in (2, 3, 6, 7))
    return mode, (top, left), (bottom, right)


def pad_value(graph: Editor, pad: Any) -> float | None:
    """What a Pad in constant mode fills in; `None` if it is computed."""
    if graph.has_input(pad, 2):
        return graph.scalar_of(pad, 2)
    return float(attributes(pad).get("value", 0.0))


@dataclass(frozen=True)
class BlockConvolution:
    """A convolution that gives blocks of pixels as channels, in place of one that gives the pixels.

    `kernel` [b b O, I, h, w] on the value `x`, with `pads` by zeros, gives blocks of `block` x
    `block` pixels. Of the picture of these blocks, `out` rows and columns are wanted, from `crops`
    on.
    """

    x: str
    kernel: AnyArray
    block: int
    out: Pair
    pads: Sequence[int] = (0, 0, 0, 0)
    crops: Pair = (0, 0)


def interleave(graph: Editor, node: Any, by: BlockConvolution) -> None:
    """Let the blocks of `by`, then DepthToSpace, then a crop give what `node` gives.

    The result is a Conv of the node's own name, with its bias repeated.
    """
    near = node.output[0]
    blocks = _in_blocks(graph, node, by)
    replaced = [node]
    activation = graph.only_user(near)
    if activation is not None and activation.op_type == "Relu":
        # Runtimes compute it with the convolution, and INT8 has no levels to spare for what it
        # takes away.
        blocks = graph.add("Relu", [blocks], near=activation.output[0])
        replaced.append(activation)
    y = graph.add("DepthToSpace", [blocks], near=near, blocksize=by.block)
    ends = tuple(crop + size for crop, size in zip(by.crops, by.out, strict=True))
    if any(by.crops) or any(end % by.block for end in ends):
        bounds = [
            graph.constant(np.array(values, np.int64), near=near)
            for values in (by.crops, ends, (2, 3))
        ]
        y = graph.add("Slice", [y, *bounds], near=near)
    for each in replaced:
        graph.replace(each, y)


def _in_blocks(graph: Editor, node: Any, by: BlockConvolution) -> str:
    """Add the convolution; returns the blocks that it gives."""
    import onnx

    inputs = [by.x, graph.constant(by.kernel, near=node.input[1])]
    if graph.has_input(node, 2):
        bias = graph.constants[node.input[2]]
        inputs.append(graph.constant(np.tile(bias, by.block**2), near=node.input[2]))
    blocks = graph.fresh(f"{node.output[0]}/blocks")
    settings = {"kernel_shape": by.kernel.shape[2:], "pads": by.pads}
    graph.append(onnx.helper.make_node("Conv", inputs, [blocks], node.name, **settings))
    return blocks


def add_pad(graph: Editor, x: str, mode: str, begins: Pair, ends: Pair, *, near: str) -> str:
    """Pad height and width of `x`, unless by nothing; returns the padded value."""
    if not any((*begins, *ends)):
        return x
    pads = graph.constant(np.array([0, 0, *begins, 0, 0, *ends], np.int64), near=near)
    return graph.add("Pad", [x, pads], near=near, mode=mode)
