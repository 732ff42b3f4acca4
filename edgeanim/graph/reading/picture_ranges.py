"""Between which values the pictures at a graph's ends lie: what the file says, and what its first
and last ops tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from edgeanim.graph.edit import clip_limits
from edgeanim.graph.known_values import KnownValues
from edgeanim.graph.queries import readers_of
from edgeanim.graph.reading.roles import Range

UNIT, SIGNED, BYTES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)
"""The usual ones."""

DENOTED, RANGE_KEY, BYTES_DECLARED = "IMAGE", "Image.NominalPixelRange", "NominalRange_0_255"
"""How ONNX files say it: a type denotation, and metadata for all that have it (ONNX,
"Metadata", image category; keys and values in any case)."""

_DECLARED = {
    "nominalrange_0_255": BYTES,
    "nominalrange_16_235": (16.0, 235.0),
    "normalized_0_1": UNIT,
    "normalized_1_1": SIGNED,
}
_BOUNDED = {"Sigmoid": UNIT, "HardSigmoid": UNIT, "Tanh": SIGNED}
_ANYTHING = (-math.inf, math.inf)
_LARGEST = 3e38
ARRANGES = ("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Gather")
"""Ops that move values about, and change none."""
_KEEPS_RANGE = (*ARRANGES, "Resize")
_KEEPS_VALUES = (*_KEEPS_RANGE, "Cast", "Pad")
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
# Bytes are divided by 255, by half of it, or by the deviation of photographs, some 58; and what a
# net computes with becomes bytes by the same.
_TO_BYTES = (20.0, 300.0)
# What is made zero: the middle of the range, the mean of photographs, or the lower end of -1..1.
_ZERO = {UNIT: (0.25, 0.75), BYTES: (64.0, 192.0), SIGNED: (-1.1, -0.9)}


def declared_ranges(model: Any) -> dict[str, Range]:
    """The ranges of those ends that a `ModelProto` itself says something of."""
    told = {entry.key.lower(): entry.value.lower() for entry in model.metadata_props}
    span = _DECLARED.get(told.get(RANGE_KEY.lower(), ""))
    if span is None:
        return {}
    ends = (*model.graph.input, *model.graph.output)
    return {value.name: span for value in ends if value.type.denotation.upper() == DENOTED}


def output_range(model: Any, name: str) -> Range | None:
    """The interval of an output: where it is bounded that, else what the numbers tell by which a
    net turns into a picture what it computes with; `None` where neither says anything."""
    return bounded_range(model, name) or _of_factor(*_denormalised(name, KnownValues(model)))


def bounded_range(model: Any, name: str) -> Range | None:
    """The interval that an output cannot leave, from the last bounded op and the affine ops after
    it; `None` where it can be anything."""
    try:
        low, high = _ends_of(name, KnownValues(model))
    except RecursionError:  # a thousand such ops after one another: no export, and no range
        return None
    return (low, high) if -math.inf < low < high < math.inf else None


def input_range(model: Any, name: str) -> Range | None:
    """The interval of an input that a net normalises first, from the numbers that it does so by;
    `None` where it does not, or by others than are usual."""
    scale, offset = _normalised(name, model, KnownValues(model))
    if (scale, offset) == (1.0, 0.0) or scale <= 0:
        return None
    if _TO_BYTES[0] <= 1 / scale <= _TO_BYTES[1]:
        return BYTES
    zero = -offset / scale  # the value that is made zero
    for span, (least, most) in _ZERO.items():
        if least <= zero <= most:
            return span
    return UNIT if scale >= _TO_BYTES[0] and zero == 0 else None


def _of_factor(scale: float, offset: float) -> Range | None:
    if _TO_BYTES[0] <= scale <= _TO_BYTES[1]:
        return BYTES
    return SIGNED if (scale, offset) == (2.0, -1.0) else None


def _normalised(name: str, model: Any, values: KnownValues) -> tuple[float, float]:
    """The factor and the summand that an input goes through before anything else reads it; means
    over the channels."""
    readers = readers_of(model)
    scale, offset = 1.0, 0.0
    while len(readers.get(name, ())) == 1:
        (node,) = readers[name]
        step = _step(node, values.mean)
        if step is None or step.of != name:
            break
        scale, offset = scale * step.scale, offset * step.scale + step.offset
        name = node.output[0]
    return scale, offset


def _denormalised(name: str, values: KnownValues) -> tuple[float, float]:
    """The factor and the summand that an output went through last."""
    scale, offset = 1.0, 0.0
    while (node := values.makers.get(name)) and (step := _step(node, values.mean)):
        scale, offset = scale * step.scale, offset + scale * step.offset
        name = step.of
    return scale, offset


class _Step(NamedTuple):
    """What a node does to the tensor `of`."""

    of: str
    scale: float
    offset: float


def _step(node: Any, number_of: Callable[[str], float | None]) -> _Step | None:
    """What a node does that moves values about, or that scales or shifts them by a constant, of
    which `number_of` tells the number; `None` for any other."""
    if node.op_type in _KEEPS_VALUES:
        return _Step(node.input[0], 1.0, 0.0)
    if node.op_type not in _ARITHMETIC or len(node.input) != 2:
        return None
    of, number = node.input[0], number_of(node.input[1])
    if number is None and node.op_type in ("Add", "Mul"):
        of, number = node.input[1], number_of(node.input[0])
    if number is None:
        return None
    if node.op_type in ("Add", "Sub"):
        return _Step(of, 1.0, number if node.op_type == "Add" else -number)
    if number == 0:
        return None
    return _Step(of, number if node.op_type == "Mul" else 1 / number, 0.0)


def _ends_of(name: str, values: KnownValues) -> Range:
    """Between what a tensor lies; infinite where nothing bounds it."""
    node = values.makers.get(name)
    if node is None:
        return _ANYTHING
    if node.op_type in _BOUNDED:
        return _BOUNDED[node.op_type]
    if node.op_type == "Clip":
        return _clipped(node, values)
    if node.op_type in _KEEPS_RANGE:
        return _ends_of(node.input[0], values)
    if node.op_type in ("Min", "Max"):
        return _limited(node, values)
    if node.op_type == "Add" and (mixed := _mixed(node, values)):
        return _ends_of_mix(*mixed, values)
    if node.op_type in _ARITHMETIC:
        return _moved(node, values)
    return _ANYTHING


def _mixed(node: Any, values: KnownValues) -> tuple[str, str] | None:
    """The x and y of the sum `a x + (1 - a) y`, with a matte `a` in 0..1."""
    one, other = (values.makers.get(name) for name in node.input)
    if one is None or other is None or {one.op_type, other.op_type} != {"Mul"}:
        return None
    for x, a in (one.input, one.input[::-1]):
        for y, b in (other.input, other.input[::-1]):
            if _is_rest(b, a, values) or _is_rest(a, b, values):
                return x, y
    return None


def _is_rest(name: str, matte: str, values: KnownValues) -> bool:
    """Whether the tensor `name` is 1 less a `matte` in 0..1."""
    node = values.makers.get(name)
    if node is None or node.op_type != "Sub" or node.input[1] != matte:
        return False
    return values.number(node.input[0]) == 1 and _ends_of(matte, values) == UNIT


def _ends_of_mix(x: str, y: str, values: KnownValues) -> Range:
    """Of pictures that are blended. An input, warped or as it is, lies where the other does."""
    known = [_ends_of(name, values) for name in (x, y) if not _is_shown(name, values)]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else _ANYTHING


def _is_shown(name: str, values: KnownValues) -> bool:
    """Whether a tensor is an input of the graph, warped or as it is."""
    while (node := values.makers.get(name)) and node.op_type in (*_KEEPS_RANGE, "GridSample"):
        name = node.input[0]
    return node is None and values.array(name) is None


def _clipped(node: Any, values: KnownValues) -> Range:
    """The limits, of which some exporters write the largest number for none."""
    low, high = clip_limits(node, values.number) or (None, None)
    return (
        -math.inf if low is None or low <= -_LARGEST else low,
        math.inf if high is None or high >= _LARGEST else high,
    )


def _limited(node: Any, values: KnownValues) -> Range:
    """Of a smaller or a larger one of some value and a number: a clipping at one end."""
    if len(node.input) != 2:
        return _ANYTHING
    value, other = node.input
    if values.number(value) is not None:
        value, other = other, value
    limit = values.number(other)
    if limit is None:
        return _ANYTHING
    low, high = _ends_of(value, values)
    if node.op_type == "Min":
        return min(low, limit), min(high, limit)
    return max(low, limit), max(high, limit)


def _moved(node: Any, values: KnownValues) -> Range:
    """Of `bounded op scalar`, or of `scalar + bounded` and `scalar * bounded`."""
    step = _step(node, values.number)
    if step is None:
        return _ANYTHING
    low, high = sorted(end * step.scale + step.offset for end in _ends_of(step.of, values))
    return low, high
