"""One layer's weights fitted by least squares to outputs that are given.

Every layer is fitted as a convolution: a transposed one as that of a picture with zeros between its
pixels, a linear one as that of pictures of one pixel. Only some random places of the outputs are
looked at, since neighbours say nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLACES = 256
"""Places in each sample's map that are fitted on."""
# Pull towards the weights as they are, as a share of the inputs' mean square. It stands for all
# that the frames do not show: with a fiftieth of it puppets lost no less, and people, who were in
# none of the frames, visibly more.
_RIDGE = 5e-2
_RIDGE_OF_BIAS = 1e-9


def fit_layer(
    layer: nn.Module,
    inputs: Sequence[Tensor],
    goals: Iterable[Tensor],
    places: int,
    generator: torch.Generator,
) -> None:
    """Fit the weights of a convolution, transposed or not, or of a linear layer, in place, to give
    `goals` [N, O, H, W] (or [..., O]) for `inputs`, at so many random `places` of each."""
    if isinstance(layer, nn.Linear):
        pixels = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=False)
        # The weights are the layer's own, in another shape.
        pixels.weight, pixels.bias = nn.Parameter(layer.weight[:, :, None, None]), layer.bias
        _solve(pixels, map(_pixels, inputs), map(_pixels, goals), places, generator)
        return
    if not isinstance(layer, nn.ConvTranspose2d):
        _solve(layer, inputs, goals, places, generator)
        return
    plain = equivalent_convolution(layer)
    _solve(plain, (zero_stuffed(layer, x) for x in inputs), goals, places, generator)
    layer.weight.copy_(plain.weight.transpose(0, 1).flip(2, 3))
    if layer.bias is not None:
        layer.bias.copy_(plain.bias)


def _pixels(rows: Tensor) -> Tensor:
    """Rows [..., C] as pictures [N, C, 1, 1]."""
    return rows.reshape(-1, rows.shape[-1], 1, 1)


def equivalent_convolution(layer: nn.ConvTranspose2d) -> nn.Conv2d:
    """The convolution that gives for `zero_stuffed(layer, x)` what `layer` gives for x."""
    channels, bias = (layer.in_channels, layer.out_channels), layer.bias is not None
    plain = nn.Conv2d(*channels, layer.kernel_size, dilation=layer.dilation, bias=bias)
    plain.weight.copy_(layer.weight.transpose(0, 1).flip(2, 3))
    if bias:
        plain.bias.copy_(layer.bias)
    return plain


def zero_stuffed(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Zeros between the pixels of x [N, C, H, W], as many as the stride asks for, and around it."""
    size = [(n - 1) * step + 1 for n, step in zip(x.shape[2:], layer.stride, strict=True)]
    spread = x.new_zeros(*x.shape[:2], *size)
    spread[:, :, :: layer.stride[0], :: layer.stride[1]] = x
    reach = [
        gap * (k - 1) - pad
        for gap, k, pad in zip(layer.dilation, layer.kernel_size, layer.padding, strict=True)
    ]
    below, right = (n + extra for n, extra in zip(reach, layer.output_padding, strict=True))
    return F.pad(spread, [reach[1], right, reach[0], below])


def _solve(
    layer: nn.Conv2d,
    inputs: Iterable[Tensor],
    goals: Iterable[Tensor],
    places: int,
    generator: torch.Generator,
) -> None:
    """Ridge regression, towards the weights W as they are: (X'X + ridge) D = X'(Y - XW) is solved
    for their change D."""
    weights = rows_of(layer)
    products = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    errors = torch.zeros(weights.shape, dtype=torch.float64)
    for given, goal in zip(inputs, goals, strict=True):
        chosen = torch.randperm(goal[:, 0].numel(), generator=generator)[:places]
        x = with_bias_column(layer, patches(layer, given, chosen))
        y = goal.movedim(1, -1).flatten(0, -2)[chosen]
        # The sums over places are made in float32, which the ridge bears; all else in more.
        products += (x.T @ x).double()
        errors += (x.T @ (y - x @ weights)).double()
    ridge = ridge_of(products, layer.weight[0].numel())
    weights = weights.double() + torch.linalg.solve(products + ridge, errors)
    if bool(torch.isfinite(weights).all()):
        set_rows(layer, weights)


def rows_of(layer: nn.Conv2d) -> Tensor:
    """The weights of a convolution as its `patches` meet them, [C * kh * kw, outputs]; a bias is
    one row more."""
    weights = layer.weight.detach().flatten(1).T
    return weights if layer.bias is None else torch.cat([weights, layer.bias.detach()[None]])


def set_rows(layer: nn.Conv2d, rows: Tensor) -> None:
    """Give a convolution the weights that `rows_of` reads."""
    count = layer.weight[0].numel()
    layer.weight.data.copy_(rows[:count].T.reshape(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.data.copy_(rows[count])


def with_bias_column(layer: Any, met: Tensor) -> Tensor:
    """The weights' inputs [places, n] with a column of 1 for the bias, if the layer has one."""
    return met if layer.bias is None else torch.cat([met, met.new_ones(len(met), 1)], 1)


def ridge_of(products: Tensor, rows: int) -> Tensor:
    """The ridge added to X'X, float64 [n, n]: a share of the inputs' mean square for the `rows` of
    weights, next to nothing for that of a bias."""
    pull = torch.full((len(products),), _RIDGE_OF_BIAS, dtype=torch.float64)
    pull[:rows] = _RIDGE * products.diagonal()[:rows].mean().clamp(min=1e-9)
    return torch.diag(pull)


def patches(layer: nn.Conv2d, x: Tensor, places: Tensor) -> Tensor:
    """What the kernel meets of x [N, C, H, W] at these places of its output, numbered over all
    pictures row by row: [places, C * kh * kw]. That is im2col, at these places alone."""
    (kernel_h, kernel_w), (step_h, step_w) = layer.kernel_size, layer.dilation
    x = F.pad(x, [p for p in reversed(layer.padding) for _ in range(2)])
    height, width = (
        (x.shape[2 + i] - layer.dilation[i] * (layer.kernel_size[i] - 1) - 1) // layer.stride[i] + 1
        for i in range(2)
    )
    picture, place = places // (height * width), places % (height * width)
    rows = place // width * layer.stride[0]
    columns = place % width * layer.stride[1]
    rows = rows[:, None, None] + step_h * torch.arange(kernel_h)[:, None]
    columns = columns[:, None, None] + step_w * torch.arange(kernel_w)
    met = x[picture[:, None, None], :, rows, columns]
    return met.movedim(-1, 1).flatten(1)
