"""A TFLite file as the interpreter sees it: which runtime there is, its tensors, its ops."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import FLOAT32
from edgeanim.core.errors import BadInput, MissingComponent
from edgeanim.core.native import native_name
from edgeanim.core.packages import require
from edgeanim.core.quiet import quiet
from edgeanim.targets.backends.base import Port
from edgeanim.targets.checks import runtime_errors
from edgeanim.targets.io_numbers import Numbers, numbers_of
from edgeanim.targets.profile import COMPUTE, CONVERT, INT8, LAYOUT, ExecutedOp

_BACKEND = "tflite"
_DELEGATE = "DELEGATE"
_CONVERTS = {"QUANTIZE", "DEQUANTIZE", "CAST"}
_LAYOUTS = {"TRANSPOSE"}
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
_EIGHT_BITS = {"int8", "uint8"}
_NO_NAMES = "The names in this TFLite graph are no texts"
_LARGEST_INPUTS = 1 << 30
"""Bytes. What lies between grows with them, and a few changed bytes of a file ask for any size."""


@dataclass(frozen=True)
class Runtime:
    """A package that has the `Interpreter`; `extra` of ours installs it."""

    module: str
    package: str
    extra: str


CURRENT = Runtime("ai_edge_litert.interpreter", "ai-edge-litert", "tflite")
OUTDATED = Runtime("tflite_runtime.interpreter", "tflite-runtime", "tflite-runtime")


def find_runtime() -> tuple[Any, Runtime]:
    """The interpreter's module; the maintained successor is preferred.

    `MissingComponent` with the successor's install line if neither can be imported.
    """
    absent: MissingComponent | None = None
    for runtime in (CURRENT, OUTDATED):
        try:
            require(f"The backend {_BACKEND!r}", runtime.module, extra=runtime.extra)
        except MissingComponent as error:
            absent = absent or error
        else:
            return importlib.import_module(runtime.module), runtime
    assert absent is not None
    raise absent


def open_interpreter(path: Path, *, threads: int = 1, xnnpack: bool = True) -> Any:
    """An interpreter with its tensors allocated; the runtime verifies the flatbuffer first.

    `BadInput` if it is no TFLite file or reads more than a gibibyte at once, `DeviceFailed` if the
    runtime cannot prepare it.
    """
    module, _ = find_runtime()
    settings: dict[str, Any] = {"num_threads": threads}
    if not xnnpack:
        resolvers = module.OpResolverType
        settings["experimental_op_resolver_type"] = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    unusable = runtime_errors("This is not a usable TFLite graph", path, damaged=True)
    with unusable, native_name(path) as name, quiet():
        interpreter = module.Interpreter(model_path=name, **settings)
    _check_inputs(interpreter, path)
    with runtime_errors("TFLite refuses this graph", path), quiet():
        interpreter.allocate_tensors()
    with runtime_errors(_NO_NAMES, path, damaged=True):
        interpreter.get_signature_list()
        interpreter.get_input_details()
        interpreter.get_output_details()
        interpreter._get_ops_details()  # of the tensors in between
    return interpreter


def _check_inputs(interpreter: Any, path: Path) -> None:
    """`BadInput` for inputs that would take too much memory, before it is taken."""
    with runtime_errors(_NO_NAMES, path, damaged=True):
        given = [(d["dtype"], d["shape"]) for d in interpreter.get_input_details()]
    asked = sum(np.dtype(dtype).itemsize * prod(map(int, shape)) for dtype, shape in given)
    if asked > _LARGEST_INPUTS:
        raise BadInput(
            f"The inputs of this TFLite graph take {asked >> 20} MiB; the limit is "
            f"{_LARGEST_INPUTS >> 20}.",
            where=path,
        )


@dataclass(frozen=True, kw_only=True)
class FileTensor(Port):
    """An input or output as the file has it; `argument` is its name in the signature, if any."""

    index: int
    argument: str | None = None


def _numbers(detail: Mapping[str, Any]) -> Numbers | None:
    scale, zero = detail["quantization"]
    return numbers_of(np.dtype(detail["dtype"]).name, float(scale), int(zero))


def file_tensors(interpreter: Any, side: str) -> list[FileTensor]:
    """The `input`s or `output`s of a file, in the order in which its graph lists them."""
    details = getattr(interpreter, f"get_{side}_details")()
    arguments: dict[str, str] = {}
    if interpreter.get_signature_list():
        runner = interpreter.get_signature_runner()
        named = getattr(runner, f"get_{side}_details")()
        arguments = {detail["name"]: argument for argument, detail in named.items()}
    return [
        FileTensor(
            name=detail["name"],
            index=detail["index"],
            shape=tuple(int(size) for size in detail["shape"]),
            dtype=np.dtype(detail["dtype"]).name,
            argument=arguments.get(detail["name"]),
            numbers=_numbers(detail),
        )
        for detail in details
    ]


def executed_ops(interpreter: Any) -> list[ExecutedOp]:
    """The ops of a loaded graph with their precision and their multiply-accumulates.

    Ops on constants alone (the unpacking of float16 weights) run once at loading and are left out.
    """
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    ops = [op for op in interpreter._get_ops_details() if op["op_name"] != _DELEGATE]
    varying = {detail["index"] for detail in interpreter.get_input_details()}
    executed = []
    for op in ops:
        inputs = [int(index) for index in op["inputs"] if index >= 0]
        if not varying.intersection(inputs):
            continue
        varying.update(int(index) for index in op["outputs"])
        shapes = [tuple(int(size) for size in tensors[index]["shape"]) for index in inputs]
        result = tensors[int(op["outputs"][0])]
        size = prod(int(size) for size in result["shape"])
        types = [np.dtype(tensors[index]["dtype"]).name for index in inputs]
        gives = np.dtype(result["dtype"]).name
        name = op["op_name"]
        executed.append(
            ExecutedOp(
                name, _precision(name, types, gives), _kind(name), op_macs(name, shapes, size)
            )
        )
    return executed


def op_macs(op: str, shapes: Sequence[tuple[int, ...]], size: int) -> float:
    """Multiply-accumulates of an op with `size` output elements; layouts as TFLite defines them."""
    if op == "CONV_2D":
        return float(size * prod(shapes[1][1:]))
    if op == "DEPTHWISE_CONV_2D":
        return float(size * prod(shapes[1][1:3]))
    if op == "CONV_3D":
        return float(size * prod(shapes[1][:4]))
    if op == "FULLY_CONNECTED":
        return float(size * shapes[1][-1])
    if op == "TRANSPOSE_CONV":
        return float(prod(shapes[2]) * prod(shapes[1][:3]))
    if op == "BATCH_MATMUL":
        return float(size * shapes[0][-1])
    return float(size)


def _precision(op: str, types: Sequence[str], gives: str) -> str:
    """`int8` only if the activations are: 8-bit weights under float activations are no INT8."""
    if gives in _EIGHT_BITS and op not in _CONVERTS:
        return INT8
    if gives == FLOAT32 and op in _WEIGHTED and any(kind in _EIGHT_BITS for kind in types):
        return "float32 with int8 weights"
    return gives


def _kind(op: str) -> str:
    return CONVERT if op in _CONVERTS else LAYOUT if op in _LAYOUTS else COMPUTE


def has_8_bit_ops(interpreter: Any) -> bool:
    """Whether any op takes or gives an 8-bit tensor."""
    types = {
        tensor["index"]: np.dtype(tensor["dtype"]).name
        for tensor in interpreter.get_tensor_details()
    }
    return any(
        types.get(int(index)) in _EIGHT_BITS
        for op in interpreter._get_ops_details()
        for index in (*op["inputs"], *op["outputs"])
    )


def delegated_parts(interpreter: Any) -> int:
    """How many parts of the loaded graph a delegate such as XNNPACK took over."""
    return sum(op["op_name"] == _DELEGATE for op in interpreter._get_ops_details())
