"""ONNX to PyTorch, behind a parity gate (`import_gate`) that names the first op that differs.

The graph is normalised, warps are lowered, and each remaining node goes through a small table of
`converters` into one `torch.fx.GraphModule`. Why not an existing importer:
docs/decisions/0002-onnx-import.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.contract import GraphSpec
from edgeanim.core.packages import installed, require
from edgeanim.graph.edit import Editor
from edgeanim.graph.normalize import normalize
from edgeanim.graph.pytorch.import_gate import ImportGate
from edgeanim.graph.pytorch.rounding_noise import tolerance_with_noise
from edgeanim.graph.queries import STANDARD, graph_inputs
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import functions, shared_numbers, warp

if TYPE_CHECKING:
    import torch

_UNKNOWN = "the importer does not know this op"
_WARPS = "warps are taken if they are bilinear or nearest, not bicubic"


@dataclass(frozen=True)
class ImportedGraph:
    """A graph in PyTorch, in eval mode, with parameters that can be trained and pruned.

    `module` takes the inputs positionally in the file's order, in the file's shapes, and returns
    a tuple of the outputs. It is channels-first inside; where the file is channels-last, one
    permutation stands at that end, which the TFLite converter cancels against its own.
    `error` is the largest deviation from ONNX Runtime that the gate found. `normalized` is the ONNX
    model that the module was made of, its warps as they came; `origins` says of which value of it
    each submodule and parameter came (see `Builder`), `fx_names` how the fx node of each value that
    is left is called. `write_back` takes trained weights there.
    """

    module: torch.nn.Module
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    error: float
    normalized: Any
    origins: Mapping[str, str]
    fx_names: Mapping[str, str]

    def example(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes in 0..1, always the same."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return tuple(torch.rand(shape, generator=generator) for shape in self.input_shapes)

    def tensors(self, sample: Mapping[str, Array]) -> list[torch.Tensor]:
        """The arrays of a sample, which has one for each input by its name, as `module` takes
        them."""
        import torch

        return [torch.from_numpy(np.ascontiguousarray(sample[name])) for name in self.input_names]

    def deviation(self, expected: Mapping[str, Array], made: Sequence[torch.Tensor]) -> float:
        """The largest deviation of any output: of those that `module` gave from the expected."""
        pairs = zip(self.output_names, made, strict=True)
        return max(deviation(expected[name], value.numpy()) for name, value in pairs)

    def submodules_of(self, names: Collection[str]) -> list[str]:
        """The targets of the submodules that were made of the nodes of these names, or of the nodes
        without one that give values of these."""
        made_by = {
            node.output[0]: node.name or node.output[0] for node in self.normalized.graph.node
        }
        return [target for target, origin in self.origins.items() if made_by.get(origin) in names]

    def node_at(self, line: int) -> Any | None:
        """The ONNX node that a `line` of the module's code, from 1, is part of; `None` for one of a
        warp, of which several were made."""
        values = {fx_name: value for value, fx_name in self.fx_names.items()}
        made = {node.output[0]: node for node in self.normalized.graph.node}
        for text in self.module.code.splitlines()[line - 1 :]:
            # What a node is put together from comes before its result.
            if (value := values.get(text.split("=")[0].strip())) is not None:
                return made.get(value)
        return None

    def tolerance_of(self, inputs: Mapping[str, Array], tolerance: float) -> float:
        """`tolerance`, or how far rounding alone moves the outputs for these inputs, if that is
        more (see `rounding_noise`)."""
        return tolerance_with_noise(self.module, self.tensors(inputs), tolerance)

    def in_order(self, spec: GraphSpec) -> torch.nn.Module:
        """The module in eval mode, with inputs and outputs in the order of `spec`, which need not
        be the file's."""
        import torch

        inner = self.module
        names = [tensor.name for tensor in spec.inputs]
        arguments = [names.index(name) for name in self.input_names]
        results = [self.output_names.index(tensor.name) for tensor in spec.outputs]

        class InOrder(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
                outputs = self.inner(*(inputs[index] for index in arguments))
                return tuple(outputs[index] for index in results)

        return InOrder().eval()


def import_torch(path: Path, *, tolerance: float = 1e-4) -> ImportedGraph:
    """Bring an ONNX file into PyTorch.

    `BadInput` names the op and node that cannot be brought over, and the backends that remain.
    `GateFailed` names the first op whose result differs from ONNX Runtime's by more than
    `tolerance` (`reference.deviation`), if an output does, and not by rounding alone.
    """
    require("Bringing a graph into PyTorch", "torch", extra="compress")
    original = read_onnx(path)
    inputs = inputs_for(original)
    wanted = Reference(original, where=path).run(inputs)  # first: what it refuses makes no sense
    normalized = _written_out(original)
    shared_numbers.rewrite(normalized)
    model = _with_lowered_warps(normalized)
    gate = _build(model, path)
    error_found = gate.deviation(wanted, inputs)
    if not error_found <= tolerance:
        tolerance = gate.imported.tolerance_of(inputs, tolerance)
    if not error_found <= tolerance:
        gate.refuse_the_first(inputs, tolerance, error_found)
    return replace(gate.imported, normalized=normalized, error=error_found)


def importable_form(model: Any) -> Any:
    """A normalised copy of a `ModelProto`, with its warps lowered and what the importer does not
    know written out, if PyTorch is installed; `BadInput` if its opset cannot be raised."""
    return _with_lowered_warps(_written_out(model))


def _written_out(model: Any) -> Any:
    made = normalize(model)
    if installed("torch"):
        from edgeanim.graph.pytorch.converters import CONVERTERS

        functions.rewrite(made, CONVERTERS)
    return made


def _with_lowered_warps(model: Any) -> Any:
    made = deepcopy(model)
    warp.rewrite(made)
    return made


def unknown_nodes(model: Any) -> list[Any]:
    """The nodes of a model in its importable form that the importer has no converter for."""
    from edgeanim.graph.pytorch.converters import CONVERTERS

    return [
        node
        for node in model.graph.node
        if node.domain not in STANDARD or node.op_type not in CONVERTERS
    ]


def _build(model: Any, path: Path) -> ImportGate:
    from torch import fx

    from edgeanim.graph.pytorch.converters import CONVERTERS, Builder, fuse

    editor = Editor(model)
    builder = Builder(editor, path)
    for node in unknown_nodes(model):
        raise builder.refuse(node, _WARPS if node.op_type == "GridSample" else _UNKNOWN)
    names = tuple(value.name for value in graph_inputs(model))
    for name in names:
        builder.values[name] = builder.graph.placeholder(builder.python_name(name))
    for node in editor.nodes:
        made = CONVERTERS[node.op_type](builder, node)
        results = [made] if isinstance(made, fx.Node) else made
        builder.values.update(zip(node.output, results, strict=False))
    builder.graph.output(tuple(builder.value(name) for name in editor.outputs))
    builder.graph.lint()
    module = fx.GraphModule(builder.root, builder.graph, "ImportedModule").eval()
    fuse(module)
    left = {node.name for node in module.graph.nodes}
    imported = ImportedGraph(
        module=module,
        input_names=names,
        output_names=tuple(editor.outputs),
        input_shapes=tuple(editor.shapes[name] for name in names),
        error=0.0,
        normalized=model,
        origins=builder.origins,
        fx_names={name: n.name for name, n in builder.values.items() if n.name in left},
    )
    return ImportGate(imported, model, path, builder.refuse)
