"""Where an ONNX graph keeps weights that are not in its file, told from the protobuf's bytes: a
board has no ONNX package to parse it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import inside
from edgeanim.graph.reading.protobuf import damaged, read_graph

# The messages in which tensors lie, by field number (onnx.proto); of all others nothing is read.
_WITHIN: Final = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor"},
        **{11: "graph", 22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
}
_ENTRIES, _PLACE, _EXTERNAL = 13, 14, 1


def external_files(path: Path) -> tuple[Path, ...]:
    """The files below the folder of `path` that hold its weights; empty if they are inline.

    `BadInput` for a file that does not parse, and for weights that are missing, outside that folder
    or no regular file.
    """
    content = read_graph(path)
    try:
        names = sorted(set(_locations(memoryview(content))))
    except (IndexError, ValueError) as error:
        raise damaged(path) from error
    files = tuple(inside(path.parent, name) for name in names)
    for file in files:
        with disk_errors(file):
            there = file.is_file()
        if not there:
            raise BadInput(
                f"The external data file {file.relative_to(path.parent)} is missing.",
                where=path,
                hint="Keep it in the folder of the ONNX file.",
            )
    return files


def _locations(model: memoryview) -> Iterator[str]:
    """What each tensor with external data names as its file; an empty text if it names none."""
    pending = [("model", model)]
    while pending:
        kind, message = pending.pop()
        if kind == "tensor":
            yield from _locations_of(message)
            continue
        for number, value in _fields(message):
            inner = _WITHIN[kind].get(number)
            if inner is not None:
                pending.append((inner, _bytes(value)))


def _locations_of(tensor: memoryview) -> Iterator[str]:
    fields = list(_fields(tensor))
    if dict(fields).get(_PLACE) != _EXTERNAL:
        return
    entries = [dict(_fields(_bytes(value))) for number, value in fields if number == _ENTRIES]
    named = {_text(entry.get(1)): _text(entry.get(2)) for entry in entries}
    yield named.get("location", "")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; numbers of fixed size are left out, as none is needed."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(message, at)
            if size > len(message) - at:
                raise ValueError("a field is cut off")
            yield number, message[at : at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError("no field is of this kind")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number does not end")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should")
    return value


def _text(value: int | memoryview | None) -> str:
    return "" if value is None else str(_bytes(value), "utf-8")
