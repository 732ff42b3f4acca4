"""The quantisers that NNCF put into an OpenVINO model, with the ranges and steps of all schemes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.recipe import Ranges
from edgeanim.quantize.ranges.errors import LEVELS
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.ranges.methods import ranges_in
from edgeanim.quantize.rounding import rounded_within

_CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}
"""How many axes of their kernels say which output channel: [O, I, ...] or [G, O/G, I/G, ...]."""
_SAME_VALUES = ("Broadcast", "FakeQuantize", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What follows a value and has the same range."""


def kernels_of(model: Any) -> dict[str, Array]:
    """The stored kernels of the convolutions by op, shaped as `_CONVOLUTIONS` says."""
    found = {}
    for op in model.get_ops():
        if op.get_type_name() in _CONVOLUTIONS:
            kernel = op.input_value(1).get_node()
            if kernel.get_type_name() == "Constant":
                found[op.get_friendly_name()] = np.array(kernel.data)
    return found


def set_weights(ov: Any, model: Any, kernels: Mapping[str, Array], limit: float) -> None:
    """Round those of `kernels` that are in 8 bits to `limit` steps on each side of zero, a step for
    each output channel."""
    for op in model.get_ordered_ops():
        kernel = kernels.get(op.get_friendly_name())
        if kernel is None:
            continue
        scaled = op.input_value(1).get_node()
        if scaled.get_type_name() != "Multiply":  # in float
            continue
        within = tuple(range(_CONVOLUTIONS[op.get_type_name()], kernel.ndim))
        step = np.abs(kernel).max(within, keepdims=True) / np.float32(limit)
        step[step == 0] = 1.0
        whole = rounded_within(kernel / step, limit).astype(np.int8)
        stored = scaled.input_value(0).get_node()
        stored.input(0).replace_source_output(ov.opset13.constant(whole).output(0))
        scaled.input(1).replace_source_output(ov.opset13.constant(step).output(0))


def set_ranges(ov: Any, model: Any, histograms: Histograms, method: Ranges) -> None:
    """Give every quantiser of an activation our range of the tensor that it quantises.

    Quantisers to which NNCF gave the very same range share their scale (the inputs of a
    concatenation must): they get the union of theirs.
    """
    groups: dict[tuple[float, ...], list[Any]] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() != "FakeQuantize":
            continue
        if not _is_weight(op.input_value(0).get_node()):
            # A depthwise convolution's input has a range for every channel.
            ends = (op.input_value(i).get_node().data.ravel() for i in (1, 2))
            given = tuple(float(value) for end in ends for value in end)
            groups.setdefault(given, []).append(op)
    for sharing in groups.values():
        names = [_known_name(op.input_value(0), histograms) for op in sharing]
        ranges = ranges_in(histograms, method, names).values()
        low, high = min(at.low for at in ranges), max(at.high for at in ranges)
        low, high = _with_exact_zero(low, high)
        for op in sharing:
            for index, value in enumerate((low, high, low, high), 1):
                constant = ov.opset13.constant(np.float32(value))
                op.input(index).replace_source_output(constant.output(0))


def _is_weight(op: Any) -> bool:
    """Whether `op` is a constant, maybe converted or reshaped (as a grouped kernel is)."""
    while op.get_type_name() in ("Convert", "Reshape"):
        op = op.input_value(0).get_node()
    return bool(op.get_type_name() == "Constant")


def _known_name(port: Any, known: Container[str]) -> str:
    """The ONNX name of the tensor at `port`, or of one that has the same values in other places."""
    names: list[str] = [*sorted(port.get_names()), port.get_node().get_friendly_name()]
    for name in names:
        if name in known:
            return name
    for reader in port.get_target_inputs():
        moved = reader.get_node()
        if moved.get_type_name() in _SAME_VALUES:
            found = _known_name(moved.output(0), known)
            if found in known:
                return found
    return names[-1]


def _with_exact_zero(low: float, high: float) -> tuple[float, float]:
    """The range widened so that zero is one of its 256 levels, as an integer zero point needs."""
    step = (high - low) / (LEVELS - 1)
    if low == 0 or high == 0 or step == 0:
        return low, high
    zero = round(-low / step)
    zero = min(max(zero, 1), LEVELS - 2)
    step = max(-low / zero, high / (LEVELS - 1 - zero))
    return -zero * step, (LEVELS - 1 - zero) * step
