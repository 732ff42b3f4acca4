"""A convolution whose result is only cut into wide parts becomes as many convolutions.

Gates are written so: one convolution, one half of whose channels weighs the other. Runtimes that
leave the channels innermost pick both halves value by value, which in OpenVINO's INT8 takes longer
than the convolution. Two convolutions of half the channels take as long as one, and what follows
each half runs in the same pass. Behind a depthwise convolution the cut moves up to the one before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each

LEAST_CHANNELS = 16
"""Of fewer, vectors are not filled; `planar_split` cuts those."""
PART = "/part"


def rewrite(model: Any) -> int:
    """Returns the number of convolutions taken apart. The first part keeps the name, the others are
    called `name/part1` and so on."""
    total = 0
    while count := rewrite_each(model, _take_apart):
        total += count
    return total


def with_parts(names: tuple[str, ...], model: Any) -> tuple[str, ...]:
    """`names` and those of the parts of theirs in a `model`."""
    parts = (node.name for node in model.graph.node if PART in node.name)
    return (*names, *(part for part in parts if part.rpartition(PART)[0] in names))


def _take_apart(graph: Editor, node: Any) -> bool:
    kernel = graph.constant_of(node, 1) if node.op_type == "Conv" else None
    if kernel is None or node.output[0] in graph.outputs:
        return False
    groups = attributes(node).get("group", 1)
    if groups != 1 and not _passes_a_cut_on(graph, node, groups, kernel.shape):
        return False
    if not graph.is_known(node, 2):
        return False
    bias = graph.constant_of(node, 2)
    found: dict[tuple[int, int], list[str]] = {}
    cutters = graph.users(node.output[0])
    for cutter in cutters:
        cuts = _cuts(graph, cutter, node.output[0])
        if not cuts or any(end - begin < LEAST_CHANNELS for begin, end, _ in cuts):
            return False
        for begin, end, name in cuts:
            found.setdefault((begin, end), []).append(name)
    # Parts that overlap would be computed twice.
    limits = sorted(found)
    if len(limits) < 2 or any(one[1] > other[0] for one, other in pairwise(limits)):
        return False
    made: dict[str, str] = {}
    for index, (begin, end) in enumerate(limits):
        read = node.input[0] if groups == 1 else _cut(graph, node.input[0], begin, end)
        inputs = [read, graph.constant(kernel[begin:end], near=node.input[1])]
        if bias is not None:
            inputs.append(graph.constant(bias[begin:end], near=node.input[2]))
        given = attributes(node) | {"group": 1 if groups == 1 else end - begin}
        name = node.name + (f"{PART}{index}" if index and node.name else "")
        part = graph.add("Conv", inputs, near=node.output[0], name=name, **given)
        made.update(dict.fromkeys(found[begin, end], part))
    for cutter in cutters:
        graph.replace(cutter, *(made[name] for name in cutter.output))
    return True


def _passes_a_cut_on(graph: Editor, node: Any, groups: int, kernel: tuple[int, ...]) -> bool:
    """Whether this is a depthwise convolution that alone reads one that can be taken apart."""
    above = graph.maker(node.input[0], "Conv")
    alone = graph.only_user(node.input[0]) is not None
    depthwise = groups == kernel[0] and kernel[1] == 1
    return depthwise and alone and above is not None and attributes(above).get("group", 1) == 1


def _cut(graph: Editor, name: str, begin: int, end: int) -> str:
    """Add a Slice of some channels of `name`."""
    limits = [graph.constant(np.array([at], np.int64), near=name) for at in (begin, end, 1)]
    return graph.add("Slice", [name, *limits], near=name)


def _cuts(graph: Editor, cutter: Any, name: str) -> list[tuple[int, int, str]]:
    """Which channels of the map `name` the outputs of a Split or Slice are; none if it is neither,
    or cuts along another axis."""
    shape = graph.shapes.get(name)
    if shape is None:
        return []
    channels = shape[1]
    if cutter.op_type == "Split" and cutter.input[0] == name:
        sizes = [graph.shapes.get(output, (0, 0))[1] for output in cutter.output]
        axis = attributes(cutter).get("axis", 0)
        if axis % len(shape) != 1 or sum(sizes) != channels:
            return []
        ends = np.cumsum(sizes).tolist()
        return list(zip([0, *ends[:-1]], ends, cutter.output, strict=True))
    if cutter.op_type != "Slice" or cutter.input[0] != name:
        return []
    limits = [graph.constant_of(cutter, index) for index in (1, 2, 3)]
    steps = graph.constant_of(cutter, 4)
    if any(limit is None or limit.size != 1 for limit in limits):
        return []
    start, stop, axis = (int(limit.item()) for limit in limits if limit is not None)
    whole = steps is None or steps.tolist() == [1]
    if axis % len(shape) != 1 or not whole or (len(cutter.input) > 4 and steps is None):
        return []
    begin, end, _ = slice(start, stop).indices(channels)
    return [(begin, end, cutter.output[0])]
