"""A transposed convolution becomes a convolution of its phases and a DepthToSpace.

With stride s, output s q + a is the sum over m of x[q - m] w[s m + a]: each of the s x s phases is
a small convolution of x, and all of them are one with s s times the outputs. Every runtime has INT8
for that and none needs to scatter; the usual `output_padding` only moves the crop.
One in groups, as an inverse wavelet transform is, gets a kernel with zeros between them if it has
few channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.blocks import transposed_kernel
from edgeanim.graph.convolutions import BlockConvolution, interleave
from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each, states_pads

_NARROW = 256
"""So many inputs times outputs of a convolution in groups are at most computed without groups: the
zeros in its kernel cost little where few of a vector's lanes are in use."""


def rewrite(model: Any) -> int:
    """Returns the number of transposed convolutions replaced."""
    return rewrite_each(model, _replace)


def _replace(graph: Editor, node: Any) -> bool:
    if node.op_type != "ConvTranspose" or not _has_phases(graph, node):
        return False
    given = attributes(node)
    kernel = graph.constant_of(node, 1)
    low, out = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if kernel is None or kernel.ndim != 4 or len(low) != 4 or len(out) != 4:
        return False
    stride, groups = given["strides"][0], given.get("group", 1)
    if groups > 1:
        if kernel.shape[0] * kernel.shape[1] * groups > _NARROW:
            return False
        kernel = _dense(kernel, groups)
    # Output j lies at j + pad before the crop, in block (j + pad) div s. Whole blocks of the crop
    # are not computed at all, so what is left of the crop is below s.
    skipped, crops = zip(
        *(divmod(pad, stride) for pad in given.get("pads", (0, 0))[:2]), strict=True
    )
    blocks = tuple(-(-(size + crop) // stride) for size, crop in zip(out[2:], crops, strict=True))
    taps = [-(-size // stride) for size in kernel.shape[2:]]
    begins = [tap - 1 - skip for tap, skip in zip(taps, skipped, strict=True)]
    ends = [
        count + tap - 1 - begin - size
        for count, tap, begin, size in zip(blocks, taps, begins, low[2:], strict=True)
    ]
    if min(*begins, *ends) < 0:
        return False
    by = BlockConvolution(
        node.input[0],
        transposed_kernel(kernel, stride),
        block=stride,
        out=(out[2], out[3]),
        pads=[*begins, *ends],
        crops=(crops[0], crops[1]),
    )
    interleave(graph, node, by)
    return True


def _has_phases(graph: Editor, node: Any) -> bool:
    """Whether the transposed convolution has one stride above 1, no dilation, paddings that are
    given as numbers and a constant bias, if any."""
    given = attributes(node)
    strides = given.get("strides", (1, 1))
    return (
        len(set(strides)) == 1
        and strides[0] != 1
        and all(v == 1 for v in given.get("dilations", ()))
        and states_pads(given)
        and "output_shape" not in given
        and graph.is_known(node, 2)
    )


def _dense(kernel: AnyArray, groups: int) -> AnyArray:
    """A kernel [I, O / groups, h, w] in groups as [I, O, h, w], zero from one to another."""
    inputs, outputs = kernel.shape[0] // groups, kernel.shape[1]
    whole = np.zeros((kernel.shape[0], groups * outputs, *kernel.shape[2:]), kernel.dtype)
    for group in range(groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        whole[rows, group * outputs : (group + 1) * outputs] = kernel[rows]
    return whole
