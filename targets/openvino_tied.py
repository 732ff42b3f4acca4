"""A square kernel that is read in two directions is stored in both.

OpenVINO (2026.4) packs a kernel once for all that read the same bytes in the same packed form. That
of a transposed convolution, or of a linear layer that multiplies from the other side, has the form
of the plain one's where there are as many outputs as inputs: with tied weights, one of the two
computes with the other's kernel. Equal constants are no way out, as its files store them once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeanim.core.files import sha256_bytes

_OUTPUTS_FIRST = {"Convolution": True, "ConvolutionBackpropData": False}
"""Of whose kernels the first axis is that of the outputs."""

_KERNEL = 1
"""Which input of its ops a kernel is."""


@dataclass(frozen=True)
class _Reader:
    """An op that reads the stored kernel `values`, whose first of the `ends`, the axes of outputs
    and inputs, is the outputs' or not."""

    op: Any
    values: Any
    ends: tuple[int, int]
    outputs_first: bool


def untie(model: Any) -> int:
    """Have all that read a kernel from the other side than some others turn one of their own, in
    place; returns how many these are. OpenVINO turns it while it loads the `openvino.Model`."""
    readers: defaultdict[str, list[_Reader]] = defaultdict(list)
    for op in model.get_ordered_ops():
        if reader := _reader(op):
            readers[sha256_bytes(reader.values.tobytes())].append(reader)
    tied = [each for each in readers.values() if len({r.outputs_first for r in each}) > 1]
    turned = [reader for each in tied for reader in each if not reader.outputs_first]
    for reader in turned:
        _turn(reader)
    return len(turned)


def _reader(op: Any) -> _Reader | None:
    kind = op.get_type_name()
    if kind not in _OUTPUTS_FIRST and kind != "MatMul":
        return None
    stored, turns = op.input_value(_KERNEL).get_node(), False
    if kind == "MatMul" and stored.get_type_name() == "Transpose":
        # OpenVINO makes one op of both.
        stored, turns = stored.input_value(0).get_node(), True
    shape = stored.get_output_shape(0) if stored.get_type_name() == "Constant" else ()
    ends = (0, 1) if kind in _OUTPUTS_FIRST else (len(shape) - 2, len(shape) - 1)
    if len(shape) < len(ends) or shape[ends[0]] != shape[ends[1]]:
        return None
    first = _OUTPUTS_FIRST.get(kind)
    if first is None:
        first = turns != op.get_attributes()["transpose_b"]
    return _Reader(op, stored.data, ends, first)


def _turn(reader: _Reader) -> None:
    from openvino import opset13

    order = list(range(reader.values.ndim))
    one, other = reader.ends
    order[one], order[other] = other, one
    stored = opset13.constant(np.ascontiguousarray(reader.values.transpose(order)))
    turned = opset13.transpose(stored, opset13.constant(np.array(order, np.int64)))
    reader.op.input(_KERNEL).replace_source_output(turned.output(0))
