"""Weights back into the ONNX graph that a module was imported from: trained ones, or what pruning
has left of them.

The nodes keep their names and order, so that whoever knows the graph (a list of nodes to keep in
float, a runtime's fusions) still does.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeanim.core.errors import GateFailed
from edgeanim.core.files import write_bytes
from edgeanim.graph.edit import Editor, attributes, editing, set_attributes
from edgeanim.graph.nested import read_instead
from edgeanim.graph.pytorch.pruned_sizes import update_sizes
from edgeanim.graph.reference import Reference, inputs_for

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.pytorch.to_torch import ImportedGraph

_TOLERANCE = 1e-4
# What a module holds as the node's second input and those after it, in their form.
_HELD: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
    "Conv": ("weight", "bias"),
    "ConvTranspose": ("weight", "bias"),
    "GRU": ("weight", "recurrence", "bias"),
    "GroupNormalization": ("weight", "bias"),
    "InstanceNormalization": ("weight", "bias"),
    "LSTM": ("weight", "recurrence", "bias"),
    "LayerNormalization": ("weight", "bias"),
    "PRelu": ("weight",),
    "RNN": ("weight", "recurrence", "bias"),
}
_LINEAR = ("Gemm", "MatMul")


def trainable(imported: ImportedGraph, module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters of `module`, a copy of the imported one, that can be written back, by name."""
    maker = {name: n.op_type for n in imported.normalized.graph.node for name in n.output}
    stored = {tensor.name for tensor in imported.normalized.graph.initializer}
    found = {}
    for name, parameter in module.named_parameters():
        origin = imported.origins.get(name.split(".")[0], "")
        if maker.get(origin) in (*_HELD, *_LINEAR) or origin in stored:
            found[name] = parameter
    return found


def write_back(imported: ImportedGraph, module: torch.nn.Module, path: Path) -> float:
    """Write the normalised graph with the weights of `module`: a copy of the imported one that may
    have lost channels.

    Returns the largest deviation of the file from `module` (see `reference.deviation`);
    `GateFailed` above 1e-4 (and what rounding explains), and nothing is written.
    """
    model = deepcopy(imported.normalized)
    with editing(model) as graph:
        for target, origin in imported.origins.items():
            node = graph.maker(origin, *_HELD)
            if node is not None:
                _store(graph, node, module.get_submodule(target))
            elif (product := graph.maker(origin, *_LINEAR)) is not None:
                _store_linear(graph, product, module.get_submodule(target))
            elif origin in graph.constants:
                _replace_constant(graph, origin, getattr(module, target))
        update_sizes(graph, imported, module)
    inputs = inputs_for(model)
    error = _error(imported, module, model, inputs)
    limit = _TOLERANCE
    if not error <= limit:
        limit = replace(imported, module=module).tolerance_of(inputs, limit)
    if not error <= limit:
        raise GateFailed(
            f"The graph with its new weights differs by {error:.2e} from the module that they are "
            f"of; the limit is {limit:.0e}.",
            where=path,
        )
    write_bytes(path, model.SerializeToString(deterministic=True))
    return error


def _store(graph: Editor, node: Any, layer: Any) -> None:
    for index, name in enumerate(_HELD[node.op_type], 1):
        old = graph.constant_of(node, index)
        tensor = getattr(layer, name, None)
        if tensor is not None:
            value = _array(tensor)
        elif old is not None and node.op_type == "InstanceNormalization":
            value = old[: layer.num_features]  # of a norm without weights: all ones, or zeros
        else:  # the graph computes it, or the node has none
            continue
        if node.op_type == "PRelu" and old is not None:  # [C, 1, 1] or [1, C, 1, 1]
            value = value.reshape([value.size if n > 1 else 1 for n in old.shape])
        graph.set_constant(node, index, value)
    for attribute in node.attribute:
        if attribute.name == "group" and hasattr(layer, "groups"):  # else its kernel is computed
            attribute.i = layer.groups


def _store_linear(graph: Editor, node: Any, layer: Any) -> None:
    """The weights of an `nn.Linear` as its node has them, if any is another one now: else they stay
    as they are written, for nodes may share them."""
    given = attributes(node)
    weight = _array(layer.weight if given.get("transB", 0) else layer.weight.T)
    bias = None if layer.bias is None else _array(layer.bias)
    old, shift = graph.constant_of(node, 1), graph.constant_of(node, 2)
    if _equal(weight, old, given.get("alpha", 1.0)) and _equal(bias, shift, given.get("beta", 1.0)):
        return
    graph.set_constant(node, 1, weight)
    if bias is not None:
        graph.set_constant(node, 2, bias)
    set_attributes(node, alpha=None, beta=None)


def _equal(value: Any, old: Any, factor: float) -> bool:
    """Whether a layer holds what its node does, times `factor`."""
    if value is None or old is None:
        return value is None
    return value.size == old.size and bool((value == (old * factor).reshape(value.shape)).all())


def _replace_constant(graph: Editor, name: str, tensor: torch.Tensor) -> None:
    made = graph.constant(_array(tensor), near=name)
    users = graph.users(name)
    for node in users:
        read_instead(node, name, made)
    graph.reindex(*users)


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy().copy()


def _error(
    imported: ImportedGraph, module: torch.nn.Module, model: Any, inputs: Mapping[str, Any]
) -> float:
    import torch

    expected = Reference(model).run(inputs)
    with torch.no_grad():
        made = module(*imported.tensors(inputs))
    return imported.deviation(expected, made)
