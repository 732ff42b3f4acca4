"""What a traced module multiplies in one run, by layer, and where no layer holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.quantize.pruning.channels import function_of

if TYPE_CHECKING:
    import torch
    from torch import fx

_CONVOLVE = ("conv1d", "conv2d", "conv3d")
NO_LAYER = ""
"""What `macs_by_layer` calls products that no layer holds."""


def count_macs(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> int:
    """Multiply-accumulates of one run, as `inspect` counts those of its graph."""
    return sum(macs for _, macs in _macs(module, example))


def macs_by_layer(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> dict[str, int]:
    """Multiply-accumulates of each convolution, transposed or not, of any number of axes, and of
    each linear layer in one run. Those of products of two values, as attention has them, and of
    convolutions with computed kernels are under the name of no layer, the empty one."""
    found: dict[str, int] = {}
    for name, macs in _macs(module, example):
        found[name] = found.get(name, 0) + macs
    return found


def _macs(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> Iterator[tuple[str, int]]:
    from torch import nn

    from edgeanim.graph.pytorch.converters.convolution import ComputedConvTranspose2d

    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    shapes = traced_shapes(module, example)
    layers: dict[str, Any] = dict(module.named_modules())
    for node in module.graph.nodes:
        name = str(node.target)
        layer = layers.get(name) if node.op == "call_module" else None
        given = [shapes.get(value.name, ()) for value in node.args[:2] if hasattr(value, "name")]
        if isinstance(layer, convolutions):
            yield name, prod(shapes[node.name]) * prod(layer.weight.shape[1:])
        elif isinstance(layer, transposed):
            yield name, prod(given[0]) * prod(layer.weight.shape[1:])
        elif isinstance(layer, ComputedConvTranspose2d):
            yield NO_LAYER, prod(given[0]) * prod(given[1][1:])
        elif function_of(node) in _CONVOLVE:
            yield NO_LAYER, prod(shapes[node.name]) * prod(given[1][1:])
        elif function_of(node) == "matmul":
            yield NO_LAYER, prod(shapes[node.name]) * given[0][-1]
