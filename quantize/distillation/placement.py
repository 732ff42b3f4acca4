"""Where an imported graph is rounded to 8 bits: the schemes' own choice, for a traced module.

Quantisers work on ONNX, IR and flatbuffers; training works on `torch.fx`. This maps one to the
other: which convolutions get 8-bit weights, and which values are stored in 8 bits on the way.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.convolution import ConvTranspose2d
from edgeanim.graph.pytorch.converters.shape import PicturePad
from edgeanim.quantize.chain import Chain, Kind, Node, find_chain, holds_zero, narrows

Shapes = Mapping[str, Sequence[int]]

_FUSED = {F.relu, F.relu6, torch.clamp}
_ACTIVATIONS = {*_FUSED, F.leaky_relu}
_MOVES = {F.pad, F.max_pool2d}
_GLUE = {
    *_ACTIVATIONS,
    *_MOVES,
    F.avg_pool2d,
    F.interpolate,
    operator.add,
    torch.add,
    torch.cat,
}


@dataclass(frozen=True)
class Placement:
    """`convolutions` are targets of submodules with 8-bit weights, `values` names of the fx nodes
    whose results are stored in 8 bits."""

    convolutions: tuple[str, ...]
    values: tuple[str, ...]


def find_placement(
    module: fx.GraphModule,
    shapes: Shapes,
    keep_float: Sequence[str] = (),
    *,
    results: bool = True,
) -> Placement:
    """The placement in `module`, whose values have `shapes` by node name.

    ONNX Runtime and TFLite round inputs *and* `results` of every convolution and of the glue
    between, but for heads that stay in float; without `results`, as in OpenVINO, only what INT8
    reads. A value that is only padded, pooled or repeated on the way is rounded once, where it is
    made; a convolution whose only user is a ReLU is rounded behind it. `keep_float` are targets of
    submodules that stay in float (`ImportedGraph.submodules_of`).

    `BadInput` if there is nothing to quantise.
    """
    chain = find_chain(_chain_nodes(module, shapes, set(keep_float)))
    return placement_of(module, chain, results=results)


def placement_of(module: fx.GraphModule, chain: Chain, *, results: bool = True) -> Placement:
    """The placement for a chain of fx node names; see `find_placement`."""
    whole = (*chain.convolutions, *chain.glue)
    quantized = set(chain.without_spared if results else whole)
    values: dict[str, None] = {}
    for node in module.graph.nodes:
        if node.name in quantized:
            for source in (*node.all_input_nodes, *([node] if results else [])):
                values[_rounded_at(module, source, quantized).name] = None
    targets = [str(n.target) for n in module.graph.nodes if n.name in chain.convolutions]
    spared = {str(n.target) for n in module.graph.nodes if n.name not in quantized}
    return Placement(tuple(t for t in targets if t not in spared), tuple(values))


def is_quantizable(layer: nn.Module) -> bool:
    """Whether `layer` ends up as a convolution with constant weights in every runtime's file."""
    if isinstance(layer, ConvTranspose2d):
        return layer.splits()
    return isinstance(layer, nn.Conv2d)


def _chain_nodes(module: fx.GraphModule, shapes: Shapes, kept: set[str]) -> list[Node]:
    nodes = []
    for node in module.graph.nodes:
        kind: Kind = "float"
        macs, narrow = 0, False
        if node.op == "call_module":
            layer = module.get_submodule(str(node.target))
            in_float = str(node.target) in kept
            if is_quantizable(layer):
                kind = "float" if in_float else "convolution"
                macs = _macs(layer, shapes[node.name])
                narrow = narrows(shapes[node.all_input_nodes[0].name], shapes[node.name])
            elif isinstance(layer, PicturePad) and not in_float:
                kind = "glue"
        elif node.op == "call_function" and node.target in _GLUE and _is_exact(node):
            kind = "glue"
        sources = tuple(source.name for source in node.all_input_nodes)
        fuses = node.target in _FUSED
        nodes.append(Node(node.name, kind, sources, (node.name,), macs, fuses, narrow))
    return nodes


def _macs(layer: Any, shape: Sequence[int]) -> int:
    weight: Sequence[int] = layer.weight.shape
    if isinstance(layer, nn.ConvTranspose2d):
        per_output: int = prod(weight) // (layer.out_channels * prod(layer.stride))
        return prod(shape) * per_output
    return prod(shape) * prod(weight[1:])


def _is_exact(node: fx.Node) -> bool:
    """Neither arithmetic with a plain number nor a clipping away from zero glues convolutions."""
    if node.target is torch.clamp:
        return holds_zero(*node.args[1:])
    return node.target not in (operator.add, torch.add) or len(node.all_input_nodes) == 2


def _rounded_at(module: fx.GraphModule, node: fx.Node, quantized: set[str]) -> fx.Node:
    """The node at whose end the value of `node` is rounded."""
    if only_moves(module, node):
        return _rounded_at(module, node.all_input_nodes[0], quantized)
    users = list(node.users)
    if len(users) == 1 and users[0].target in _ACTIVATIONS and users[0].name in quantized:
        return users[0]
    return node


def only_moves(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether `node` only carries values on, so that rounding them once is enough."""
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), PicturePad)
    mode = node.kwargs.get("mode", "nearest")
    nearest = node.target is F.interpolate and str(mode).startswith("nearest")
    return node.target in _MOVES or nearest
