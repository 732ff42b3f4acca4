"""One layer fitted to outputs: on the patches that its kernel meets."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgeanim.quantize.pruning import layer_fit
from edgeanim.quantize.pruning.layer_fit import (
    PLACES,
    equivalent_convolution,
    fit_layer,
    patches,
    zero_stuffed,
)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), 1, 1, 1),
        ((1, 1), 2, 0, 1),
        ((3, 5), (2, 1), (0, 2), (1, 2)),
        ((4, 2), 3, (3, 1), 2),
    ],
)
def test_patches_are_those_of_the_unfolded_picture(
    kernel: tuple[int, int], stride: object, padding: object, dilation: object
) -> None:
    layer = nn.Conv2d(2, 1, kernel, stride, padding, dilation)
    x = torch.rand(3, 2, 11, 13)
    whole = functional.unfold(x, kernel, layer.dilation, layer.padding, layer.stride)
    whole = whole.transpose(1, 2).flatten(0, 1)
    places = torch.randperm(len(whole))
    assert layer(x)[:, 0].numel() == len(whole)
    torch.testing.assert_close(patches(layer, x, places), whole[places])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "dilation"),
    [(4, 2, 1, 0, 1), (3, 2, 1, 1, 1), (2, 2, 0, 0, 1), ((3, 2), (1, 3), (2, 0), (0, 2), (2, 1))],
)
def test_a_transposed_convolution_is_one_of_a_picture_with_gaps(
    kernel: object, stride: object, padding: object, extra: object, dilation: object
) -> None:
    layer = nn.ConvTranspose2d(3, 2, kernel, stride, padding, extra, dilation=dilation)
    x = torch.rand(2, 3, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(equivalent_convolution(layer)(zero_stuffed(layer, x)), layer(x))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_that_can_give_what_is_asked_learns_to(
    kind: type[nn.Module], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_fit, "_RIDGE", 1e-4)  # hardly any
    torch.manual_seed(0)
    wanted, layer = (kind(4, 3, 3, padding=1, stride=2, bias=bias) for _ in range(2))
    inputs = [torch.rand(1, 4, 16, 16) for _ in range(12)]

    def error() -> float:
        pairs = zip(inputs, goals, strict=True)
        return sum(float((layer(x) - y).square().sum()) for x, y in pairs)

    with torch.no_grad():
        goals = [wanted(x) for x in inputs]
        before = error()
        fit_layer(layer, inputs, goals, PLACES, torch.Generator().manual_seed(0))
        assert error() < 1e-3 * before


def test_weights_are_pulled_towards_what_they_were_by_a_twentieth() -> None:
    layer = nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        x = torch.randn(1, 1, 8, 8)
        fit_layer(layer, [x], [3 * x], PLACES, torch.Generator())
    assert layer.weight.item() == pytest.approx(1 + 2 / 1.05, abs=1e-4)


def test_what_the_frames_do_not_show_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    layer, wanted = nn.Conv2d(2, 3, 1, bias=False), nn.Conv2d(2, 3, 1, bias=False)
    inputs = [torch.cat([torch.rand(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.01)], 1)] * 4
    before = layer.weight.detach().clone()
    with torch.no_grad():
        fit_layer(
            layer, inputs, [wanted(x) for x in inputs], PLACES, torch.Generator().manual_seed(0)
        )
    shown, hidden = (layer.weight.detach() - before).abs().mean((0, 2, 3))
    assert hidden < 0.1 * shown
