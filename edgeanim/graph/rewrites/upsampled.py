"""A convolution after a nearest upsampling happens before it, phase by phase.

Upsampling by f repeats every pixel f times, so a k wide convolution of the result reads only
(f + k - 2) div f + 1 different pixels: 2 x 2 instead of 3 x 3 taps for f = 2, at the low resolution
and for all f x f phases in one convolution with f f times the outputs, which DepthToSpace then
interleaves. A reflected border narrower than f repeats the outermost pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeanim.graph.blocks import block_taps, upsampled_kernel
from edgeanim.graph.convolutions import (
    BlockConvolution,
    Plain,
    add_pad,
    interleave,
    plain_convolution,
    spatial_pads,
)
from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.upsampling import nearest_factor

_BORDERS = ("constant", "edge", "reflect")
"""Pads that are the same before and after an upsampling; one that wraps around is not."""


@dataclass(frozen=True)
class _Upsampling:
    """`source` is upsampled by `factor` and then padded by `begins` and `ends`, as `mode` says."""

    source: str
    factor: int
    begins: tuple[int, int]
    ends: tuple[int, int]
    mode: str


def rewrite(model: Any) -> int:
    """Returns the number of convolutions moved below their upsampling."""
    return rewrite_each(model, _move)


def _move(graph: Editor, node: Any) -> bool:
    plain = plain_convolution(graph, node)
    above = _above(graph, node, plain) if plain is not None else None
    if plain is None or above is None or plain.kernel.shape[2:] == (1, 1):
        return False
    low = graph.shapes[above.source][2:]
    factor, kernel = above.factor, plain.kernel
    phases = upsampled_kernel(kernel, factor)
    # The blocks of outputs begin at a multiple of the factor, which is up to f - 1 pixels early.
    crops = [-begin % factor for begin in above.begins]
    begins = [-(-begin // factor) for begin in above.begins]
    sizes = [-(-(size + crop) // factor) for size, crop in zip(plain.out, crops, strict=True)]
    taps = [block_taps(k, factor) for k in kernel.shape[2:]]
    ends = [
        size + tap - 1 - begin - given
        for size, tap, begin, given in zip(sizes, taps, begins, low, strict=True)
    ]
    if _work(sizes, taps, factor) >= _work(plain.out, kernel.shape[2:], 1):
        return False
    x, pads = above.source, [*begins, *ends]
    if above.mode != "constant":
        # Reflected, the one pixel beyond the border is the outermost itself.
        x = add_pad(
            graph, x, "edge", (begins[0], begins[1]), (ends[0], ends[1]), near=node.output[0]
        )
        pads = [0, 0, 0, 0]
    by = BlockConvolution(x, phases, factor, plain.out, pads, (crops[0], crops[1]))
    interleave(graph, node, by)
    return True


def _above(graph: Editor, node: Any, plain: Plain) -> _Upsampling | None:
    """The upsampling, and perhaps a pad, that `node` reads, if both can move."""
    begins, ends = plain.begins, plain.ends
    mode, x = "constant", node.input[0]
    pad = graph.maker(x, "Pad")
    if pad is not None:
        found = spatial_pads(graph, pad)
        if found is None or any((*begins, *ends)):
            return None
        mode, begins, ends = found
        if mode not in _BORDERS:
            return None
        x = pad.input[0]
    resize = graph.maker(x, "Resize")
    factor = nearest_factor(graph, resize) if resize is not None else None
    if resize is None or factor is None:
        return None
    if mode == "reflect" and max(*begins, *ends) >= factor:
        return None
    return _Upsampling(resize.input[0], factor, begins, ends, mode)


def _work(size: Any, taps: Any, factor: int) -> int:
    """Multiply-accumulates for each pair of an input and an output channel."""
    return int(np.prod(size) * np.prod(taps)) * factor**2
