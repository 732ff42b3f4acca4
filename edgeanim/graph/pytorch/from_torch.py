"""PyTorch to ONNX behind a parity gate: a file is written only if it computes what was asked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeanim.core.contract import CONTRACT_FILE, Contract, GraphSpec, dump_contract
from edgeanim.core.errors import BadInput, GateFailed, UsageError, foreign_errors, named
from edgeanim.core.files import inside, write_bytes, write_text
from edgeanim.core.packages import require
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.quiet import quiet
from edgeanim.graph.nested import nested_graphs
from edgeanim.graph.normalize import normalize
from edgeanim.graph.pytorch.inverses import translations
from edgeanim.graph.pytorch.summands import hide_small_summands, show_small_summands
from edgeanim.graph.pytorch.torch_modules import evaluating, reason_of, run_module
from edgeanim.graph.reading.checks import check_repeatable
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.reference import Reference, deviation, seeded_inputs

if TYPE_CHECKING:
    import torch

OPSET = 18
TOLERANCE = 1e-4
_MOST_BY_ROUNDING = 1e-2
_CHECKED_SEEDS = (0, 1)
_SUFFIX = ".onnx"
_MISSING_OP = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


def export_model(
    modules: Mapping[str, torch.nn.Module],
    contract: Contract,
    folder: Path,
    *,
    tolerance: float = TOLERANCE,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Write the module of each graph of `contract`, by name, and the contract itself into `folder`.
    Returns the graphs' deviations; errors are those of `export_onnx`, and `UsageError` for files
    and names that cannot be."""
    for spec in contract.graphs:
        _check_names(spec)
    deviations = {}
    for spec in contract.graphs:
        progress.stage(f"Export {spec.name}")
        file = inside(folder, spec.file)
        deviations[spec.name] = export_onnx(modules[spec.name], spec, file, tolerance=tolerance)
        with named(spec.name):
            read_onnx(file)
        progress.done(f"deviation {deviations[spec.name]:.1g}")
    write_text(folder / CONTRACT_FILE, dump_contract(contract))
    return deviations


def export_onnx(
    module: torch.nn.Module, spec: GraphSpec, path: Path, *, tolerance: float = TOLERANCE
) -> float:
    """Write `module` to `path` as a static float32 ONNX graph with the names of `spec`.

    `module` takes the inputs of `spec` positionally and returns one tensor or a tuple of them, in
    the order of `spec.outputs`. It is exported in eval mode on the CPU; weights lie in the file.

    Returns the largest deviation from the module over seeded inputs (see
    `reference.deviation`). `GateFailed` names graph, output and error above `tolerance`, and
    `BadInput` says what could not be exported; nothing is written then.
    """
    # torch.onnx.export(dynamo=True) writes the graph with onnxscript.
    require("Exporting a graph", "torch", "onnxscript", extra="compress")
    import torch

    with evaluating(module, spec.name), torch.no_grad():
        example = _as_tensors(spec, seed=0)
        made = run_module(module, example, spec.name)
        if len(made) != len(spec.outputs):
            raise BadInput(
                f"This module returns {len(made)} tensors; {len(spec.outputs)} are meant.",
                where=spec.name,
                hint="Name as many outputs as it returns, in their order.",
            )
        model = _export(module, spec, example)
        check_repeatable(model, spec.name)  # or else it would be said to differ from the module
        _check_outputs(model, spec)
        error_found = _worst_deviation(module, model, spec, tolerance)
    write_bytes(path, model.SerializeToString(deterministic=True))
    return error_found


def _check_names(spec: GraphSpec) -> None:
    if not spec.file.endswith(_SUFFIX) or spec.file == _SUFFIX:
        raise UsageError(
            f"The file {spec.file!r} of the graph {spec.name!r} does not end in {_SUFFIX}."
        )
    names = [tensor.name for tensor in (*spec.inputs, *spec.outputs)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not all(names):
        raise UsageError(
            f"In the graph {spec.name!r} two tensors are called {twice!r}."
            if twice
            else f"A tensor of the graph {spec.name!r} has no name."
        )


def _export(module: torch.nn.Module, spec: GraphSpec, example: tuple[torch.Tensor, ...]) -> Any:
    """The module as a normalised `ModelProto` without anything that tells where it was made."""
    import torch

    # The exporter would give names that are taken in the graph a second time.
    inputs = {f"edgeanim.input.{i}": tensor.name for i, tensor in enumerate(spec.inputs)}
    outputs = {f"edgeanim.output.{i}": tensor.name for i, tensor in enumerate(spec.outputs)}

    with foreign_errors(partial(_refused, spec.name)), quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
            optimize=False,
            custom_translation_table=dict(translations()),
        )
        assert program is not None
        _tell_outputs_apart(program.model, tuple(inputs), tuple(outputs))
        hide_small_summands(program.model)
        program.optimize()
        model = program.model_proto
    show_small_summands(model)
    _strip_provenance(model)
    _rename(model.graph, inputs | outputs)
    model.graph.name = spec.name
    return normalize(model)


