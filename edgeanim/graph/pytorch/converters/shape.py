"""Ops that move, cut or join: no arithmetic, and every size a number."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.builder import MOST_AXES, Builder, Converter, merged
from edgeanim.graph.pytorch.converters.convolution import split_pads, torch_pads

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_NUMPY_PADS: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class PicturePad(nn.Module):  # type: ignore[misc]
    """A pad by pixels of the picture that is exported as slices of its border joined to it.

    TFLite's own op for reflection takes longer than the convolution after it, it has none for the
    other modes, and look-ups of rows and columns cost two transposes. Channels last, slices and
    concatenations copy whole runs, and XNNPACK has both.
    """

    def __init__(
        self, mode: str, begins: list[int], ends: list[int], size: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.mode = mode
        self.pads = torch_pads(begins, ends)
        axes = zip(begins, ends, size, strict=True)
        self.borders = [_border(mode, begin, end, length) for begin, end, length in axes]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to the padded size."""
        if not torch.compiler.is_exporting():
            return F.pad(x, self.pads, self.mode)
        x = torch.permute(x, (0, 2, 3, 1))
        for axis, (before, after) in enumerate(self.borders, 1):
            sides = [[x.narrow(axis, at, 1) for at in positions] for positions in (before, after)]
            x = torch.cat([*sides[0], x, *sides[1]], axis)
        return torch.permute(x, (0, 3, 1, 2))


def _border(mode: str, begin: int, end: int, length: int) -> tuple[list[int], list[int]]:
    """Which pixels of an axis come again before it, and which behind it."""
    positions = np.pad(np.arange(length), (begin, end), _NUMPY_PADS[mode]).tolist()
    return positions[:begin], positions[begin + length :]


_MOST_REPEATED = 3
"""Axes of what is repeated at once. Five would be broadcast to more than TFLite takes; of four
litert-torch 0.10 turns the value channels last, but not how often each axis is repeated."""


def reshape(b: Builder, node: Any) -> fx.Node:
    """To the known shape of the output."""
    return to_shape_of(b, node, b.value(node.input[0]))


def to_shape_of(b: Builder, node: Any, x: fx.Node) -> fx.Node:
    """`x` in the shape of the node's output. Axis 1 is left open, so that it may shrink by
    pruning."""
    shape = list(b.shape(node.output[0], node))
    if len(shape) > 1:
        shape[1] = -1
    return b.call(torch.reshape, x, tuple(shape))


def squeeze(b: Builder, node: Any) -> fx.Node:
    """Remove axes of length 1."""
    rank = len(b.shape(node.input[0], node))
    axes = b.setting(node, "axes", 1)
    return (
        b.call(torch.squeeze, b.value(node.input[0]), tuple(a % rank for a in axes))
        if axes
        else reshape(b, node)
    )


def unsqueeze(b: Builder, node: Any) -> fx.Node:
    """Insert axes of length 1."""
    rank = len(b.shape(node.output[0], node))
    x = b.value(node.input[0])
    for axis in sorted(axis % rank for axis in b.setting(node, "axes", 1) or ()):
        x = b.call(torch.unsqueeze, x, axis)
    return x


def transpose(b: Builder, node: Any) -> fx.Node:
    """Axes in another order, reversed if none is given."""
    rank = len(b.shape(node.input[0], node))
    perm = b.attrs(node).get("perm", list(reversed(range(rank))))
    return b.call(torch.permute, b.value(node.input[0]), tuple(perm))


def concat(b: Builder, node: Any) -> fx.Node:
    """Along one axis."""
    return b.call(torch.cat, [b.value(name) for name in node.input], b.attrs(node)["axis"])


def split(b: Builder, node: Any) -> Sequence[fx.Node]:
    """Into the sizes of the outputs."""
    rank = len(b.shape(node.input[0], node))
    axis = b.attrs(node).get("axis", 0) % rank
    sizes = [b.shape(name, node)[axis] for name in node.output]
    parts = b.call(torch.split, b.value(node.input[0]), sizes, axis)
    return [b.call(operator.getitem, parts, i) for i in range(len(sizes))]


def slice_(b: Builder, node: Any) -> fx.Node:
    """Forward steps slice, over pixels as a pool does; a reversal (step -1 over a whole axis)
    flips."""
    shape = b.shape(node.input[0], node)
    starts, ends = b.setting(node, "starts", 1), b.setting(node, "ends", 2)
    if starts is None or ends is None:
        raise b.refuse(node, "it has no starts and ends")
    axes = b.setting(node, "axes", 3) or list(range(len(starts)))
    steps = b.setting(node, "steps", 4) or [1] * len(starts)
    cuts = [slice(None)] * len(shape)
    flips = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        begin, stop, _ = slice(start, end, step).indices(shape[axis])
        if step > 0:
            cuts[axis % len(shape)] = slice(begin, stop, step)
        elif (begin, stop, step) == (shape[axis] - 1, -1, -1):
            flips.append(axis % len(shape))
        else:
            raise b.refuse(node, "it steps backwards over part of an axis")
    x = b.value(node.input[0])
    x = b.call(torch.flip, x, flips) if flips else x
    if all(cut == slice(None) for cut in cuts):
        return x
    if len(cuts) != 4 or cuts[:2] != [slice(None)] * 2:
        return b.call(operator.getitem, x, tuple(cuts))
    strides = tuple(cut.step or 1 for cut in cuts[2:])
    pools = node.input[0] in b.floats and strides != (1, 1)
    if pools:
        cuts[2:] = [slice(cut.start, cut.stop) for cut in cuts[2:]]
    if any(cut.indices(size) != (0, size, 1) for cut, size in zip(cuts, shape, strict=True)):
        # The TFLite converter lays out no slice by itself.
        x = b.call(torch.permute, x, (0, 2, 3, 1))
        x = b.call(operator.getitem, x, (cuts[0], *cuts[2:], cuts[1]))
        x = b.call(torch.permute, x, (0, 3, 1, 2))
    # TFLite takes every n-th pixel slowly, and in float only, but for a pool of single pixels.
    return b.call(F.max_pool2d, x, 1, strides) if pools else x


