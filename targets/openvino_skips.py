"""Where vectors skip linear layers, OpenVINO is told to make no snippets.

OpenVINO (2026.4) compiles linear layers of vectors, and what is computed elementwise around them,
into kernels of its own, its snippets. Where two layers' result is joined with a vector that was
computed before them, as motion that a small net corrects, this ends the process with a segmentation
fault: for one thread, and for some sizes for more.
"""

from __future__ import annotations

from typing import Any

_JOINS = ("Add", "Subtract", "Multiply", "Divide")
_VECTORS = 2
"""Axes of what the layers read, one vector a row."""
_UNPACKED_IN = 3
"""Ops between 8 bits in a file and floats: Convert, Subtract and Multiply."""


def settings_for(model: Any) -> dict[str, str]:
    """OpenVINO's properties that an `openvino.Model` needs besides those asked for."""
    layers = (op for op in model.get_ops() if op.get_type_name() == "MatMul")
    skips = any(
        _is_stored(layer.input_value(1).get_node()) and _is_joined(layer.output(0))
        for layer in layers
        if len(layer.get_output_partial_shape(0)) == _VECTORS
    )
    return {"SNIPPETS_MODE": "DISABLE"} if skips else {}


def _is_joined(value: Any) -> bool:
    """Whether a vector, or what becomes of it by itself, is joined with another one."""
    for reader in value.get_target_inputs():
        op = reader.get_node()
        alone = all(
            _is_stored(op.input_value(index).get_node())
            for index in range(op.get_input_size())
            if index != reader.get_index()
        )
        if not alone and op.get_type_name() in _JOINS:
            return True
        keeps = op.get_output_size() and op.get_output_partial_shape(0) == value.get_partial_shape()
        if alone and keeps and _is_joined(op.output(0)):
            return True
    return False


def _is_stored(op: Any, steps: int = _UNPACKED_IN) -> bool:
    """Whether an op gives what the file holds, unpacked from other numbers in a few `steps`."""
    if not steps or not op.get_input_size():
        return bool(op.get_type_name() == "Constant")
    given = (op.input_value(index).get_node() for index in range(op.get_input_size()))
    return all(_is_stored(each, steps - 1) for each in given)
