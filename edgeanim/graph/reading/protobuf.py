"""From a file to a `ModelProto`: what the file claims to be is checked before it is parsed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.packages import require

MAX_BYTES = (2 << 30) - 1
"""Protobuf's own limit, for the graph file and for each file of external weights."""

_SIGNATURES = (
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (4, b"ftyp", "a video"),
    (4, b"TFL3", "a TFLite model"),
    (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or a bundle, perhaps)"),
    (8, b'{"', "a file of weights alone (safetensors)"),
    (0, b"\x80\x02", "a pickle, which is never opened"),
    (0, b"\x80\x04", "a pickle, which is never opened"),
    (0, b"<?xml", "an XML document (OpenVINO IR, perhaps)"),
    (0, b"\x7fELF", "a program"),
)

_PYTORCH = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".py", ".safetensors", ".torchscript")
"""What code, weights and TorchScript of PyTorch are called."""
_BUNDLE = ".eab"
_EXPORT = (
    "Of PyTorch, edgeanim takes exported programs (.pt2), or the module's code with weights as "
    "safetensors: edgeanim export mynet:Net --weights net.safetensors --shape image=1x3x256x256 -o "
    "net/"
)


def parse_onnx(path: Path) -> Any:
    """The graph as it is written, external weights not loaded.

    `BadInput` if the file is missing, empty, truncated, larger than 2 GB or something else.
    """
    require("Reading an ONNX graph", "onnx", extra="compress")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    data = read_graph(path)
    try:
        model = onnx.load_model_from_string(data)
        sound = _texts_are_sound(model)
    except (DecodeError, ValueError) as error:
        raise damaged(path) from error
    if not sound:
        raise damaged(path)
    if not model.ir_version or not model.opset_import or not model.graph.node:
        raise BadInput("This is not an ONNX graph: it has no nodes or no version.", where=path)
    return model


def damaged(path: Path) -> BadInput:
    """The error for a file that does not parse."""
    if _is_text(path):
        return _foreign(path, "a text file")
    return BadInput(
        "This ONNX file is truncated or damaged: it does not parse.",
        where=path,
        hint="Copy or export it again.",
    )


def _texts_are_sound(message: Any) -> bool:
    """Whether all texts are texts: protobuf hands out those that are not UTF-8 as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        is_single = isinstance(value, (str, bytes)) or hasattr(value, "ListFields")
        for item in [value] if is_single else value:
            if field.type == field.TYPE_STRING and not isinstance(item, str):
                return False
            if field.type == field.TYPE_MESSAGE and not _texts_are_sound(item):
                return False
    return True


def read_graph(path: Path) -> bytes:
    """The file's bytes; `BadInput` if it is missing, empty, larger than 2 GB or something else."""
    with disk_errors(path):
        size = path.stat().st_size
        if path.is_dir():
            raise BadInput(
                "This is a folder; an ONNX file is needed here.",
                where=path,
                hint="Give the .onnx file in it.",
            )
        if size == 0:
            raise BadInput("This file is empty.", where=path, hint="Copy or export it again.")
        if size > MAX_BYTES:
            raise BadInput(
                f"This file has {size / 2**30:.1f} GiB; an ONNX graph holds at most 2 GiB.",
                where=path,
                hint="Store its weights as external data, or export a smaller model.",
            )
        with path.open("rb") as stream:
            head = stream.read(16)
        for offset, signature, kind in _SIGNATURES:
            if head[offset : offset + len(signature)] == signature:
                raise _foreign(path, kind)
        return path.read_bytes()


def _is_text(path: Path) -> bool:
    with disk_errors(path), path.open("rb") as stream:
        head = stream.read(16)
    return all(chr(byte).isprintable() or byte in b"\t\r\n" for byte in head) and head.isascii()


def _foreign(path: Path, kind: str) -> BadInput:
    hint = None
    if path.name == "model.toml":
        hint = "Give the folder that holds it."
    elif path.suffix.lower() in (".tflite", ".xml"):
        hint = f"It can be measured as it is: edgeanim bench {shlex.quote(str(path))} --frames DIR"
    elif path.suffix.lower() == _BUNDLE:
        hint = "A bundle is compiled already: give the model that it was made from."
    elif path.suffix.lower() in _PYTORCH:
        hint = _EXPORT
    return BadInput(f"This is {kind}, not an ONNX graph.", where=path, hint=hint)
