"""Bias correction: the mean shift that rounding causes is subtracted from the bias.

Rounded weights and clipped values move the mean of a convolution's outputs, channel by channel;
clipped tails darken a picture that way. The shift is measured on real frames and subtracted from
the bias (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from edgeanim.quantize.distillation.fake_quant import RoundedValue, RoundedWeight, floating
from edgeanim.quantize.distillation.placement import only_moves


def correct_biases(module: fx.GraphModule, batches: Sequence[Sequence[torch.Tensor]]) -> float:
    """Correct the bias of every rounded convolution of `module`, in place.

    Each convolution is given the float graph's own inputs, once as they are and once rounded, so
    that no shift is counted twice further down. A missing bias is added. To be done once.

    Returns the largest shift found, in standard deviations of its channel's output.
    """
    sources = _input_roundings(module)
    shifts = {name: _Shift(module.get_submodule(name), source) for name, source in sources.items()}
    hooks = [shift.layer.register_forward_hook(shift.measure) for shift in shifts.values()]
    try:
        with floating(module), torch.no_grad():
            for inputs in batches:
                module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return max((shift.correct() for shift in shifts.values()), default=0.0)


class _Shift:
    """The mean error of one convolution's outputs over all positions of all batches."""

    def __init__(self, layer: Any, source: RoundedValue | None) -> None:
        self.layer, self.source = layer, source
        self.rounding: RoundedWeight = layer.parametrizations.weight[0]
        self.error = torch.zeros(layer.out_channels, dtype=torch.float64)
        self.sum, self.squares = self.error.clone(), self.error.clone()
        self.count = 0

    def measure(self, layer: Any, inputs: Any, output: torch.Tensor) -> None:
        x = inputs[0]
        self.rounding.active = True
        # `forward` itself, since calling the layer would come back here.
        rounded = layer.forward(x if self.source is None else self.source.rounded(x))
        self.rounding.active = False
        exact = output.double()
        self.error += (rounded.double() - exact).sum((0, 2, 3))
        self.sum += exact.sum((0, 2, 3))
        self.squares += (exact * exact).sum((0, 2, 3))
        self.count += exact.numel() // exact.shape[1]

    def correct(self) -> float:
        """Correct the bias; returns the largest shift in standard deviations."""
        if self.count == 0:
            return 0.0
        shift = self.error / self.count
        if self.layer.bias is None:
            self.layer.bias = nn.Parameter(torch.zeros(len(shift)))
        with torch.no_grad():
            self.layer.bias -= shift.to(self.layer.bias.dtype)
        variance = self.squares / self.count - (self.sum / self.count) ** 2
        return float((shift.abs() / variance.clamp_min(1e-12).sqrt()).max())


def _input_roundings(module: fx.GraphModule) -> dict[str, RoundedValue | None]:
    """Each rounded convolution with where its input is rounded, through paddings and the like."""
    found: dict[str, RoundedValue | None] = {}
    for node in module.graph.nodes:
        if node.op != "call_module":
            continue
        layer = module.get_submodule(str(node.target))
        if parametrize.is_parametrized(layer, "weight"):
            found[str(node.target)] = _rounding_above(module, node.all_input_nodes[0])
    return found


def _rounding_above(module: fx.GraphModule, node: fx.Node) -> RoundedValue | None:
    while only_moves(module, node):
        node = node.all_input_nodes[0]
    if node.op != "call_module":
        return None
    part = module.get_submodule(str(node.target))
    return part if isinstance(part, RoundedValue) else None
