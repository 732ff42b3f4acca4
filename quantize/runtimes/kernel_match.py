"""Which convolution of a converted file an ONNX kernel became: the conversion to TFLite keeps no
names of nodes, so it is known by its weights.

A batch norm that the conversion folded in has scaled each output channel. That is allowed for where
it leaves no doubt which convolution is meant. A wide depthwise kernel has become several, one for
each band of its rows (see `graph.pytorch.bands`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeanim.core.artifact import Array

_OF_PICTURES = 4
"""Axes of a kernel [O, I/g, H, W]."""
_PARALLEL = 1 - 1e-5
"""From this cosine on two rows are multiples of each other."""


def kernel_rows(kernel: Array) -> Array:
    """An ONNX kernel [O, I/g, H, W], or of a sequence [O, I/g, L], with a row for each output
    channel, as TFLite orders it: [O, H W I/g]."""
    rows: Array = np.moveaxis(kernel, 1, -1).reshape(len(kernel), -1)
    return rows


def matching(stored: Mapping[str, Array], kernel: Array) -> list[str]:
    """The names of those rows of weights in `stored` that are an ONNX kernel's, or the only ones
    that are its with each row scaled; none if there is any doubt."""
    rows = kernel_rows(kernel)
    equal = [name for name, own in stored.items() if np.array_equal(own, rows)]
    if equal:
        return equal
    scaled = [name for name, own in stored.items() if is_scaled(own, rows)]
    return scaled if len(scaled) == 1 else []


def holding(stored: Mapping[str, Array], kernel: Array) -> list[str]:
    """The names in `stored` that are an ONNX kernel's (see `matching`), or those of its bands; none
    unless all of them are found."""
    from edgeanim.graph.pytorch.bands import bands_of

    found = matching(stored, kernel)
    if found or kernel.ndim != _OF_PICTURES:
        return found
    parts = [matching(stored, kernel[:, :, band]) for band in bands_of(*kernel.shape[2:])]
    return [name for part in parts for name in part] if all(parts) else []


def is_scaled(one: Array, other: Array) -> bool:
    """Whether every row of `one` is some multiple of the same row of `other`."""
    if one.shape != other.shape or one.shape[1] < 2:
        return False
    product = np.abs((one * other).sum(1))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return bool((product >= _PARALLEL * norms).all() and norms.any())
