"""From an ONNX graph to a TFLite file, by way of PyTorch, with channels last at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.core import offline
from edgeanim.core.artifact import Array
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.core.files import atomic_path
from edgeanim.core.quiet import quiet
from edgeanim.targets.checks import first_line, require

if TYPE_CHECKING:
    from edgeanim.graph.to_torch import ImportedGraph

_BACKEND = "tflite"
TOLERANCE = 1e-4


def convert(source: Path, spec: GraphSpec, path: Path) -> None:
    """Write the float32 ONNX graph `source` as the TFLite file `path`.

    Pictures and feature maps that are NCHW in `spec` become NHWC in the file. The file is then
    run on one random sample and compared with the PyTorch module it came from: `GateFailed` if
    they differ by more than 1e-4 of the largest value. `BadInput` names what cannot be converted.
    """
    offline.apply()
    with quiet():
        require("litert_torch", "compress", _BACKEND)
    from edgeanim.graph.to_torch import import_torch

    # The importer lowers warps, so that TFLite's own decomposition of 40 ops never happens.
    imported = import_torch(source)
    _export(_in_order(imported, spec), spec, path, source)


def _in_order(imported: ImportedGraph, spec: GraphSpec) -> Any:
    """The imported module with inputs and outputs in the order of `spec`, not of the file."""
    import torch

    names = [tensor.name for tensor in spec.inputs]
    arguments = [names.index(name) for name in imported.input_names]
    results = [imported.output_names.index(tensor.name) for tensor in spec.outputs]

    class InOrder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph = imported.module

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs = self.graph(*(inputs[index] for index in arguments))
            return tuple(outputs[index] for index in results)

    return InOrder().eval()


def _export(module: Any, spec: GraphSpec, path: Path, source: Path) -> None:
    """Convert `module`, which takes and gives the tensors of `spec` in their order and layout."""
    import torch

    with quiet():
        import litert_torch

    inputs = [_sample(tensor, seed) for seed, tensor in enumerate(spec.inputs)]
    with torch.no_grad():
        expected = [t.numpy() for t in module(*(torch.from_numpy(a) for a in inputs))]
    arguments = [
        torch.from_numpy(_channels_last(a, t)) for a, t in zip(inputs, spec.inputs, strict=True)
    ]
    try:
        with quiet():
            wrapped = litert_torch.to_channel_last_io(
                module, args=_maps(spec.inputs), outputs=_maps(spec.outputs)
            )
            converted = litert_torch.convert(wrapped.eval(), tuple(arguments))
            with atomic_path(path) as partial:
                converted.export(str(partial))
    except (RuntimeError, ValueError, NotImplementedError, TypeError, KeyError) as error:
        raise BadInput(
            f"TFLite has no form for this graph: {first_line(error)}",
            where=source,
            hint="The other backends may still take it: edgeanim backends.",
        ) from error
    actual = _run(path, [argument.numpy() for argument in arguments])
    _gate(spec, expected, actual, path)


def _sample(tensor: TensorSpec, seed: int) -> Array:
    low, high = tensor.range or (-1.0, 1.0)
    values = np.random.default_rng(seed).uniform(low, high, tensor.shape)
    return values.astype(np.float32)


def _maps(tensors: Sequence[TensorSpec]) -> list[int]:
    return [index for index, tensor in enumerate(tensors) if tensor.layout == "NCHW"]


def _channels_last(array: Array, tensor: TensorSpec) -> Array:
    if tensor.layout != "NCHW":
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _run(path: Path, arguments: Sequence[Array]) -> list[Array]:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
        named = {f"args_{index}": argument for index, argument in enumerate(arguments)}
        outputs = runner(**named)
    return [outputs[f"output_{index}"] for index in range(len(outputs))]


def _gate(spec: GraphSpec, expected: Sequence[Array], actual: Sequence[Array], path: Path) -> None:
    for tensor, want, got in zip(spec.outputs, expected, actual, strict=True):
        reference = _channels_last(want, tensor)
        error = float(np.abs(reference - got).max()) if reference.shape == got.shape else np.inf
        if not error <= TOLERANCE * max(1.0, float(np.abs(reference).max())):
            raise GateFailed(
                f"The TFLite graph differs from its PyTorch original by {error:.2g} "
                f"in {tensor.name!r}.",
                where=path,
            )