def _refused(where: str, error: BaseException) -> BadInput:
    """The error for what PyTorch's exporter raises."""
    reason = reason_of(error)
    if missing := _MISSING_OP.match(reason):
        return BadInput(
            f"This module cannot be exported to ONNX, which has no form of {missing[1]}.",
            where=where,
            hint="Write it in other ops, or compute it outside and give it as an input.",
        )
    return BadInput(
        f"This module cannot be exported to ONNX: {reason}",
        where=where,
        hint="Every shape must be fixed and the control flow must not depend on the data.",
    )


def _tell_outputs_apart(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give an output that is an input, or another output, a value of its own in the exporter's
    model: it has one for both, which is called as the last of them."""
    from onnxscript import ir

    graph = model.graph
    taken = set(graph.inputs)
    for index, value in enumerate(graph.outputs):
        if value in taken:
            graph.append(ir.node("Identity", [value]))
            graph.outputs[index] = made = graph[-1].outputs[0]
            made.shape, made.type = value.shape, value.type
        taken.add(graph.outputs[index])
    for value, name in zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True):
        value.name = name


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give values their names in `names`; others that are called so get another one."""
    taken = {name: f"{name}/inner" for name in names.values()}

    def new(name: str) -> str:
        return names.get(name) or taken.get(name, name)

    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new(value.name)
    for node in graph.node:
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
        for inner in nested_graphs(node):
            _rename(inner, names)


def _strip_provenance(model: Any) -> None:
    """Remove source paths and stack traces, which would also make equal exports differ."""
    del model.metadata_props[:]
    model.ClearField("doc_string")
    graph = model.graph
    del graph.metadata_props[:]
    for group in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in group:
            del item.metadata_props[:]
            item.ClearField("doc_string")


def _check_outputs(model: Any, spec: GraphSpec) -> None:
    """The exported shapes are those of the spec."""
    for declared, made in zip(spec.outputs, model.graph.output, strict=True):
        shape = tuple(dim.dim_value for dim in made.type.tensor_type.shape.dim)
        if shape != declared.shape:
            raise GateFailed(
                f"The output {declared.name!r} is {list(shape)}; its contract says "
                f"{list(declared.shape)}.",
                where=spec.name,
            )


def _worst_deviation(
    module: torch.nn.Module, model: Any, spec: GraphSpec, tolerance: float
) -> float:
    reference = Reference(model, where=spec.name)
    worst = 0.0
    for seed in _CHECKED_SEEDS:
        wanted = run_module(module, _as_tensors(spec, seed), spec.name)
        exported = reference.run(seeded_inputs(spec.inputs, seed))
        for tensor, value in zip(spec.outputs, wanted, strict=True):
            found = deviation(value.numpy(), exported[tensor.name])
            if not found <= tolerance:
                raise GateFailed(
                    f"The exported output {tensor.name!r} differs from the module by "
                    f"{found:.2e}; the limit is {tolerance:.0e}.",
                    where=spec.name,
                    hint=_rounding_hint(found),
                )
            worst = max(worst, found)
    return worst


def _rounding_hint(found: float) -> str | None:
    """What to do about a deviation that may be nobody's fault; none for a larger one."""
    if not found < _MOST_BY_ROUNDING:
        return None
    allowed = 10.0 ** math.ceil(math.log10(found))
    return (
        "Rounding alone may do that: a warp or a sharp softmax multiplies it, a norm over whole "
        f"maps adds up millions of numbers. Allow it with --tolerance {allowed:g}."
    )


def _as_tensors(spec: GraphSpec, seed: int) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(torch.from_numpy(value) for value in seeded_inputs(spec.inputs, seed).values())
