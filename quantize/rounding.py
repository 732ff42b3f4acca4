"""Rounding of kernels in which each weight makes up for the error of those rounded before it.

Rounded to the nearest step, the errors of a kernel's weights add up at random, and on pictures,
whose neighbouring pixels are nearly equal, the sum is what counts: a stem with large weights of
both signs loses its balance. So weights are rounded one after the other, and each error is spread
over the weights still to come in the way that changes the outputs least on real activations
(optimal brain surgeon, Hassibi et al. 1993; GPTQ, Frantar et al. 2022). What an output loses is
e' H e with H the second moments of what the convolution reads, means included, so that no bias is
left to correct. It needs no training and no gradients.

The results lie on the very grid that a quantiser makes of them: symmetric, one scale a channel, its
largest weight at the end of the grid. So any quantiser that rounds to the nearest keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.core.artifact import Array, GraphArtifact, Samples
from edgeanim.core.files import canonical_json, write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.core.threads import one_blas_thread
from edgeanim.quantize.onnx_nodes import load_shaped, onnx_chain
from edgeanim.quantize.ranges.histogram import Floats
from edgeanim.quantize.ranges.histograms_onnx import activations

Kernels = Mapping[str, Array]
"""By a convolution's name its kernel float32 [O, I/g, kh, kw]."""

_DAMPING = 0.01
"""Of the mean second moment, added to all: how little is believed of what was seen."""
_LARGEST = 4096
"""Weights of one output. Kernels with more are rounded to the nearest: moments grow as squares."""
_PLACES = (4096, 4)
"""Places looked at in all: at least so many, and so many for each weight of an output."""
_AT_ONCE = 512
"""Places whose products are added up at once: one large product takes less time than many small."""
_BLOCK = 32
"""Weights rounded before what they leave over is handed on to all the others at once."""
_FILE, _NAMES_FILE = "kernels.npz", "convolutions.json"


@dataclass(frozen=True)
class _Named:
    """Whose kernels the stored arrays are, in their order."""

    convolutions: tuple[str, ...]


def round_kernels(
    artifact: GraphArtifact, samples: Samples, limits: Sequence[float]
) -> dict[float, dict[str, Array]]:
    """The kernels of the convolutions of the float32 graph `artifact` that a scheme would round, on
    each of the grids whose largest step is one of `limits` (127, or 64 where weights keep to 7
    bits), by that limit: looking takes longer than rounding.

    Left out are kernels that several nodes share, and those of more than 4096 weights an output.
    Looks at some places of every sample, always the same ones.
    """
    layers = _layers(artifact.path)
    by_input: dict[str, list[_Layer]] = {}
    for layer in layers:
        by_input.setdefault(layer.reads, []).append(layer)
    with one_blas_thread():
        for values in activations(artifact.path, list(by_input), samples):
            for name, array in values.items():
                for layer in by_input[name]:
                    layer.look(array, len(samples))
        kernels = {layer.name: layer.rounded(limits) for layer in layers}
    return {
        limit: {name: each[i] for name, each in kernels.items()} for i, limit in enumerate(limits)
    }


def replace_kernels(model: Any, kernels: Kernels, names: Iterable[str]) -> None:
    """Give the nodes `names` of an ONNX `model` their kernels of `kernels`, in place, as far as
    those are there."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted = set(names) & set(kernels)
    for node in model.graph.node:
        if node.name in wanted:
            weight = node.input[1]
            stored[weight].CopyFrom(numpy_helper.from_array(kernels[node.name], weight))


def save_kernels(kernels: Kernels, folder: Path) -> None:
    """Write `kernels` into `folder`, two files."""
    write_text(folder / _NAMES_FILE, canonical_json(to_plain(_Named(tuple(kernels)))))
    save_npz(folder / _FILE, {f"k{i}": kernel for i, kernel in enumerate(kernels.values())})


def load_kernels(folder: Path) -> dict[str, Array]:
    """What `save_kernels` wrote; `BadInput` for anything else."""
    path = folder / _NAMES_FILE
    names = parse(_Named, load_json(path), where=path).convolutions
    places = [f"k{i}" for i in range(len(names))]
    arrays = load_npz(folder / _FILE, required=places)
    return {name: arrays[place] for name, place in zip(names, places, strict=True)}


def compensated(rows: Array, moments: Floats, limit: float | Floats) -> Array:
    """Kernel rows float32 [R, D] rounded onto their grids, whose largest step is `limit`, for all
    or for each [R, 1]; `moments` [D, D] are those of what they are multiplied with. A row that is
    no better for it is rounded to the nearest."""
    w = rows.astype(np.float64)
    peak = np.abs(w).argmax(1)
    step = np.abs(w).max(1, keepdims=True) / limit
    step[step == 0] = 1.0
    chosen = rounded_within(w / step, limit) * step
    mean = float(np.trace(moments)) / len(moments)
    if mean > 0:
        damped = moments + _DAMPING * mean * np.eye(len(moments))
        made = _ldlq(w, step, damped, limit)
        better = _loss(made - w, damped) < _loss(chosen - w, damped)
        chosen = np.where(better[:, None], made, chosen)
    # The largest weight sets the scale, so it stays for the quantiser to round: where the grid ends
    # between two steps it is on neither, and without it the row would be stretched.
    every = np.arange(len(w))
    chosen[every, peak] = w[every, peak]
    result: Array = chosen.astype(np.float32)
    return result


def rounded_within(steps: NDArray[Any], limit: float | Floats) -> NDArray[Any]:
    """The nearest whole numbers; at most `limit`, between two of which a grid may end."""
    whole: NDArray[Any] = np.rint(steps).clip(-np.floor(limit), np.floor(limit))
    return whole


def _ldlq(w: Floats, step: Floats, damped: Floats, limit: float | Floats) -> Floats:
    """Rows [R, D] on their grids of `step` [R, 1], each weight making up for those before it: LDLQ
    (Chee et al. 2023, "QuIP")."""
    peak = np.abs(w).argmax(1)
    order = np.argsort(-np.diag(damped), kind="stable")
    feedback = _feedback(damped[np.ix_(order, order)])
    # Column by column, so that what each looks back on lies together: [D, R].
    exact, grid, limit = w[:, order].T.copy(), step[:, 0], np.ravel(limit)
    moved, errors = exact.copy(), np.empty_like(exact)
    for start in range(0, len(exact), _BLOCK):
        end = min(start + _BLOCK, len(exact))
        for j in range(start, end):
            moved[j] += feedback[j, start:j] @ errors[start:j]
            # The largest weight sets the scale, so it is rounded from where it was.
            weight = np.where(order[j] == peak, exact[j], moved[j])
            errors[j] = exact[j] - rounded_within(weight / grid, limit) * grid
        moved[end:] += feedback[end:, start:end] @ errors[start:end]
    made = np.empty_like(w)
    made[:, order] = (exact - errors).T
    return made


def _feedback(moments: Floats) -> Floats:
    """How much of each weight's error [D, D] a later one takes over, row by row: the factor L of
    P' H P = L D L' with the order P reversed and columns scaled to 1, which is what optimal brain
    surgery comes to without inverting H ("QuIP", theorem 6)."""
    lower = np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1]
    feedback: Floats = np.ascontiguousarray((lower / np.diag(lower)).T)
    return feedback


def _loss(error: Floats, moments: Floats) -> Floats:
    """e' H e of every row: what the outputs lose."""
    loss: Floats = np.einsum("rd,rd->r", error @ moments, error)
    return loss


