"""The ops of a TFLite file, as the quantiser for it sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.errors import UsageError
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import Ranges
from edgeanim.quantize.chain import Kind, Node, narrows
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.ranges.methods import ranges_in
from edgeanim.quantize.runtimes.kernel_match import holding, kernel_rows, matching

GLUE = (
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "GATHER_ND",
    "MAX_POOL_2D",
    "MIRROR_PAD",
    "PAD",
    "RELU",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SLICE",
    "SPACE_TO_DEPTH",
    "TRANSPOSE",
)
# The weights' shapes: OHWI, 1HWO and OHWI.
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")
_TRANSPOSED_INPUT = 2
"""Where a transposed convolution has its picture: behind the result's size and the weights."""
# A bias in steps: half of 32 bits, since the products are added to it in as many.
_LARGEST_BIAS = 2.0**30

Statistics = dict[str, dict[str, Array]]
"""By a tensor's name its `min` and `max`, of the tensor's rank."""


class TfliteOps:
    """The main subgraph of a TFLite file: its ops under the names that the quantiser matches."""

    def __init__(self, path: Path) -> None:
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

        with quiet():
            self._model = flatbuffer.read_model(str(path))
        for buffer in self._model.buffers:
            if isinstance(buffer.data, bytes | bytearray | memoryview):
                # Whatever is no array is written byte by byte, by Python.
                buffer.data = np.frombuffer(buffer.data, np.uint8)
        self._graph = self._model.subgraphs[0]
        self.types: dict[str, Any] = {}
        self._ops: dict[str, Any] = {}
        for op in self._graph.operators:
            name = flatbuffer.get_op_scope(op, self._graph.tensors)
            self.types[name] = flatbuffer.TFL_OP_CODE_TO_NAME.get(self._code(op))
            self._ops[name] = op

    def nodes(self, keep_float: set[str]) -> list[Node]:
        """The ops as nodes of a chain; those in `keep_float` count as float."""
        made = []
        for name, op in self._ops.items():
            own = self._kind(name)
            kind = "float" if name in keep_float else own
            macs = self._macs(name) if own == "convolution" else 0
            narrow = kind == "convolution" and narrows(*self._read_and_given(name))
            ends = _indices(op.inputs), _indices(op.outputs)
            made.append(Node(name, kind, *ends, macs, narrow=narrow))
        return made

    @property
    def activations(self) -> set[str]:
        """The names of the tensors whose ranges `statistics` may be asked for: what convolutions
        and glue read and give."""
        return set(self._around(name for name in self._ops if self._kind(name) != "float"))

    def with_kernels(self, kernels: Sequence[tuple[str, Array]]) -> set[str]:
        """The names of the convolutions that hold `kernels`, each a node's name and its ONNX kernel
        [O, I/g, H, W]; `UsageError` if there is none (see `kernel_match`)."""
        found, held = set(), self._kernels()
        for node, kernel in kernels:
            match = holding(held, kernel)
            if not match:
                raise UsageError(
                    f"`keep_float` names {node!r}, whose weights were changed by the conversion "
                    "to TFLite.",
                    hint="Leave it out for this backend.",
                )
            found.update(match)
        return found

    def replace_kernels(self, kernels: Iterable[tuple[Array, Array]], names: Iterable[str]) -> None:
        """Give those of the ops `names` that hold the first kernel of a pair the second one, each
        output channel scaled as the conversion scaled it. Kernels that are not to be found stay."""
        chosen, held = set(names), self._kernels()
        for old, new in kernels:
            before, after = kernel_rows(old), kernel_rows(new)
            for name in chosen.intersection(matching(held, old)):
                share = (held[name] * before).sum(1) / np.maximum(np.square(before).sum(1), 1e-30)
                self._store(name, after * share[:, None])

    def restore_float_outputs(self) -> None:
        """Let outputs that the quantiser rounded be the float tensors that they were: for an output
        that 8-bit ops read as well, it quantises and gives what it made for those.
        """
        from ai_edge_quantizer import qtyping

        rounded = {
            int(op.outputs[0]): int(op.inputs[0])
            for op in self._graph.operators
            if self._code(op) == qtyping.BuiltinOperator.QUANTIZE
        }
        self._graph.outputs = [rounded.get(int(i), int(i)) for i in self._graph.outputs]
        for signature in self._model.signatureDefs or ():
            for named in signature.outputs:
                named.tensorIndex = rounded.get(named.tensorIndex, named.tensorIndex)

    def statistics(self, histograms: Histograms, method: Ranges, ops: Iterable[str]) -> Statistics:
        """The ranges of what the `ops` of these names read and give, as far as it was seen, in the
        form that the quantiser reads: arrays of one element with the rank of their tensor."""
        tensors = self._around(ops)
        found: Statistics = {}
        for name, at in ranges_in(histograms, method, tensors.keys() & histograms.keys()).items():
            # A range without any width would be made one of 1e-9, for which XNNPACK refuses the
            # convolutions that read the tensor.
            high = 1.0 if at.low == at.high else at.high
            shape = (1,) * len(self._shape(tensors[name]))
            found[name] = {
                "min": np.full(shape, at.low, np.float32),
                "max": np.full(shape, high, np.float32),
            }
        for name in ops:
            if self._kind(name) == "convolution":
                found.update(self._room_for_bias(name, found))
        return found

    def write(self, path: Path) -> None:
        """Write the file as it is now."""
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

        with quiet():
            flatbuffer.write_model(self._model, str(path))

    def _kernels(self) -> dict[str, Array]:
        """The weights of all convolutions, with a row for each output channel."""
        return {
            name: self._by_channel(name) for name in self._ops if self._kind(name) == "convolution"
        }

    def _store(self, name: str, rows: Array) -> None:
        """Put weights with a row for each output channel into the op's buffer."""
        index = self._ops[name].inputs[1]
        shape = self._shape(index)
        if self._type(name) == "DEPTHWISE_CONV_2D":
            weights = rows.reshape(shape[3], *shape[1:3], shape[0]).transpose(3, 1, 2, 0)
        else:
            weights = rows.reshape(shape)
        data = np.ascontiguousarray(weights, "<f4").tobytes()
        self._model.buffers[self._graph.tensors[index].buffer].data = np.frombuffer(data, np.uint8)

    def _by_channel(self, name: str) -> Array:
        """A convolution's weights with a row for each output channel."""
        weights = self._weights(self._ops[name])
        assert weights is not None
        if self._type(name) == "DEPTHWISE_CONV_2D":  # 1HWO; all others OHWI
            weights = weights.transpose(3, 1, 2, 0)
        return weights.reshape(len(weights), -1)

    def _room_for_bias(self, name: str, found: Statistics) -> Statistics:
        """The ranges of each channel of a convolution's kernel, if its bias does not fit otherwise.

        It is stored in steps of the input's times the kernel's, which are next to nothing where all
        of a channel's weights are, and the quantiser cuts off what is beyond 32 bits.
        """
        inputs = self._ops[name].inputs
        transposed = self._type(name) == "CONV_2D_TRANSPOSE"
        read, last = (_TRANSPOSED_INPUT, 3) if transposed else (0, 2)
        data = found.get(self._name(inputs[read]))
        bias = self._constant(inputs[last]) if len(inputs) > last and inputs[last] >= 0 else None
        if data is None or bias is None:
            return {}
        step = float((data["max"] - data["min"]).item()) / 255
        peaks = np.abs(self._by_channel(name)).max(1)
        needed = 127 * np.abs(np.frombuffer(bias, "<f4")) / (_LARGEST_BIAS * step)
        if (peaks >= needed).all():
            return {}
        across = (1, 1, 1, -1) if self._type(name) == "DEPTHWISE_CONV_2D" else (-1, 1, 1, 1)
        wide = np.maximum(peaks, needed).astype(np.float32).reshape(across)
        return {self._name(inputs[1]): {"min": -wide, "max": wide}}

    def _around(self, ops: Iterable[str]) -> dict[str, int]:
        """The tensors that the ops of these names read and give, but for constants: given the range
        of a kernel, the quantiser would round all its channels to one step."""
        near = (self._ops[name] for name in ops)
        around = {int(index) for op in near for index in (*op.inputs, *op.outputs) if index >= 0}
        return {self._name(index): index for index in around if self._constant(index) is None}

    def _name(self, index: int) -> str:
        return bytes(self._graph.tensors[index].name).decode()

    def _code(self, op: Any) -> int:
        code: int = self._model.operatorCodes[op.opcodeIndex].builtinCode
        return code

    def _type(self, name: str) -> str:
        return self.types[name].name if self.types[name] is not None else ""

    def _kind(self, name: str) -> Kind:
        if self._type(name) in _CONVOLUTIONS and self._weights(self._ops[name]) is not None:
            return "convolution"
        return "glue" if self._type(name) in GLUE else "float"

    def _macs(self, name: str) -> int:
        """The multiply-accumulates of a convolution."""
        op = self._ops[name]
        weights, result = self._shape(op.inputs[1]), self._shape(op.outputs[0])
        if self._type(name) == "DEPTHWISE_CONV_2D":
            return prod(result) * prod(weights[:-1])
        if self._type(name) == "CONV_2D_TRANSPOSE":  # each number read meets O kh kw weights
            return prod(self._shape(op.inputs[_TRANSPOSED_INPUT])) * prod(weights[:-1])
        return prod(result) * prod(weights[1:])

    def _read_and_given(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of what a convolution reads and gives."""
        op = self._ops[name]
        read = _TRANSPOSED_INPUT if self._type(name) == "CONV_2D_TRANSPOSE" else 0
        return self._shape(op.inputs[read]), self._shape(op.outputs[0])

    def _shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._graph.tensors[index].shape)

    def _weights(self, op: Any) -> Array | None:
        data = self._constant(op.inputs[1])
        if data is None:
            return None
        return np.frombuffer(data, "<f4").reshape(self._shape(op.inputs[1]))

    def _constant(self, index: int) -> bytes | None:
        """What a constant tensor holds; `None` for one that is computed."""
        data = self._model.buffers[self._graph.tensors[index].buffer].data
        return None if data is None or len(data) == 0 else bytes(data)


def _indices(tensors: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(index) for index in tensors if index >= 0)
