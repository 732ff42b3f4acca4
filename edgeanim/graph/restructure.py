"""The same function in a form that runs faster: what is done before compiling and quantising.

Only exact algebra, float rounding apart; inputs, outputs and the names of convolutions stay. Which
rewrites there are, and when each pays, is said in its own file in `rewrites`. Kernels that a file
computes, if only by a `Constant`, are stored: quantisers take stored ones alone, and none in a
branch of an If, so that one whose condition is constant is replaced by the branch taken; for their
sake linear layers over pixels are convolutions, too (`rewrites.pointwise`). An opset
without scales by channel is raised, here, since values may be called otherwise thereafter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgeanim.graph.edit import attributes
from edgeanim.graph.normalize import normalize
from edgeanim.graph.queries import opset_of
from edgeanim.graph.rewrites import (
    ceil_means,
    flat_norm,
    identity,
    masks,
    norm_scale,
    packing,
    pads,
    repeated_pixels,
    single_slope,
    split_convolution,
    strided,
    sums,
    transposed,
    upsampled,
    zero_stuffing,
)


@dataclass(frozen=True)
class Restructured:
    """The new `model`, and how many places each rewrite changed."""

    model: Any
    changes: Mapping[str, int]

    def __bool__(self) -> bool:
        """Whether anything but the normal form is new."""
        return any(count for name, count in self.changes.items() if name != "flat_norm")


def restructure(model: Any, *, lanes: int = packing.LANES) -> Restructured:
    """A restructured copy of a `ModelProto`, for vectors of `lanes` float32 numbers.

    `BadInput` if its opset cannot be raised.
    """
    made = normalize(model)
    stored = _computed_kernels(model) - _computed_kernels(made)
    taken = _count(model, "If") - _count(made, "If")
    pointwise = _count(model, "Gemm", "MatMul") - _count(made, "Gemm", "MatMul")
    filtered = _grouped(made) - _grouped(model)
    normed = _count(made, "LayerNormalization") - _count(model, "LayerNormalization")
    rewrites: dict[str, Callable[[Any], int]] = {
        "ceil_means": ceil_means.rewrite,
        "sums": sums.rewrite,
        "masks": masks.rewrite,
        "strided": strided.rewrite,
        "pads": pads.rewrite,
        "single_slope": single_slope.rewrite,
        "zero_stuffing": zero_stuffing.rewrite,
        "norm_scale": norm_scale.rewrite,
        "repeated_pixels": repeated_pixels.rewrite,
        "upsampled": upsampled.rewrite,
        "split_convolution": split_convolution.rewrite,
        "transposed": transposed.rewrite,
        "packing": partial(packing.rewrite, lanes=lanes),
        "flat_norm": flat_norm.rewrite,
    }
    changes = {name: rewrite(made) for name, rewrite in rewrites.items()}
    identity.rewrite(made)
    raised = int(opset_of(made) != opset_of(model))
    found = {"raised": raised, "stored": stored, "taken": taken, "pointwise": pointwise}
    found |= {"depthwise": filtered, "layer_norm": normed}
    return Restructured(made, found | changes)


def _computed_kernels(model: Any) -> int:
    """How many convolutions have a kernel that is not stored."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return sum(
        node.op_type in ("Conv", "ConvTranspose") and node.input[1] not in stored
        for node in model.graph.node
    )


def _grouped(model: Any) -> int:
    """How many convolutions are in groups."""
    return sum(n.op_type == "Conv" and attributes(n).get("group", 1) > 1 for n in model.graph.node)


def _count(model: Any, *ops: str) -> int:
    return sum(node.op_type in ops for node in model.graph.node)
