"""Ops that change nothing are removed: a reshape to the same shape, a pad by zero, a dropout."""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.upsampling import resize_scales


def rewrite(model: Any) -> int:
    """Returns the number of ops removed."""
    return rewrite_each(model, _remove)


def _remove(graph: Editor, node: Any) -> bool:
    if not _changes_nothing(graph, node) or _joins_the_ends(graph, node):
        return False
    graph.replace(node, node.input[0], *node.output[1:])
    return True


def _changes_nothing(graph: Editor, node: Any) -> bool:
    op = node.op_type
    if op == "Identity":
        return True
    if op == "Dropout":
        idle = len(node.output) == 1 or not graph.users(node.output[1])
        return idle and not drops(graph, node)
    if op in ("Reshape", "Expand", "Flatten", "Squeeze", "Unsqueeze", "Tile", "Slice"):
        before, after = (graph.shapes.get(name) for name in (node.input[0], node.output[0]))
        same = before is not None and before == after
        return same and (op != "Slice" or _steps_forward(graph, node))
    if op == "Resize":
        return _keeps_the_size(graph, node)
    if op == "Transpose":
        perm = attributes(node).get("perm")
        return perm is not None and list(perm) == sorted(perm)
    if op == "Pad":
        pads = graph.setting_of(node, "pads", 1)
        return pads is not None and not pads.any()
    if op == "Concat":
        return len(node.input) == 1
    return op in ("Sum", "Mean", "Max", "Min") and len(node.input) == 1


def drops(graph: Editor, node: Any) -> bool:
    """Whether a Dropout is, or may be, in training mode."""
    if not graph.has_input(node, 2):
        return False
    training = graph.constant_of(node, 2)
    return training is None or bool(training.any())


def _keeps_the_size(graph: Editor, node: Any) -> bool:
    """A resize to its own size, which no mode but a crop changes anything by. A factor near one
    may also lead there, but not to the same pixels."""
    mode = attributes(node).get("coordinate_transformation_mode", "half_pixel")
    scales = resize_scales(graph, node)
    return scales is not None and all(s == 1 for s in scales) and mode != "tf_crop_and_resize"


def _steps_forward(graph: Editor, node: Any) -> bool:
    if len(node.input) < 5:
        return True
    steps = graph.constant_of(node, 4)
    return steps is not None and bool((steps == 1).all())


def _joins_the_ends(graph: Editor, node: Any) -> bool:
    """An op between a graph's input (or another output) and its output must stay."""
    return node.output[0] in graph.outputs and (
        graph.maker(node.input[0]) is None or node.input[0] in graph.outputs
    )
