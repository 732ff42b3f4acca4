"""The sizes that a graph gives as constants, once channels have gone from the module made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes
from edgeanim.graph.pytorch.traced import traced_shapes

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.pytorch.to_torch import ImportedGraph

Shapes = Mapping[str, tuple[int, ...]]


def update_sizes(graph: Editor, imported: ImportedGraph, module: torch.nn.Module) -> None:
    """Let all nodes of `graph`, of which `module` was made before it lost channels, ask for as many
    as there are. What no channel went from stays as it is written."""
    shapes = _shapes(imported, module)
    changed = {name for name, shape in shapes.items() if shape != graph.shapes.get(name)}
    made = {node.name: node for node in module.graph.nodes}
    for node in graph.nodes:
        name = node.output[0]
        if changed.isdisjoint((*node.input, *node.output)):
            continue
        if node.op_type == "Reshape" and name in shapes:
            _set(graph, node, 1, shapes[name])
        elif node.op_type == "Resize" and len(shapes.get(name, ())) == len(_sizes(graph, node)):
            _set(graph, node, 3, shapes[name])
        elif node.op_type == "Split" and shapes.keys() >= set(node.output):
            _split(graph, node, shapes)
        elif node.op_type == "Slice" and name in shapes:
            cut = made[imported.fx_names[name]]
            if [n.name for n in cut.all_input_nodes] == [imported.fx_names.get(node.input[0])]:
                _slice(graph, node, cut)


def _shapes(imported: ImportedGraph, module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape that each value of the graph has in `module`."""
    shapes = traced_shapes(module, imported.example())
    return {name: shapes[made] for name, made in imported.fx_names.items() if made in shapes}


def _sizes(graph: Editor, node: Any) -> tuple[int, ...]:
    """What a Resize asks for, if it asks for sizes."""
    sizes = graph.constant_of(node, 3)
    return () if sizes is None else tuple(sizes.tolist())


def _split(graph: Editor, node: Any, shapes: Shapes) -> None:
    axis = attributes(node).get("axis", 0)
    _set(graph, node, 1, tuple(shapes[name][axis] for name in node.output))
    for attribute in [a for a in node.attribute if a.name == "num_outputs"]:
        node.attribute.remove(attribute)


def _slice(graph: Editor, node: Any, made: torch.fx.Node) -> None:
    """Its channels begin and end where those of `made` do, if it cuts any."""
    cuts = made.args[1] if getattr(made.target, "__name__", "") == "getitem" else ()
    starts, ends, axes = (graph.constant_of(node, index) for index in (1, 2, 3))
    if not isinstance(cuts, tuple) or starts is None or ends is None:
        return
    numbers = range(len(starts)) if axes is None else axes.tolist()
    limits = [
        (start, end) if cuts[axis] == slice(None) else (cuts[axis].start, cuts[axis].stop)
        for axis, start, end in zip(numbers, starts.tolist(), ends.tolist(), strict=True)
    ]
    _set(graph, node, 1, tuple(start for start, _ in limits))
    _set(graph, node, 2, tuple(end for _, end in limits))


def _set(graph: Editor, node: Any, index: int, sizes: tuple[int, ...]) -> None:
    """Give a node these numbers as an input, unless it has them."""
    old = graph.constant_of(node, index)
    if old is None or tuple(old.tolist()) != sizes:
        graph.set_constant(node, index, np.array(sizes, np.int64))
