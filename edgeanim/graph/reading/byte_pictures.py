"""Pictures of bytes at a graph's ends, which become float32 in 0..255.

Files made for serving begin with a cast of the camera's bytes, and end with one to the screen's.
Between cast and end they only lay pixels out anew. Without the casts the same graph takes and gives
floats, and its last rounding is left to whoever shows the picture.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgeanim.graph.edit import attributes, set_attributes
from edgeanim.graph.queries import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    FLOAT16,
    UINT8,
    graph_inputs,
    makers_of,
    readers_of,
)
from edgeanim.graph.reading.channel_order import FORMAT_KEY
from edgeanim.graph.reading.picture_ranges import ARRANGES, BYTES_DECLARED, DENOTED, RANGE_KEY

_FLOATS = (FLOAT, FLOAT16, DOUBLE, BFLOAT16)


def byte_pictures(model: Any) -> tuple[str, ...]:
    """The ends of a `ModelProto` that hold bytes, from which or to which it casts floats."""
    ways = _Ways(model)
    given = [value.name for value in graph_inputs(model) if _is_bytes(value)]
    made = [value.name for value in model.graph.output if _is_bytes(value)]
    return (
        *(name for name in given if ways.are_cast(name)),
        *(name for name in made if ways.cast_behind(name) is not None),
    )


def to_floats(model: Any, names: Collection[str]) -> None:
    """Make the ends called `names`, which `byte_pictures` has found, float32, and say in the file
    that they are pictures in 0..255. Their casts remain, from float32 to float32."""
    if not names:
        return
    ways = _Ways(model)
    for name in names:
        if (cast := ways.cast_behind(name)) is not None:
            set_attributes(cast, to=FLOAT)
            ways.skip_rounding(cast)
    for value in (*model.graph.input, *model.graph.output):
        # What the file says of all its pictures no longer holds for these, nor what it says now
        # for others.
        value.type.denotation = DENOTED if value.name in names else ""
        if value.name in names:
            value.type.tensor_type.elem_type = FLOAT
    told = (RANGE_KEY.lower(), FORMAT_KEY.lower())
    others = [entry for entry in model.metadata_props if entry.key.lower() not in told]
    model.ClearField("metadata_props")
    model.metadata_props.extend(others)
    model.metadata_props.add(key=RANGE_KEY, value=BYTES_DECLARED)


def _is_bytes(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == UINT8)


class _Ways:
    """What leads from and to the ends of a graph, whose weights need not be at hand."""

    def __init__(self, model: Any) -> None:
        self.makers, self._readers = makers_of(model), readers_of(model)
        self._outputs = {value.name for value in model.graph.output}

    def are_cast(self, name: str) -> bool:
        """Whether all that reads an input, once its pixels are laid out, casts them to floats."""
        pending = [name]
        while pending:
            name = pending.pop()
            if name in self._outputs:
                return False
            for node in self._readers.get(name, ()):
                if node.op_type in ARRANGES:
                    pending.append(node.output[0])
                elif node.op_type != "Cast" or attributes(node)["to"] not in _FLOATS:
                    return False
        return True

    def cast_behind(self, name: str) -> Any | None:
        """The cast that an output comes from; `None` if there is none, or others read its bytes."""
        readers = 0
        while len(self._readers.get(name, ())) == readers:
            node = self.makers.get(name)
            if node is None or node.op_type == "Cast":
                return node
            if node.op_type not in ARRANGES or node.input[0] in self._outputs:
                return None
            name, readers = node.input[0], 1
        return None

    def skip_rounding(self, cast: Any) -> None:
        """Let `cast`, and a Clip that it alone reads, read what was rounded for it."""
        reader = cast
        while (node := self.makers.get(reader.input[0])) is not None:
            if node.op_type == "Round":
                reader.input[0] = node.input[0]
            elif node.op_type == "Clip" and len(self._readers[node.output[0]]) == 1:
                reader = node
            else:
                break
