"""What a layer is fitted on: the patches that its kernel meets."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from edgeanim.quantize.refit import _fit, _patches, _with_gaps, _without_gaps, refit


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
    torch.testing.assert_close(_patches(layer, x, places), whole[places])


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
        torch.testing.assert_close(_without_gaps(layer)(_with_gaps(layer, x)), layer(x))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_that_can_give_what_is_asked_learns_to(kind: type[nn.Module], bias: bool) -> None:
    torch.manual_seed(0)
    wanted, layer = (kind(4, 3, 3, padding=1, stride=2, bias=bias) for _ in range(2))
    inputs = [torch.rand(1, 4, 16, 16) for _ in range(12)]

    def error() -> float:
        pairs = zip(inputs, goals, strict=True)
        return sum(float((layer(x) - y).square().sum()) for x, y in pairs)

    with torch.no_grad():
        goals = [wanted(x) for x in inputs]
        before = error()
        _fit(layer, inputs, goals, torch.Generator().manual_seed(0))
        assert error() < 1e-3 * before


def test_layers_that_pruning_has_not_reached_are_left_as_they_are() -> None:
    torch.manual_seed(0)
    teacher = fx.symbolic_trace(nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3))).eval())
    student = deepcopy(teacher)
    with torch.no_grad():
        student.get_submodule("1").weight[0] = 0  # as if its first channel had gone
    refit(student, teacher, {}, [[torch.rand(1, 4, 8, 8)] for _ in range(4)], seed=0)
    for name, same in (("0", True), ("1", False), ("2", False)):
        pair = (net.get_submodule(name).weight for net in (student, teacher))
        assert torch.equal(*pair) is same, name
