"""ONNX to PyTorch, behind a parity gate that names the first op that differs.

The graph is normalised, warps are lowered, and each remaining node goes through a small table of
converters (`edgeanim.graph.converters`) into one `torch.fx.GraphModule`. Why not an existing
importer: docs/decisions/0002-onnx-import.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgeanim.core.artifact import Array
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import GateFailed, MissingComponent
from edgeanim.graph.edit import Editor
from edgeanim.graph.normalize import normalize
from edgeanim.graph.read import REMAINING, graph_inputs, node_label, read_onnx, shape_of
from edgeanim.graph.reference import Reference, deviation, seeded_inputs
from edgeanim.graph.rewrites import warp
from edgeanim.graph.rewrites.layout import TO_FIRST, TO_LAST, permutation

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.converters import Builder


@dataclass(frozen=True)
class ImportedGraph:
    """A graph in PyTorch, in eval mode, with parameters that can be trained and pruned.

    `module` takes the inputs positionally in the file's order and returns a tuple of the outputs.
    Those named in `channels_first` are [1, C, H, W] there though the file has them [1, H, W, C]:
    the transposes at the file's ends are left out. `input_shapes` are the module's.
    `error` is the largest deviation from ONNX Runtime that the gate found.
    """

    module: torch.nn.Module
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    channels_first: frozenset[str]
    error: float

    def to_module(self, inputs: Mapping[str, Array]) -> tuple[torch.Tensor, ...]:
        """Inputs as the file has them, as the module takes them."""
        import torch

        tensors = [torch.from_numpy(inputs[name]) for name in self.input_names]
        return tuple(
            value.permute(TO_FIRST).contiguous() if name in self.channels_first else value
            for name, value in zip(self.input_names, tensors, strict=True)
        )

    def from_module(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, Array]:
        """The module's outputs, as the file has them."""
        return {
            name: (value.permute(TO_LAST) if name in self.channels_first else value)
            .detach()
            .numpy()
            for name, value in zip(self.output_names, outputs, strict=True)
        }

    def example(self) -> tuple[torch.Tensor, ...]:
        """Inputs of the right shapes, always the same."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return tuple(torch.rand(shape, generator=generator) for shape in self.input_shapes)


def import_torch(path: Path, *, tolerance: float = 1e-4) -> ImportedGraph:
    """Bring an ONNX file into PyTorch.

    `BadInput` names the op and node that cannot be brought over, and the backends that remain.
    `GateFailed` names the first op whose result differs from ONNX Runtime's by more than
    `tolerance` (`reference.deviation`), if an output does.
    """
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingComponent("PyTorch is needed for this.", extra="compress") from error

    original = read_onnx(path)
    model = normalize(original)
    warp.rewrite(model)
    built = _build(model, path)
    specs = [TensorSpec(v.name, "condition:any", shape_of(v) or ()) for v in graph_inputs(original)]
    inputs = seeded_inputs(specs)
    error_found = _deviation(built, Reference(original, where=path).run(inputs), inputs)
    if not error_found <= tolerance:
        _name_the_first(built, model, inputs, path, tolerance, error_found)
    return replace(built.imported, error=error_found)


@dataclass(frozen=True)
class _Built:
    """What the gate needs: the module, and the fx node's name of each ONNX value."""

    imported: ImportedGraph
    fx_names: Mapping[str, str]


