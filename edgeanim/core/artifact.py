"""What passes between the stages: a graph on disk, a compiled graph, calibration samples.

A *scheme* says in what form a graph's numbers are:

    float32          the ONNX graph as it came
    onnx-qdq         ONNX with QuantizeLinear/DequantizeLinear pairs, for ONNX Runtime
    tensorrt-qdq     ONNX with symmetric signed quantisers by TensorRT's rules, for Jetson
    openvino-int8    OpenVINO IR with FakeQuantize, made by NNCF
    tflite-int8      TFLite flatbuffer with INT8 weights and activations, float inputs and outputs

A backend says which schemes it accepts; nothing else ties a scheme to a backend.

Whatever of a graph is not in INT8 computes in its *floats*: float32, or bfloat16 or float16 where a
backend and a processor have them. That is how a graph is run, not how it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.contract import GraphSpec, Layout

Array = NDArray[np.float32]
FloatPrecision = Literal["float32", "bfloat16", "float16"]
Precision = Literal["float32", "bfloat16", "float16", "int8"]

FLOAT32: Final = "float32"


@dataclass(frozen=True)
class GraphArtifact:
    """A graph of a model folder, ready to be compiled: `path` holds it in the form `scheme`, and
    what is not INT8 in it is to compute in `floats`."""

    spec: GraphSpec
    path: Path
    scheme: str = FLOAT32
    floats: FloatPrecision = FLOAT32

    @property
    def precision(self) -> Precision:
        """The precision that this form asks for."""
        return self.floats if self.scheme == FLOAT32 else "int8"


@dataclass(frozen=True)
class CompiledGraph:
    """A graph in a backend's own file format.

    `files` are absolute paths, the one to load first. `spec` is the graph as compiled: same tensor
    names and roles as the contract, but with the *layouts and shapes of the compiled file*.
    `bindings` maps each contract tensor name to the name that the compiled file uses. A backend
    loads it so that what is not INT8 computes in `floats`, or refuses. With `needs_vnni` the INT8
    weights are right on x86 only where the processor has VNNI (see `targets.overflow`).
    """

    backend: str
    precision: Precision
    scheme: str
    spec: GraphSpec
    files: tuple[Path, ...]
    bindings: Mapping[str, str] = field(default_factory=dict)
    floats: FloatPrecision = FLOAT32
    needs_vnni: bool = False

    @classmethod
    def unchanged(cls, backend: str, artifact: GraphArtifact, path: Path) -> CompiledGraph:
        """`artifact` in the one file `path`, whose tensors kept their names and layouts."""
        names = (tensor.name for tensor in (*artifact.spec.inputs, *artifact.spec.outputs))
        return cls(
            backend=backend,
            precision=artifact.precision,
            scheme=artifact.scheme,
            spec=artifact.spec,
            files=(path,),
            bindings={name: name for name in names},
            floats=artifact.floats,
        )


class Samples(Protocol):
    """Calibration inputs of one graph: can be iterated many times, always in the same order.

    Each item maps the graph's input names to float32 arrays in the contract's layout and shape.
    `digest` is a SHA-256 over all of them, the record of which frames were used.
    """

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Mapping[str, Array]]: ...


def relayout(array: Array, layout: Layout, to: Layout) -> Array:
    """`array` brought from one layout to another; the same object if there is nothing to do."""
    if layout == to or "plain" in (layout, to):
        return array
    axes = (0, 2, 3, 1) if to == "NHWC" else (0, 3, 1, 2)
    return np.ascontiguousarray(array.transpose(axes))
