"""A batch norm by the statistics of its own input is, for one picture, an InstanceNormalization.

PyTorch's exporters write one, with the mean and the variance computed before it, for a norm that
keeps no statistics (`track_running_stats=False`, or `F.batch_norm(x, None, None, training=True)` as
in SPADE); the older exporter says of it that it is in training mode, too.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each

_MEAN, _VARIANCE = 3, 4


def rewrite(model: Any) -> int:
    """Returns the number of norms replaced."""
    return rewrite_each(model, _replace)


def _replace(graph: Editor, node: Any) -> bool:
    if node.op_type != "BatchNormalization":
        return False
    shape = graph.shapes.get(node.input[0], ())
    if len(shape) < 3 or shape[0] != 1:
        return False
    given = attributes(node)
    if not (_says_so(graph, node) if given.get("training_mode", 0) else _computes(graph, node)):
        return False
    x, scale, bias = node.input[:3]
    eps = given.get("epsilon", 1e-5)
    near = node.output[0]
    made = graph.add("InstanceNormalization", [x, scale, bias], near=near, epsilon=eps)
    graph.replace(node, made, *node.output[1:])
    return True


def _says_so(graph: Editor, node: Any) -> bool:
    """Whether a norm in training mode has no stored statistics, of which it would give new ones."""
    stored = node.input[_MEAN] in graph.constants
    return not stored and not any(graph.users(name) for name in node.output[1:])


def _computes(graph: Editor, node: Any) -> bool:
    """Whether the mean and the variance are those of what is normed."""
    x = node.input[0]
    square = graph.maker(_mean_of(graph, node.input[_VARIANCE]) or "")
    if _mean_of(graph, node.input[_MEAN]) != x or square is None or not graph.is_square(square):
        return False
    difference = graph.maker(square.input[0], "Sub")
    if difference is None:
        return False
    return bool(difference.input[0] == x == _mean_of(graph, difference.input[1]))


def _mean_of(graph: Editor, name: str) -> str | None:
    """x, if `name` is its mean over all axes but the channels'."""
    node = graph.maker(name, "ReduceMean")
    axes = None if node is None else graph.setting_of(node, "axes", 1)
    rank = 0 if node is None else len(graph.shapes.get(node.input[0], ()))
    if node is None or axes is None or not rank:
        return None
    over = sorted(int(axis) % rank for axis in axes)
    return str(node.input[0]) if over == [0, *range(2, rank)] else None