def expand(b: Builder, node: Any) -> fx.Node:
    """Repeat axes of length 1, of what is no map without copying."""
    before, after = b.ends(node)
    padded = (1,) * (len(after) - len(before)) + before
    x = b.value(node.input[0])
    if _spreads_over_maps(padded, after):
        x = x if padded == before else b.call(torch.reshape, x, padded)
        return _spread(b, x, padded, after, scales=node.input[0] in b.floats)
    sizes = [
        -1 if old == new and i >= len(after) - len(before) else new
        for i, (old, new) in enumerate(zip(padded, after, strict=True))
    ]
    return b.call(torch.Tensor.expand, x, sizes)


def _spreads_over_maps(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether [N, C, H, W] grows along axes of length 1 among the last three, as what is pooled
    over a picture, its rows or its columns does beside features, and a mask."""
    alike = len(before) == len(after) == 4 and before[0] == after[0] and before != after
    return alike and all(old in (1, new) for old, new in zip(before, after, strict=True))


def _spread(
    b: Builder, x: fx.Node, before: tuple[int, ...], after: tuple[int, ...], *, scales: bool
) -> fx.Node:
    """As a concatenation and, of floats, an upsampling: litert-torch 0.10 turns what is broadcast
    channels last, but not the shape that it is broadcast to, and of whole numbers crashes."""
    for axis in (1,) if scales else (1, 2, 3):
        if before[axis] != after[axis]:
            x = b.call(torch.cat, [x] * after[axis], axis)
    if scales and before[2:] != after[2:]:
        x = b.call(F.interpolate, x, size=after[2:], mode="nearest")
    return x


def tile(b: Builder, node: Any) -> fx.Node:
    """Repeat along each axis: those of length 1 without copying."""
    repeats = [int(v) for v in b.constant(node, 1, "repeats")]
    before, after = b.ends(node)
    x = b.value(node.input[0])
    if _spreads_over_maps(before, after):
        return _spread(b, x, before, after, scales=node.input[0] in b.floats)
    if all(size == 1 for size, count in zip(before, repeats, strict=True) if count != 1):
        sizes = [-1 if count == 1 else count for count in repeats]
        return b.call(torch.Tensor.expand, x, sizes)
    if len(before) <= _MOST_REPEATED:
        return b.call(torch.Tensor.repeat, x, repeats)
    for axis, count in enumerate(repeats):
        x = b.call(torch.cat, [x] * count, axis) if count != 1 else x
    return x


def pad(b: Builder, node: Any) -> fx.Node:
    """Constant, reflected, repeated or wrapped; negative constant pads crop."""
    rank = len(b.shape(node.input[0], node))
    given = b.attrs(node)
    pads = b.setting(node, "pads", 1) or []
    if b.present(node, 3):
        axes = [int(a) % rank for a in b.constant(node, 3, "axes")]
        some_begins, some_ends = split_pads(pads)
        begins, ends = [0] * rank, [0] * rank
        for axis, begin, end in zip(axes, some_begins, some_ends, strict=True):
            begins[axis], ends[axis] = begin, end
    else:
        begins, ends = split_pads(pads)
    mode = given.get("mode", "constant")
    x = b.value(node.input[0])
    if mode == "constant":
        value = given.get("value", 0.0)
        if b.present(node, 2):
            value = float(b.constant(node, 2, "value").item())
        if rank > MOST_AXES:
            return _padded_merged(b, node, x, list(zip(begins, ends, strict=True)), value)
        return b.call(F.pad, x, torch_pads(begins, ends), "constant", value)
    if rank not in (3, 4) or any(begins[:2]) or any(ends[:2]):
        raise b.refuse(node, f"{mode} padding of other axes than height and width")
    if min(*begins, *ends) < 0:
        raise b.refuse(node, f"it crops, in {mode} mode")
    if rank == 4:
        size = b.shape(node.input[0], node)[2:]
        return b.module(node, PicturePad(_PAD_MODES[mode], begins[2:], ends[2:], size), x)
    return b.call(F.pad, x, torch_pads(begins[2:], ends[2:]), _PAD_MODES[mode])


def _padded_merged(
    b: Builder, node: Any, x: fx.Node, pads: list[tuple[int, int]], value: float
) -> fx.Node:
    """The pad of a value of which neighbouring axes without one are one, as StyleGAN puts zeros
    between pixels."""
    kinds = [(axis, *pad) if any(pad) else None for axis, pad in enumerate(pads)]
    left = merged(b.shape(node.input[0], node), kinds)
    x = b.call(torch.reshape, x, tuple(size for _, size in left))
    begins, ends = zip(*(kind[1:] if kind else (0, 0) for kind, _ in left), strict=True)
    x = b.call(F.pad, x, torch_pads(list(begins), list(ends)), "constant", value)
    return b.call(torch.reshape, x, b.shape(node.output[0], node))


CONVERTERS: dict[str, Converter] = {
    "Concat": concat,
    "Expand": expand,
    "Flatten": reshape,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slice_,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
