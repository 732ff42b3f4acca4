"""Products that scale or shift the channels of a map, in a form that TFLite has.

The converter to TFLite (litert-torch 0.10) joins the product of a vector and a matrix with the
Reshape or Unsqueeze that makes a pixel of it, to a form of more axes than TFLite has for it: a
style or a gate from a layer without bias, which becomes a convolution of a single pixel, or an
attention between the numbers of a vector, which is multiplied as a column. Behind a bias it does
not.
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
        if node.op == "call_module" and _is_plain(layers[node.target]) and _is_reshaped(node)
    }
    for target, layer in found.items():
        module.set_submodule(target, _Pixel(layer))
    return len(found)


def as_columns(module: fx.GraphModule) -> int:
    """Let the products by computed matrices that are only reshaped take a vector as a column, in
    place; returns how many."""
    found = [n for n in module.graph.nodes if n.target is torch.matmul and _is_reshaped(n)]
    for node in found:
        node.target = _product
    module.recompile()
    return len(found)


def _product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """[1, I] times [I, O] by their transposes; any others as they are."""
    if x.shape[:-1] != (1,) or matrix.ndim != 2:
        return torch.matmul(x, matrix)
    return torch.matmul(matrix.T, x.T).T


def _is_plain(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and layer.bias is None


def _is_reshaped(node: fx.Node) -> bool:
    return all(user.target in _RESHAPES for user in node.users)
