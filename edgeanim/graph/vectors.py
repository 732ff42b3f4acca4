"""Linear layers that scale or shift the channels of a map, as convolutions of a single pixel.

The converter to TFLite (litert-torch 0.10) joins the product of a vector and a matrix with the
Reshape or Unsqueeze that makes a pixel of it, to a form of more axes than TFLite has for it: a
style or a gate from a layer without bias. Behind a bias it does not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import fx, nn

_RESHAPES = (torch.reshape, torch.unsqueeze)


class _Pixel(nn.Module):  # type: ignore[misc]
    """What the `layer` without bias gives: [..., I] to [..., O]."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() != x.shape[-1]:
            return F.linear(x, self.weight)
        pixel = F.conv2d(x.reshape(1, -1, 1, 1), self.weight[:, :, None, None])
        return pixel.reshape(*x.shape[:-1], -1)


def as_pixels(module: fx.GraphModule) -> int:
    """Let the linear layers without bias whose results are only reshaped take a vector as a pixel,
    in place; returns how many."""
    layers = dict(module.named_modules())
    found = {
        node.target: layers[node.target]
        for node in module.graph.nodes
        if node.op == "call_module" and _is_reshaped(node, layers[node.target])
    }
    for target, layer in found.items():
        module.set_submodule(target, _Pixel(layer))
    return len(found)


def _is_reshaped(node: fx.Node, layer: nn.Module) -> bool:
    without_bias = isinstance(layer, nn.Linear) and layer.bias is None
    return without_bias and all(user.target in _RESHAPES for user in node.users)
