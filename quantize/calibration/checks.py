"""Bad calibration is found and named before any work: NaN, shape, layout, range, constant, few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeanim.core.artifact import Array, Samples
from edgeanim.core.contract import PICTURE_ROLES, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput

MIN_SAMPLES = 2
# Values may leave the contract's range by this part of it (an overshoot of resampling).
_OVERSHOOT = 0.02
# A picture whose values fill less than this part of its range was scaled to another one.
_FILLED = 1 / 64
# Where the three colours of a pixel lie one beside the other in memory, a value differs more from
# the one beside it, of another colour, than from the third, of the same: by more than this factor.
_COLOURS = 3
_INTERLEAVED = 2.0
_FLAT_CUE = "Give consecutive frames of a clip that moves; a cue is the difference of two frames."


@dataclass
class _InputStats:
    """What one input's samples looked like so far."""

    low: float = np.inf
    high: float = -np.inf
    count: int = 0
    flat: int = 0
    same: bool = True
    near: float = 0.0
    far: float = 0.0
    first: Array | None = field(default=None, repr=False)

    def add(self, array: Array) -> None:
        low, high = float(array.min()), float(array.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += 1
        self.flat += low == high
        if array.ndim and array.shape[-1] > _COLOURS:
            self.near += float(np.abs(np.diff(array)).mean())
            self.far += float(np.abs(array[..., _COLOURS:] - array[..., :-_COLOURS]).mean())
        if self.first is None:
            self.first = array
        else:
            self.same = self.same and np.array_equal(self.first, array)


def check_samples(samples: Samples, spec: GraphSpec) -> None:
    """Refuse calibration samples from which no sensible range can be learnt.

    One pass, one sample in memory at a time. `BadInput` names the input, and the sample's index
    where one sample is to blame.
    """
    if len(samples) < MIN_SAMPLES:
        raise BadInput(
            f"{len(samples)} calibration sample(s) for {spec.name!r}; at least {MIN_SAMPLES} "
            "are needed, and 32 or more are sensible.",
            hint="Give a clip or a folder with more pictures.",
        )
    seen = {tensor.name: _InputStats() for tensor in spec.inputs}
    for i, sample in enumerate(samples):
        for tensor in spec.inputs:
            array = checked_array(sample, tensor, i)
            if not np.isfinite(array).all():
                bad = "NaN" if np.isnan(array).any() else "infinity"
                raise BadInput(
                    f"{tensor.name!r} contains {bad}.",
                    where=f"calibration sample {i}",
                    hint="Leave this sample out, or look at what made it.",
                )
            seen[tensor.name].add(array)
    if all(record.same for record in seen.values()):
        raise BadInput(
            f"All {len(samples)} calibration samples for {spec.name!r} are the same.",
            hint="Give different frames: a clip that moves, or several pictures.",
        )
    for tensor in spec.inputs:
        if tensor.role in PICTURE_ROLES:
            _check_picture(tensor, seen[tensor.name])
        elif tensor.range is not None:
            _check_range(tensor, seen[tensor.name], tensor.range)


def checked_array(sample: Mapping[str, Array], spec: TensorSpec, index: int) -> Array:
    """The array for `spec` out of sample number `index`: the contract's shape, a float type."""
    where = f"calibration sample {index}"
    if spec.name not in sample:
        raise BadInput(
            f"The input {spec.name!r} is missing.",
            where=where,
            hint=f"There is: {', '.join(sample) or 'nothing'}.",
        )
    array = np.asarray(sample[spec.name])
    if array.shape != spec.shape:
        raise BadInput(
            f"{spec.name!r} has the shape {list(array.shape)}; the contract says "
            f"{list(spec.shape)}.",
            where=where,
            hint=layout_hint(array.shape, spec),
        )
    if array.dtype.kind != "f":
        raise BadInput(
            f"{spec.name!r} holds {array.dtype} values; float32 is needed.",
            where=where,
            hint="Convert the pictures to the contract's range first.",
        )
    return array.astype(np.float32, copy=False)


def layout_hint(shape: tuple[int, ...], spec: TensorSpec) -> str | None:
    """A hint if `shape` is that of `spec` in the other layout."""
    other = spec.in_layout("NHWC" if spec.layout == "NCHW" else "NCHW")
    if shape == other.shape != spec.shape:
        return f"It looks like {other.layout}; transpose it to {spec.layout}."
    return None


def _check_picture(spec: TensorSpec, seen: _InputStats) -> None:
    if seen.flat == seen.count:
        raise BadInput(
            f"{spec.name!r} is a single flat colour in every calibration sample.",
            hint=_FLAT_CUE if spec.role == "cue" else "Give real pictures of what will be shown.",
        )
    if spec.role != "cue" and 2 * seen.flat > seen.count:
        raise BadInput(
            f"{spec.name!r} is a single flat colour in {seen.flat} of {seen.count} calibration "
            "samples.",
            hint="Leave out the blank frames.",
        )
    if spec.layout == "NCHW" and spec.shape[1] == _COLOURS and seen.near > _INTERLEAVED * seen.far:
        raise BadInput(
            f"{spec.name!r} has the shape of {spec.layout}, but its values lie as in NHWC.",
            hint="It was reshaped where it should have been transposed.",
        )
    if spec.range is not None:
        _check_range(spec, seen, spec.range)
        _check_scale(spec, seen, spec.range)


def _check_range(spec: TensorSpec, seen: _InputStats, allowed: tuple[float, float]) -> None:
    low, high = allowed
    slack = _OVERSHOOT * (high - low)
    if seen.low < low - slack or seen.high > high + slack:
        raise BadInput(
            f"{_found(spec, seen)} {low:g} to {high:g}.",
            hint=f"Scale {'the pictures' if spec.role in PICTURE_ROLES else 'it'} to the "
            "contract's range.",
        )


def _check_scale(spec: TensorSpec, seen: _InputStats, allowed: tuple[float, float]) -> None:
    low, high = allowed
    if spec.role == "cue":  # a difference of frames is rightly small and of one sign at times
        return
    if seen.high - seen.low < _FILLED * (high - low):
        raise BadInput(
            f"{_found(spec, seen)} {low:g} to {high:g}, of which that is next to nothing.",
            hint="Scale the pictures to the contract's range.",
        )
    if low == -high and seen.low >= 0 and seen.high > 0.5 * high:
        raise BadInput(
            f"{_found(spec, seen)} {low:g} to {high:g}, yet none is negative.",
            hint=f"They look scaled to 0..{high:g}.",
        )


def _found(spec: TensorSpec, seen: _InputStats) -> str:
    return f"{spec.name!r} holds values from {seen.low:.4g} to {seen.high:.4g}; the contract says"
