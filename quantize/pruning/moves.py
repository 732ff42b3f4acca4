"""Ops that only move numbers: reshapes, transposes, splits, slices, pixel shuffles.

What they do to channels is not told by a rule for each: run on labels instead of values they show
where every number goes. When channels go, the sizes that they were given change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.quantize.disjoint import Ids
from edgeanim.quantize.pruning.channels import function_of

if TYPE_CHECKING:
    import torch
    from torch import fx

_MOVES = {
    "flip", "getitem", "narrow", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "split",
    "squeeze", "transpose", "unsqueeze",
}  # fmt: skip


@dataclass(frozen=True)
class Along:
    """A value of this shape, in which the strand of a number depends on its place along one `axis`
    alone: `strands` tells it for each place there."""

    shape: tuple[int, ...]
    axis: int
    strands: Ids

    def without(self, gone: Ids) -> Along:
        """What is left once these strands are gone."""
        left = self.strands[~np.isin(self.strands, gone)]
        shape = tuple(len(left) if i == self.axis else n for i, n in enumerate(self.shape))
        return replace(self, shape=shape, strands=left)


def is_move(node: fx.Node, labels: Any) -> bool:
    """Whether a node only moves numbers, and can still do so when any of the labels go: what takes
    every second of them cannot."""
    if function_of(node) not in _MOVES or len(node.all_input_nodes) != 1:
        return False
    if function_of(node) != "getitem":
        return not isinstance(labels, tuple)
    if isinstance(labels, tuple):
        return isinstance(node.args[1], int)
    return labels.ndim > 0 and all(
        isinstance(cut, slice) and (cut.step in (None, 1) or not varies(labels, axis))
        for axis, cut in enumerate(_cuts(node))
    )


def moved(node: fx.Node, labels: Any) -> Any:
    """What a node makes of labels in the place of its numbers."""
    return node.target(labels, *node.args[1:], **node.kwargs)


def compact(labels: torch.Tensor) -> torch.Tensor:
    """The labels with length 1 along each axis on which they do not depend."""
    for axis in range(labels.ndim):
        if not varies(labels, axis):
            labels = labels.narrow(axis, 0, 1)
    return labels.clone()


def varies(labels: torch.Tensor, axis: int) -> bool:
    """Whether labels depend on the place along an axis."""
    return labels.shape[axis] > 1 and not bool((labels == labels.narrow(axis, 0, 1)).all())


def update_sizes(
    node: fx.Node, before: Mapping[fx.Node, Along], after: Mapping[fx.Node, Along]
) -> None:
    """Let a node that moves numbers do so with fewer of them, in place."""
    source, function = node.args[0], function_of(node)
    if function == "reshape":
        node.args = (source, after[node].shape)
    elif function == "split":
        axis = int(node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0))
        parts = {user.args[1]: after[user].shape[axis] for user in node.users if user in after}
        sizes = [parts.get(i, size) for i, size in enumerate(node.args[1])]
        node.args = (source, sizes, *node.args[2:])
    elif function == "getitem" and not isinstance(node.args[1], int):
        node.args = (source, _fewer(_cuts(node), before[source], after[source]))
    elif function == "narrow" and node.args[1] == before[source].axis:
        axis, begin, size = node.args[1:]
        (cut,) = _fewer((slice(begin, begin + size),), before[source], after[source], axis)
        node.args = (source, axis, cut.start, cut.stop - cut.start)


def _cuts(node: fx.Node) -> tuple[Any, ...]:
    cuts = node.args[1]
    return cuts if isinstance(cuts, tuple) else (cuts,)


def _fewer(
    cuts: tuple[slice, ...], before: Along, after: Along, first: int = 0
) -> tuple[slice, ...]:
    """Slices along the axes from `first` on, once part of what they are taken from is gone."""

    def shifted(cut: slice) -> slice:
        start, stop, _ = cut.indices(len(before.strands))
        kept = np.isin(before.strands, after.strands)
        return slice(int(kept[:start].sum()), int(kept[:stop].sum()))

    return tuple(
        shifted(cut) if axis == before.axis and cut != slice(None) else cut
        for axis, cut in enumerate(cuts, first)
    )
