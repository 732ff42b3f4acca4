"""Wide depthwise convolutions in bands: the same numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeanim.graph.pytorch.bands import MOST_TAPS, in_bands


@settings(max_examples=25)
@given(
    kernel=st.tuples(st.integers(2, 12), st.integers(2, 12)).filter(
        lambda k: k[0] * k[1] > MOST_TAPS
    ),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    size=st.tuples(st.integers(12, 17), st.integers(12, 17)),
    bias=st.booleans(),
)
def test_bands_give_the_same(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int],
    size: tuple[int, int],
    bias: bool,
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, kernel, stride, pads, groups=4, bias=bias)
    net = nn.Sequential(nn.Identity(), layer)
    x = torch.rand(2, 4, *size)
    with torch.no_grad():
        wanted = net(x)
        assert in_bands(net) == 1
        torch.testing.assert_close(net(x), wanted)
    widths = [m.kernel_size[0] * m.kernel_size[1] for m in net.modules() if hasattr(m, "groups")]
    assert max(widths) <= MOST_TAPS


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 5, groups=4),
        nn.Conv2d(4, 4, 7, groups=2),
        nn.Conv2d(4, 8, 7, groups=4),
        nn.Conv2d(4, 4, 7, groups=4, dilation=2),
        nn.Conv2d(4, 4, (1, 31), groups=4),
        nn.Conv2d(4, 4, 7, groups=4, padding=3, padding_mode="reflect"),
    ],
    ids=["narrow", "grouped", "with a multiplier", "dilated", "too wide a row", "reflecting"],
)
def test_others_stay(layer: nn.Conv2d) -> None:
    net = nn.Sequential(layer)
    assert in_bands(net) == 0
    assert net[0] is layer
