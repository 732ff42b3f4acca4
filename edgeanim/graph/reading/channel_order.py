"""Pictures in BGR at a graph's ends, which become RGB, as pictures are everywhere else here.

Only a file's own word counts (ONNX, "Metadata", image category), as converters for Windows ML write
it. Where a convolution comes first or last, its weights change places, which costs no time; else
an op swaps the channels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgeanim.graph.convolutions import is_convolution, spatial_pads
from edgeanim.graph.edit import Editor, attributes, editing
from edgeanim.graph.nested import read_instead
from edgeanim.graph.queries import graph_inputs
from edgeanim.graph.reading.picture_ranges import DENOTED

FORMAT_KEY = "Image.BitmapPixelFormat"
"""The order of all pictures' channels in a file; key and values in any case."""

_REVERSED = {"bgr8": ("Rgb8", 3), "bgra8": ("Rgba8", 4)}
"""What is told, what it becomes, and of how many channels it is told."""
_SWAP = (2, 1, 0, 3)
_AXES = 4
_FIRST = 1
"""The axis of the channels where they come first, as convolutions want them."""
_PER_VALUE = ("Clip", "HardSigmoid", "Identity", "Relu", "Round", "Sigmoid", "Tanh")
_ARITHMETIC = ("Add", "Div", "Mul", "Sub")


class _Stored(NamedTuple):
    """A stored input of a node that has the picture's channels along an axis."""

    node: Any
    place: int
    axis: int


def bgr_pictures(model: Any) -> tuple[str, ...]:
    """The ends of a `ModelProto` of which it says itself that they are in BGR."""
    told = {entry.key.lower(): entry.value.lower() for entry in model.metadata_props}
    _, channels = _REVERSED.get(told.get(FORMAT_KEY.lower(), ""), ("", 0))
    ends = (*graph_inputs(model), *model.graph.output)
    return tuple(
        value.name
        for value in ends
        if value.type.denotation.upper() == DENOTED and _channels(value)[1] == channels
    )


def to_rgb(model: Any, names: Collection[str]) -> None:
    """Make the ends called `names`, which `bgr_pictures` has found, RGB, and say so in the file."""
    if not names:
        return
    for entry in model.metadata_props:
        if entry.key.lower() == FORMAT_KEY.lower():
            entry.value, _ = _REVERSED[entry.value.lower()]
    given, made = (
        {value.name: _channels(value) for value in ends if value.name in names}
        for ends in (graph_inputs(model), model.graph.output)
    )
    with editing(model) as graph:
        for name, (axis, channels) in given.items():
            stored = _first_stored(graph, name) if axis == _FIRST else None
            if stored is None:
                _swap_input(graph, name, axis, channels)
            else:
                _swap_stored(graph, stored, channels)
        for name, (axis, channels) in made.items():
            stored = _last_stored(graph, name, channels) if axis == _FIRST else None
            if stored is None:
                _swap_output(graph, name, axis, channels)
            else:
                _swap_stored(graph, stored, channels)


def _channels(value: Any) -> tuple[int, int]:
    """Which axis of a picture has its channels, and how many; zeros if it is no picture."""
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    axes = (_FIRST, _AXES - 1) if len(dims) == _AXES else ()
    return next(((axis, dims[axis]) for axis in axes if 1 <= dims[axis] <= len(_SWAP)), (0, 0))


def _first_stored(graph: Editor, name: str) -> list[_Stored] | None:
    """What is stored for the channels of an input, down to the first convolutions; `None` if
    anything else than they mixes the channels, or counts them."""
    met: list[_Stored] = []
    while name not in graph.outputs and (readers := graph.users(name)):
        if all(_is_plain(graph, node) and node.input[0] == name for node in readers):
            return [*met, *(_Stored(node, 1, 1) for node in readers)]
        if len(readers) > 1 or (passed := _passed(graph, readers[0])) is None:
            return None
        of, stored = passed
        if of != name:
            return None
        met += stored
        name = readers[0].output[0]
    return None


def _last_stored(graph: Editor, name: str, channels: int) -> list[_Stored] | None:
    """The same of an output, up to the last convolution; a grey one may be tinted behind it."""
    met: list[_Stored] = []
    readers = 0
    while len(graph.users(name)) == readers and (node := graph.maker(name)) is not None:
        if _is_plain(graph, node) and len(graph.constants[node.input[1]]) == channels:
            bias = [_Stored(node, 2, 0)] if graph.has_input(node, 2) else []
            return [*met, _Stored(node, 1, 0), *bias]
        passed = _passed(graph, node)
        if passed is None or passed[0] in graph.outputs:
            return None
        name, stored = passed
        met += stored
        readers = 1
    return None


def _is_plain(graph: Editor, node: Any) -> bool:
    """Whether a node is a convolution of one group whose weights are stored."""
    return (
        is_convolution(node)
        and attributes(node).get("group", 1) == 1
        and graph.constant_of(node, 1) is not None
        and graph.is_known(node, 2)
    )


def _passed(graph: Editor, node: Any) -> tuple[str, list[_Stored]] | None:
    """Of an op that leaves each value in its channel: what it reads, and what it has stored for the
    channels."""
    if node.op_type in _PER_VALUE or (
        node.op_type == "Pad" and spatial_pads(graph, node) is not None
    ):
        return node.input[0], []
    if node.op_type not in _ARITHMETIC:
        return None
    for place in (1, 0):
        value = graph.constant_of(node, place)
        if value is not None and value.ndim <= _AXES:
            axis = value.ndim - _AXES + _FIRST
            per_channel = axis >= 0 and value.shape[axis] > 1
            return node.input[1 - place], [_Stored(node, place, axis)] if per_channel else []
    return None


def _swap_stored(graph: Editor, found: Sequence[_Stored], channels: int) -> None:
    """Let each of `found` count its channels the other way round."""
    for node, place, axis in found:
        name = node.input[place]
        swapped = graph.constants[name].take(_SWAP[:channels], axis)
        # Others may read what is stored, too.
        node.input[place] = graph.constant(swapped, near=name)
        graph.reindex(node)


def _swap_input(graph: Editor, name: str, axis: int, channels: int) -> None:
    readers = graph.users(name)
    order = graph.constant(np.array(_SWAP[:channels], np.int64), near=name)
    swapped = graph.add("Gather", [name, order], near=name, axis=axis)
    for node in readers:
        read_instead(node, name, swapped)
    graph.reindex(*readers)


def _swap_output(graph: Editor, name: str, axis: int, channels: int) -> None:
    """Others that read the output go on with what it was."""
    maker = graph.maker(name)
    if maker is None:  # an input as it came
        return
    before = graph.fresh(f"{name}/swapped")
    maker.output[:] = [before if made == name else made for made in maker.output]
    readers = graph.users(name)
    for node in readers:
        read_instead(node, name, before)
    graph.reindex(maker, *readers)
    order = graph.constant(np.array(_SWAP[:channels], np.int64), near=name)
    graph.add("Gather", [before, order], near=name, output=name, axis=axis)
