"""An Einsum that multiplies matrices is a MatMul, of operands that are transposed where need be.

A MatMul is known as what it is: by a stored matrix it is a linear layer, which is pruned, trained
and rounded, and weighing a map by what one gives is nothing that the converter to TFLite
(litert-torch 0.10) fails at.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of products of two matrices, or of stacks of them, by MatMul now."""
    return rewrite_each(model, _multiply)


def _multiply(graph: Editor, node: Any) -> bool:
    orders = _orders(attributes(node)["equation"]) if node.op_type == "Einsum" else None
    if orders is None:
        return False
    (left, to_left), (right, to_right) = ((node.input[i], order) for i, order in orders)
    rows, columns = (graph.shapes.get(name) for name in (left, right))
    # An axis of one may stand for a longer one, which a MatMul only knows of a stack.
    if rows is None or columns is None or rows[to_left[-1]] != columns[to_right[-2]]:
        return False
    near = node.output[0]
    operands = [_turned(graph, left, to_left, near), _turned(graph, right, to_right, near)]
    made = graph.add("MatMul", operands, near=near, name=node.name)
    graph.replace(node, made, renamed=True)
    return True


def _orders(equation: str) -> list[tuple[int, list[int]]] | None:
    """The positions of the left operand and of the right one, each with the order of its axes in a
    MatMul; `None` of an equation that says anything else."""
    terms, _, result = equation.replace(" ", "").partition("->")
    operands, summed = terms.split(","), set(terms) - {*result, ","}
    if len(operands) != 2 or len(summed) != 1 or len(result) < 2 or "." in terms:
        return None
    *stack, row, column = list(result)
    wanted = ([*stack, row, *summed], [*stack, *summed, column])
    positions = (0, 1) if row in operands[0] else (1, 0)
    if any(sorted(operands[i]) != sorted(w) for i, w in zip(positions, wanted, strict=True)):
        return None
    return [(i, list(map(operands[i].index, w))) for i, w in zip(positions, wanted, strict=True)]


def _turned(graph: Editor, name: str, order: list[int], near: str) -> str:
    """A value with its axes in this order; a stored one is stored so."""
    if order == sorted(order):
        return name
    if name in graph.constants:
        return graph.constant(graph.constants[name].transpose(order), near=near)
    return graph.add("Transpose", [name], near=near, perm=order)