def _build(model: Any, path: Path) -> _Built:
    from torch import fx

    from edgeanim.graph.converters import CONVERTERS, Builder

    editor = Editor(model)
    builder = Builder(editor, path)
    for node in editor.nodes:
        if node.op_type not in CONVERTERS or node.domain not in ("", "ai.onnx"):
            raise builder.refuse(node, "the importer does not know this op")
    left_out: list[Any] = []
    shapes = tuple(_placeholder(builder, value.name, left_out) for value in graph_inputs(model))
    outputs = [_output(builder, name, left_out) for name in editor.outputs]
    for node in editor.nodes:
        if not any(node is other for other in left_out):
            made = CONVERTERS[node.op_type](builder, node)
            results = [made] if isinstance(made, fx.Node) else made
            builder.values.update(zip(node.output, results, strict=False))
    builder.graph.output(tuple(builder.value(name) for name in outputs))
    builder.graph.lint()
    names = tuple(value.name for value in graph_inputs(model))
    ends = {*names, *editor.outputs}
    imported = ImportedGraph(
        module=fx.GraphModule(builder.root, builder.graph, "ImportedModule").eval(),
        input_names=names,
        output_names=tuple(editor.outputs),
        input_shapes=shapes,
        channels_first=frozenset(
            name for node in left_out for name in (*node.input, *node.output) if name in ends
        ),
        error=0.0,
    )
    return _Built(imported, {name: value.name for name, value in builder.values.items()})


def _placeholder(builder: Builder, name: str, left_out: list[Any]) -> tuple[int, ...]:
    """Add an input, behind its transpose to channels-first if that is all that reads it.

    Returns its shape and notes the transpose as left out.
    """
    editor = builder.onnx
    turn, shape = editor.only_user(name), editor.shapes[name]
    placeholder = builder.graph.placeholder(builder.python_name(name))
    if turn is None or permutation(turn) != TO_FIRST or turn.output[0] in editor.outputs:
        builder.values[name] = placeholder
        return shape
    left_out.append(turn)
    builder.values[turn.output[0]] = placeholder
    return tuple(shape[axis] for axis in TO_FIRST)


def _output(builder: Builder, name: str, left_out: list[Any]) -> str:
    """The value to give back for an output: what its transpose to channels-last reads, if any."""
    turn = builder.onnx.maker(name, "Transpose")
    if turn is None or permutation(turn) != TO_LAST or builder.onnx.users(name):
        return name
    left_out.append(turn)
    return str(turn.input[0])


def _deviation(built: _Built, expected: Mapping[str, Array], inputs: Mapping[str, Array]) -> float:
    import torch

    imported = built.imported
    with torch.no_grad():
        made = imported.from_module(imported.module(*imported.to_module(inputs)))
    return max(deviation(expected[name], made[name]) for name in imported.output_names)


def _name_the_first(
    built: _Built,
    model: Any,
    inputs: Mapping[str, Array],
    path: Path,
    tolerance: float,
    error: float,
) -> NoReturn:
    """`GateFailed` for the first node, in order, whose result differs by more than `tolerance`."""
    wanted = Reference(_with_all_outputs(model), where=path).run(inputs)
    found = _run_keeping_values(built, inputs)
    for node in model.graph.node:
        for name in node.output:
            made = found.get(built.fx_names.get(name, ""))
            if name in wanted and made is not None:
                difference = deviation(wanted[name], made)
                if not difference <= tolerance:
                    raise GateFailed(
                        f"In PyTorch the result of {node.op_type} node {node_label(node)} differs "
                        f"by {difference:.2e}, the outputs by {error:.2e}; the limit is "
                        f"{tolerance:.0e}. It is the first op that does.",
                        where=path,
                        hint=REMAINING,
                    )
    raise GateFailed(
        f"In PyTorch the outputs differ by {error:.2e}, though no single op does by more than "
        f"{tolerance:.0e}: the graph differs from its normalised form.",
        where=path,
        hint=REMAINING,
    )


def _with_all_outputs(model: Any) -> Any:
    """A copy of `model` that also gives every intermediate value."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    for node in copy.graph.node:
        for name in node.output:
            if name and name not in known:
                copy.graph.output.append(onnx.ValueInfoProto(name=name))
    return copy


def _run_keeping_values(built: _Built, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All intermediate values of the module, by the names of its fx nodes."""
    import torch
    from torch import fx

    kept: dict[str, Array] = {}

    class Keeping(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                kept[n.name] = value.detach().numpy()
            return value

    with torch.no_grad():
        Keeping(built.imported.module).run(*built.imported.to_module(inputs))
    return kept
