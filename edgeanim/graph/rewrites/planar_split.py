"""The channels of a convolution's result are cut apart where each is a plane of its own.

OpenVINO's convolutions leave the channels innermost, where its Split picks every value by itself,
which can take as long as several convolutions. A transposition is fast, and cutting planes apart
copies nothing.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.convolutions import is_convolution
from edgeanim.graph.edit import Editor, rewrite_each

_IN_PASSING = ("Clip", "LeakyRelu", "Relu", "Sigmoid", "Tanh")


def rewrite(model: Any) -> int:
    """Returns the number of results that are transposed before they are cut apart now."""
    return rewrite_each(model, _transpose)


def _transpose(graph: Editor, node: Any) -> bool:
    if node.op_type != "Conv" and node.op_type not in _IN_PASSING:
        return False
    name = node.output[0]
    users = graph.users(name)
    if name in graph.outputs or not users or not all(_cuts(graph, user, name) for user in users):
        return False
    if not is_convolution(graph.maker_behind(name, _IN_PASSING)):
        return False
    count, channels, height, width = graph.shapes[name]
    x = graph.add("Transpose", [name], near=name, perm=[0, 2, 3, 1])
    x = graph.reshaped(x, (count, height * width, channels), near=name)
    x = graph.add("Transpose", [x], near=name, perm=[0, 2, 1])
    x = graph.reshaped(x, (count, channels, height, width), near=name)
    for user in users:
        user.input[0] = x
    graph.reindex(*users)
    return True


def _cuts(graph: Editor, node: Any, name: str) -> bool:
    """Whether `node` takes some channels out of the map `name`."""
    if node.op_type not in ("Slice", "Split") or node.input[0] != name:
        return False
    before, after = graph.shapes.get(name, ()), graph.shapes.get(node.output[0], ())
    same_but_channels = before[:1] == after[:1] and before[2:] == after[2:]
    return len(before) == len(after) == 4 and before != after and same_but_channels
