"""The algebra of working on blocks of pixels instead of pixels: kernels rearranged, exactly.

A picture [C, H, W] and its space-to-depth form [b b C, H/b, W/b] hold the same numbers, so a
convolution from one to the other is a convolution between blocks. Channels are ordered as ONNX's
DepthToSpace (mode DCR) and SpaceToDepth do: row in the block, column in the block, channel.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from edgeanim.graph.edit import AnyArray


def block_taps(kernel: int, block: int) -> int:
    """How many blocks a `kernel` wide convolution reads for one block of outputs."""
    return (block + kernel - 2) // block + 1


def packed_kernel(kernel: AnyArray, block: int) -> AnyArray:
    """From [O, I, h, w], which acts on pixels, to [b b O, b b I, th, tw], which acts on blocks.

    Output a of a block reads pixel a + t for tap t: pixel (a + t) mod b of the block (a + t) div b.
    """
    phases = _phases(kernel, block)
    outputs, inputs, taps_h, taps_w = phases.shape[2], phases.shape[5], *phases.shape[6:]
    return phases.reshape(block**2 * outputs, block**2 * inputs, taps_h, taps_w)


def upsampled_kernel(kernel: AnyArray, factor: int) -> AnyArray:
    """From [O, I, h, w] after a nearest upsampling to [f f O, I, th, tw] before it.

    All pixels of an upsampled block are the same, so the taps that fall on one block add up.
    """
    summed: AnyArray = _phases(kernel, factor).sum((3, 4))
    return summed.reshape(-1, *summed.shape[3:])


def transposed_kernel(kernel: AnyArray, stride: int) -> AnyArray:
    """From [I, O, h, w] of a transposed convolution to [s s O, I, th, tw] of a convolution.

    Output s q + a is the sum over m of x[q - m] w[s m + a], so the taps run backwards.
    """
    inputs, outputs, height, width = kernel.shape
    taps_h, taps_w = -(-height // stride), -(-width // stride)
    full = np.zeros((inputs, outputs, taps_h * stride, taps_w * stride), kernel.dtype)
    full[:, :, :height, :width] = kernel
    split = full.reshape(inputs, outputs, taps_h, stride, taps_w, stride)[:, :, ::-1, :, ::-1]
    return split.transpose(3, 5, 1, 0, 2, 4).reshape(-1, inputs, taps_h, taps_w)


def _phases(kernel: AnyArray, block: int) -> AnyArray:
    """The kernel as [row out, column out, O, row in, column in, I, th, tw]."""
    outputs, inputs, height, width = kernel.shape
    taps = block_taps(height, block), block_taps(width, block)
    phases = np.zeros((block, block, outputs, block, block, inputs, *taps), kernel.dtype)
    every = product(range(block), range(block), range(height), range(width))
    for row, column, tap_y, tap_x in every:
        y, x = row + tap_y, column + tap_x
        phases[row, column, :, y % block, x % block, :, y // block, x // block] = kernel[
            :, :, tap_y, tap_x
        ]
    return phases
