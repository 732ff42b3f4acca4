"""ONNX ops as PyTorch: `CONVERTERS[op](builder, node)` returns the `torch.fx` node of its output.

What they emit is static: shapes are numbers, control flow is none, so that a module can be
exported, converted to TFLite, pruned and trained. Loaded by `to_torch` only, since it needs torch.
"""

from __future__ import annotations

from edgeanim.graph.pytorch.converters import (
    convolution,
    elementwise,
    linear,
    lookup,
    norm,
    pool,
    recurrent,
    reduce,
    resize,
    shape,
)
from edgeanim.graph.pytorch.converters.builder import Builder, Converter
from edgeanim.graph.pytorch.converters.fused import fuse

CONVERTERS: dict[str, Converter] = {
    **convolution.CONVERTERS,
    **elementwise.CONVERTERS,
    **linear.CONVERTERS,
    **lookup.CONVERTERS,
    **norm.CONVERTERS,
    **pool.CONVERTERS,
    **recurrent.CONVERTERS,
    **reduce.CONVERTERS,
    **resize.CONVERTERS,
    **shape.CONVERTERS,
}

__all__ = ["CONVERTERS", "Builder", "Converter", "fuse"]
