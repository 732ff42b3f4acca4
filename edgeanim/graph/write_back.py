"""Trained weights back into the ONNX graph that a module was imported from.

The nodes keep their names and order; only weights change, so that whoever knows the graph (a list
of nodes to keep in float, a runtime's fusions) still does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import GateFailed
from edgeanim.core.files import write_bytes
from edgeanim.graph.edit import Editor, editing, read_instead
from edgeanim.graph.read import graph_inputs, shape_of
from edgeanim.graph.reference import Reference, deviation, seeded_inputs

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.to_torch import ImportedGraph

# Ops whose module holds `weight` and `bias` in the form of the node's second and third input.
_DIRECT = ("Conv", "ConvTranspose", "InstanceNormalization")


def trainable(imported: ImportedGraph, module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters of `module`, a copy of the imported one, that can be written back, by name."""
    maker = {name: n.op_type for n in imported.normalized.graph.node for name in n.output}
    stored = {tensor.name for tensor in imported.normalized.graph.initializer}
    found = {}
    for name, parameter in module.named_parameters():
        origin = imported.origins.get(name.split(".")[0], "")
        if maker.get(origin) in _DIRECT or origin in stored:
            found[name] = parameter
    return found


def write_back(
    imported: ImportedGraph, module: torch.nn.Module, path: Path, *, tolerance: float = 1e-4
) -> float:
    """Write the normalised graph with the weights of `module`, a copy of the imported one.

    Returns the largest deviation of the file from `module` (see `reference.deviation`);
    `GateFailed` above `tolerance`, and nothing is written.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(imported.normalized)
    with editing(model) as graph:
        for target, origin in imported.origins.items():
            node = graph.maker(origin, *_DIRECT)
            if node is not None:
                _store(graph, node, module.get_submodule(target))
            elif origin in graph.constants:
                _replace_constant(graph, origin, getattr(module, target))
    error = _error(imported, module, model)
    if not error <= tolerance:
        raise GateFailed(
            f"The graph with its new weights differs by {error:.2e} from what was trained; the "
            f"limit is {tolerance:.0e}.",
            where=path,
        )
    write_bytes(path, model.SerializeToString(deterministic=True))
    return error


def _store(graph: Editor, node: Any, layer: Any) -> None:
    for index, name in ((1, "weight"), (2, "bias")):
        tensor = getattr(layer, name, None)
        if tensor is None:  # the graph computes it, or the node has none
            continue
        constant = graph.constant(_array(tensor), near=node.output[0])
        if index < len(node.input):
            node.input[index] = constant
        else:
            node.input.append(constant)


def _replace_constant(graph: Editor, name: str, tensor: torch.Tensor) -> None:
    made = graph.constant(_array(tensor), near=name)
    for node in graph.users(name):
        read_instead(node, name, made)


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy().copy()


def _error(imported: ImportedGraph, module: torch.nn.Module, model: Any) -> float:
    import torch

    specs = [TensorSpec(v.name, "condition:any", shape_of(v) or ()) for v in graph_inputs(model)]
    inputs: Mapping[str, Any] = seeded_inputs(specs)
    expected = Reference(model).run(inputs)
    with torch.no_grad():
        made = module(*(torch.from_numpy(inputs[name]) for name in imported.input_names))
    return max(
        deviation(expected[name], value.numpy())
        for name, value in zip(imported.output_names, made, strict=True)
    )