@dataclass
class _Layer:
    """A convolution and the second moments float32 [g, D, D] of what its kernels are multiplied
    with."""

    name: str
    reads: str
    kernel: Array
    groups: int
    pads: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    moments: Array = field(init=False)

    def __post_init__(self) -> None:
        depth = self.kernel[0].size
        self.moments = np.zeros((self.groups, depth, depth), np.float32)
        self._seen: list[Array] = []
        self._rng = np.random.default_rng(0)

    def look(self, x: Array, samples: int) -> None:
        """Add some places of `x` [N, C, H, W], which is one of so many `samples`."""
        depth = self.kernel[0].size
        self._seen.append(self._patches(x, -(-max(_PLACES[0], _PLACES[1] * depth) // samples)))
        if sum(map(len, self._seen)) >= _AT_ONCE:
            self._add_up()

    def _add_up(self) -> None:
        if not self._seen:
            return
        patches = np.concatenate(self._seen)
        self._seen.clear()
        grouped = patches.reshape(len(patches), self.groups, -1).transpose(1, 0, 2)
        self.moments += grouped.transpose(0, 2, 1) @ grouped

    def rounded(self, limits: Sequence[float]) -> Array:
        """The kernel on the grid of each of `limits`: [limits, O, I/g, kh, kw]."""
        self._add_up()
        rows = self.kernel.reshape(self.groups, -1, self.kernel[0].size)
        largest = np.repeat(np.array(limits), rows.shape[1])[:, None]
        moments = self.moments.astype(np.float64)
        made = [
            compensated(np.tile(own, (len(limits), 1)), seen, largest)
            for own, seen in zip(rows, moments, strict=True)
        ]
        by_limit = np.stack(made).reshape(self.groups, len(limits), *rows.shape[1:])
        return by_limit.swapaxes(0, 1).reshape(len(limits), *self.kernel.shape)

    def _patches(self, x: Array, count: int) -> Array:
        """What the kernel meets at `count` random places of its output: [count, C, kh, kw]."""
        kernel = self.kernel.shape[2:]
        ends = [
            x.shape[2 + i] + self.pads[i] + self.pads[2 + i] - self.dilations[i] * (kernel[i] - 1)
            for i in (0, 1)
        ]
        picture = self._rng.integers(len(x), size=count)
        y, x_ = (
            self._rng.integers((ends[i] - 1) // self.strides[i] + 1, size=(count, 1))
            * self.strides[i]
            - self.pads[i]
            + self.dilations[i] * np.arange(kernel[i])
            for i in (0, 1)
        )
        height, width = x.shape[2:]
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x_ >= 0) & (x_ < width))[:, None]
        rows, columns = y.clip(0, height - 1)[:, :, None], x_.clip(0, width - 1)[:, None]
        met = x[picture[:, None, None], :, rows, columns] * inside[..., None]
        patches: Array = met.transpose(0, 3, 1, 2)
        return patches


def _layers(path: Path) -> list[_Layer]:
    from onnx import numpy_helper

    model = load_shaped(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    read = [name for node in model.graph.node for name in node.input]
    chosen = set(onnx_chain(model, where=path).convolutions)
    layers = []
    for node in model.graph.node:
        if node.name not in chosen or node.op_type != "Conv" or read.count(node.input[1]) != 1:
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        kernel = numpy_helper.to_array(weights[node.input[1]])
        automatic = given["auto_pad"].s if "auto_pad" in given else b"NOTSET"
        if kernel.ndim != 4 or kernel[0].size > _LARGEST or automatic not in (b"NOTSET", b"VALID"):
            continue
        pads, strides, dilations = (
            list(given[name].ints) if name in given else [default] * count
            for name, default, count in (("pads", 0, 4), ("strides", 1, 2), ("dilations", 1, 2))
        )
        groups = given["group"].i if "group" in given else 1
        layers.append(_Layer(node.name, node.input[0], kernel, groups, pads, strides, dilations))
    return layers
