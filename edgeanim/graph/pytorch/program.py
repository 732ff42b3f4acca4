"""PyTorch's exported programs (.pt2), read without anything in them that could run code.

PyTorch's own reader unpickles example inputs and custom objects, evaluates the expressions of open
shapes and looks up whatever a node names. So only the graph and the raw weights are taken out, what
is not a plain static graph is refused, and the reader is given a new archive of what is left.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeanim.core.archives import archive_errors
from edgeanim.core.errors import BadInput, disk_errors, foreign_errors
from edgeanim.core.packages import require
from edgeanim.core.parsing import parse_json
from edgeanim.core.quiet import quiet
from edgeanim.graph.pytorch.torch_modules import reason_of
from edgeanim.graph.reading.protobuf import MAX_BYTES

if TYPE_CHECKING:
    import torch

SUFFIX = ".pt2"

_MODEL = "models/{}.json"
_WEIGHTS = "data/weights/{}_weights_config.json"
_CONSTANTS = "data/constants/{}_constants_config.json"
_SAMPLES = "data/sample_inputs/{}.pt"
_HEADER = ("archive_format", "archive_version", ".data/version", "byteorder")
_MAX_GRAPH = 64 << 20
_RESAVE = "Save it anew with torch.export.save of PyTorch 2.8 or later."
# But for the one that maps a file into memory.
_PLAIN_OP = re.compile(r"torch\.ops\.(aten|prims)\.(?!from_file\b)\w+(\.\w+)?|_operator\.getitem")
_NO_GRAD = "torch.ops.higher_order.wrap_with_set_grad_enabled"
_PLAIN_FILE = re.compile(r"\w+")
_PLAIN_VALUES = {
    f"as_{kind}"
    for kind in (
        *("none", "tensor", "tensors", "optional_tensor", "optional_tensors", "nested_tensors"),
        *("int", "ints", "int_lists", "float", "floats", "float_lists", "bool", "bools", "complex"),
        *("string", "strings", "scalar_type", "memory_format", "layout", "device"),
    )
}
_OPEN = re.compile(r"as_(expr|name|sym_\w+)")
# Of what a program takes and gives; of others, PyTorch imports what module they name.
_PLAIN_SPECS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


@dataclass(frozen=True)
class Program:
    """An exported program as a module, with the shapes of its inputs by name, in their order."""

    module: torch.nn.Module
    shapes: Mapping[str, tuple[int, ...]]


def load_program(path: Path) -> Program:
    """The program in `path`. `BadInput` if that is none, or one with open shapes, control flow,
    half floats or ops that are not PyTorch's own, and `MissingComponent` without torch."""
    require("Reading an exported program", "torch", extra="compress")
    import torch

    def translate(error: BaseException) -> BadInput:
        return BadInput(
            f"PyTorch cannot read this program: {reason_of(error)}", where=path, hint=_RESAVE
        )

    with disk_errors(path), archive_errors(path, hint=_RESAVE), zipfile.ZipFile(path) as archive:
        clean = _cleaned(archive, path)
    with foreign_errors(translate), quiet():
        program = torch.export.load(clean)
        module = program.module()
        shapes = {
            node.name: tuple(node.meta["val"].shape)
            for node in program.graph.nodes
            if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
        }
    _check_precision(program, path)
    return Program(_evaluated(module), shapes)


def _check_precision(program: torch.export.ExportedProgram, path: Path) -> None:
    import torch

    for node in program.graph.nodes:
        dtype = getattr(node.meta.get("val"), "dtype", None)
        if dtype in (torch.float16, torch.bfloat16):
            raise BadInput(
                f"This program computes in {str(dtype).removeprefix('torch.')}.",
                where=path,
                hint="Call .float() on the module, and export it again.",
            )


