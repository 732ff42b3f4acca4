"""The largest and the least of values, kept apart from their rounding.

OpenVINO (2026.4) computes a ReduceMax or ReduceMin of floats together with the quantiser behind it,
and with what lies between, in one kernel. If the result is in 8 bits, its numbers are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_EXTREMES = ("ReduceMax", "ReduceMin")


def part_from_rounding(ov: Any, model: Any) -> None:
    """Let every quantiser of an extreme value take it as a row of numbers, in place: OpenVINO does
    not join a kernel with what follows a Reshape. Quantisers have one range for all channels."""
    for op in model.get_ordered_ops():
        if op.get_type_name() == "FakeQuantize" and _is_extreme(op.input_value(0).get_node()):
            shape, readers = op.get_output_shape(0), list(op.output(0).get_target_inputs())
            row = _reshaped(ov, op.input_value(0), [-1])
            op.input(0).replace_source_output(row)
            op.validate_and_infer_types()
            back = _reshaped(ov, op.output(0), shape)
            for reader in readers:
                reader.replace_source_output(back)


def _reshaped(ov: Any, port: Any, shape: Sequence[int]) -> Any:
    return ov.opset13.reshape(port, ov.opset13.constant(list(shape), ov.Type.i64), False).output(0)


def _is_extreme(op: Any) -> bool:
    """Whether `op` gives an extreme value, or what follows from one alone, as by an activation."""
    while op.get_type_name() not in _EXTREMES:
        computed = [port.get_node() for port in _computed(op)]
        if len(computed) != 1 or op.get_type_name() == "FakeQuantize":
            return False
        (op,) = computed
    return True


def _computed(op: Any) -> list[Any]:
    return [port for port in op.input_values() if port.get_node().get_type_name() != "Constant"]
