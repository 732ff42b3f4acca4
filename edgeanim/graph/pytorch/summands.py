"""Small summands, kept through the optimiser of PyTorch's exporter.

It takes 1e-8 and less for zero and drops their addition. But what is added to a norm or a variance
before a division is that small, and without it zeros become NaN: the first state of a recurrent
net, a black picture. An op of another name, which it knows no rule for, adds the same.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.nested import all_nodes

_ADD, _HIDDEN = "Add", "Sum"
_SMALL = 1e-7
_SAME_VALUE = ("Cast", "CastLike", "Identity")


def hide_small_summands(model: Any) -> None:
    """Call each addition of a small number `Sum`, in the exporter's model as yet unoptimised."""
    for graph in (model.graph, *model.functions.values()):
        for node in graph.all_nodes():
            if node.op_type == _ADD and any(map(_is_small, node.inputs)):
                node.op_type = _HIDDEN


def show_small_summands(model: Any) -> None:
    """Call each sum of two values in a `ModelProto` an addition again."""
    for node in all_nodes(model.graph):
        if node.op_type == _HIDDEN and len(node.input) == 2:
            node.op_type = _ADD


def _is_small(value: Any) -> bool:
    """Whether a value is a constant of one small number other than zero."""
    from onnxscript import ir

    node = value.producer()
    while node is not None and node.op_type in _SAME_VALUE:
        value = node.inputs[0]
        node = value.producer()
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and tensor.size == 1 and 0 < abs(tensor.numpy().item()) < _SMALL