def _evaluated(module: torch.nn.Module) -> torch.nn.Module:
    """A program is in the mode that it was exported in, and refuses to be put in another."""
    import torch

    class Exported(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.program = module

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.program(*inputs)

        def train(self, mode: bool = True) -> Exported:
            self.training = mode
            return self

    return Exported()


def _cleaned(archive: zipfile.ZipFile, path: Path) -> io.BytesIO:
    """A new archive of the graph, its weights and its constants."""
    names = archive.namelist()
    if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
        raise BadInput("A program of more than 2 GiB is not read.", where=path)
    root = names[0].partition("/")[0] + "/" if names else ""
    found = [re.fullmatch(r"models/(\w+)\.json", name.removeprefix(root)) for name in names]
    models = [match[1] for match in found if match]
    if f"{root}archive_format" not in names or not models:
        what = "This is not an exported program of PyTorch 2.8 or later."
        raise BadInput(what, where=path, hint=_RESAVE)
    if len(models) > 1:
        raise BadInput(
            f"This archive holds {len(models)} programs, not one.",
            where=path,
            hint="Save each with torch.export.save into a file of its own.",
        )
    (model,) = models
    clean = io.BytesIO()
    with zipfile.ZipFile(clean, "w", zipfile.ZIP_STORED) as out:
        for name in _HEADER:
            if root + name in names:
                out.writestr(root + name, _member(archive, root + name, path))
        graph = _document(archive, root + _MODEL.format(model), path)
        out.writestr(root + _MODEL.format(model), json.dumps(_cleaned_graph(graph, path)))
        for pattern in (_WEIGHTS, _CONSTANTS):
            config = root + pattern.format(model)
            stored = _document(archive, config, path)
            out.writestr(config, json.dumps(stored))
            for name in _payloads(stored, path):
                file = f"{config.rpartition('/')[0]}/{name}"
                out.writestr(file, _member(archive, file, path))
        out.writestr(root + _SAMPLES.format(model), b"")
    clean.seek(0)
    return clean


def _document(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    found = parse_json(_member(archive, name, path, _MAX_GRAPH).decode(), where=f"{path}!{name}")
    if not isinstance(found, dict):
        raise BadInput(f"{name} is no mapping.", where=path)
    return found


def _member(archive: zipfile.ZipFile, name: str, path: Path, limit: int = MAX_BYTES) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise BadInput(f"This archive lacks {name}.", where=path, hint=_RESAVE) from error
    if info.file_size > limit:
        raise BadInput(f"{name} is larger than it can be.", where=path)
    return archive.read(info)


def _payloads(config: Mapping[str, Any], path: Path) -> list[str]:
    """The files of raw numbers that `config` names; one may be of several tensors."""
    files: dict[str, None] = {}
    for tensor, stored in dict(config.get("config") or {}).items():
        if not isinstance(stored, dict) or stored.get("use_pickle") is not False:
            raise BadInput(
                f"{tensor} is stored as a pickle, which is never opened.",
                where=path,
                hint="Only tensors in the CPU's memory, of plain types, are stored as numbers.",
            )
        file = stored.get("path_name")
        if not isinstance(file, str) or not _PLAIN_FILE.fullmatch(file):
            raise BadInput(f"The file of {tensor} has no plain name.", where=path)
        files[file] = None
    return list(files)


def _cleaned_graph(program: dict[str, Any], path: Path) -> dict[str, Any]:
    """The program without what says where it was made, or is code; refused if that is needed."""
    for key, value in _entries(program):
        if _OPEN.fullmatch(key) and value is not None:
            raise BadInput(
                "This program has dynamic shapes or numbers.",
                where=path,
                hint="Export it for fixed shapes, without dynamic_shapes.",
            )
        if key.startswith("as_") and key not in _PLAIN_VALUES:
            raise BadInput(
                f"This program is no plain graph: it holds a value {key.removeprefix('as_')!r}.",
                where=path,
                hint="Control flow and custom objects cannot be taken.",
            )
        if key == "target" and value == _NO_GRAD:
            raise BadInput(
                "This program turns gradients off in a part of it.",
                where=path,
                hint="Export it within torch.no_grad(), which leaves that out.",
            )
        if key == "target" and not (isinstance(value, str) and _PLAIN_OP.fullmatch(value)):
            raise BadInput(
                f"{value} is not one of PyTorch's own ops.",
                where=path,
                hint="Export the module with ONNX's ops in their place.",
            )
        if key in ("in_spec", "out_spec"):
            _check_spec(value, path)
        if key == "metadata" and isinstance(value, dict):
            value.clear()
    module = program.get("graph_module")
    if not isinstance(module, dict):
        raise BadInput("This program has no graph.", where=path)
    return program | {
        "graph_module": module | {"treespec_namedtuple_fields": {}},
        "range_constraints": {},
        "guards_code": [],
    }


def _check_spec(text: Any, path: Path) -> None:
    """Refuse inputs or outputs in anything but plain containers with plain keys."""
    spec = parse_json(text, where=path) if isinstance(text, str) else None
    if not isinstance(spec, list):
        raise BadInput("This program does not say what it takes or gives.", where=path)
    for key, value in _entries(spec):
        plain = key != "type" or value in _PLAIN_SPECS
        if key == "context" and isinstance(value, str):  # JSON again: the keys of a mapping
            plain = not any(_entries(parse_json(value, where=path)))
        if not plain:
            raise BadInput(
                f"This program takes or gives {str(value)[:80]!r}, which is no plain container.",
                where=path,
                hint="Tensors, and tuples, lists and dicts of them, can be taken.",
            )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys of all mappings in a document, with what they lead to."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from here.items()
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here
