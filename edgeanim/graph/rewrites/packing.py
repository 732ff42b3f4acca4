"""Narrow convolutions at full resolution work on blocks of pixels, so that no lane idles.

A convolution to 3 channels fills 3 of 8 lanes. Between SpaceToDepth and DepthToSpace with blocks of
b x b it has b b times the channels and fewer, if less sparse, taps: exactly the same sums, more
multiply-accumulates, and full vectors. Whether that pays is a matter of cost, see `_cost`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from edgeanim.graph.blocks import block_taps, packed_kernel
from edgeanim.graph.convolutions import (
    BlockConvolution,
    Pair,
    Plain,
    add_pad,
    interleave,
    plain_convolution,
    spatial_pads,
)
from edgeanim.graph.edit import Editor, rewrite_each

BLOCKS = (2, 3, 4)
LANES = 8
"""float32 lanes of the widest common vectors (AVX2); pass 4 for Arm's, 16 for AVX-512's."""
EFFICIENCY = {1: 0.45, 2: 0.8}
"""Multiply-accumulates a cycle with so many vectors of outputs, relative to four and more: one
vector reuses no pixel that was loaded (measured with 8 to 32 outputs in ONNX Runtime, AVX2)."""
MOVE = 100
"""Moving one number between depth and space takes as long as so many multiply-accumulates."""
GAIN = 1.15
"""Below this predicted gain the convolution stays as it is."""


def rewrite(model: Any, *, lanes: int = LANES) -> int:
    """Returns the number of convolutions packed, for vectors of `lanes` numbers."""
    return rewrite_each(model, partial(_pack, lanes=lanes))


def _pack(graph: Editor, node: Any, lanes: int) -> bool:
    plain = plain_convolution(graph, node)
    if plain is None:
        return False
    block = min((1, *BLOCKS), key=lambda b: _cost(plain, b, lanes))
    if _cost(plain, block, lanes) * GAIN > _cost(plain, 1, lanes):
        return False
    x, mode, begins, ends = _padded_input(graph, node, plain)
    size = graph.shapes.get(x)
    if size is None:
        return False
    more = _beyond(plain, block)
    ends = (ends[0] + more[0], ends[1] + more[1])
    if mode == "reflect" and any(end >= axis for end, axis in zip(ends, size[2:], strict=True)):
        return False
    near = node.output[0]
    # What the last blocks read beyond the border meets weights of zero or is cropped.
    x = add_pad(graph, x, mode, begins, ends, near=near)
    x = graph.add("SpaceToDepth", [x], near=near, blocksize=block)
    kernel = packed_kernel(plain.kernel, block)
    interleave(graph, node, BlockConvolution(x, kernel, block, plain.out))
    return True


def _padded_input(graph: Editor, node: Any, plain: Plain) -> tuple[str, str, Pair, Pair]:
    """What is convolved before any padding, and how it is padded."""
    pad = graph.maker(node.input[0], "Pad")
    found = spatial_pads(graph, pad) if pad is not None else None
    if pad is None or found is None or any((*plain.begins, *plain.ends)):
        return node.input[0], "constant", plain.begins, plain.ends
    return str(pad.input[0]), *found


def _beyond(plain: Plain, block: int) -> Pair:
    """How many more rows and columns than pixels' kernels those of whole blocks read."""
    rows, columns = (
        (-(-size // block) + block_taps(kernel, block) - 1) * block - (size + kernel - 1)
        for size, kernel in zip(plain.out, plain.kernel.shape[2:], strict=True)
    )
    return rows, columns


def _cost(plain: Plain, block: int, lanes: int) -> float:
    """What one pixel of the result costs, in multiply-accumulates of one full lane.

    Outputs count in whole vectors, inputs too once they fill one (runtimes store them so), all
    divided by the efficiency of so few vectors; moves between depth and space come on top.
    """
    outputs, inputs, height, width = plain.kernel.shape
    taps = block_taps(height, block) * block_taps(width, block)
    vectors = -(-outputs * block**2 // lanes)
    read = inputs * block**2
    read = read if read < lanes else -(-read // lanes) * lanes
    work = vectors * lanes * read * taps / block**2 / EFFICIENCY.get(vectors, 1.0)
    moved = MOVE * (inputs + outputs) if block > 1 else 0
    return float(work + moved)
