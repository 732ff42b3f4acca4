"""Channels that can only go together, and that only those go which were meant."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import fx, nn

from edgeanim.quantize.pruning.channels import PrunedGroup
from edgeanim.quantize.pruning.surgeon import Surgeon, apply_groups

PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
EIGHT = torch.zeros(1, 8, 8, 8)
relu = torch.relu


def traced(forward: Callable[..., object], **layers: tuple[int, int]) -> fx.GraphModule:
    """A module with 3x3 convolutions called `layers`, traced; one called `each` is depthwise."""

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.full((3, 1, 1), 0.5))
            self.scale = nn.Parameter(torch.linspace(1, 2, 8).reshape(8, 1, 1))
            self.gain = nn.Parameter(torch.arange(11.0).reshape(1, 11, 1, 1))
            self.register_buffer("grid", torch.ones(1, 2, 8, 8))
            for name, (c_in, c_out) in layers.items():
                groups = c_in if name == "each" else 1
                self.add_module(name, nn.Conv2d(c_in, c_out, 3, padding=1, groups=groups))

    torch.manual_seed(0)
    Net.forward = forward
    return fx.symbolic_trace(Net().eval())


def free(module: fx.GraphModule, *example: torch.Tensor) -> tuple[str, ...]:
    """The convolutions that have channels which can go."""
    return tuple(name for group in Surgeon(module, example).groups() for name in group.given_by)


def test_channels_that_something_else_counts_on_are_not_free() -> None:
    def shifted(self, x, y):  # type: ignore[no-untyped-def]
        return self.c(self.a(x) + y)

    def shifted_sum(self, x, y):  # type: ignore[no-untyped-def]
        return self.c(y + self.a(x) + self.b(x))

    def largest(self, x):  # type: ignore[no-untyped-def]
        return self.c(self.b(x) * torch.amax(self.a(x), (1, 2, 3), True))

    def tied(self, x):  # type: ignore[no-untyped-def]
        return self.c(self.a(x) + self.b(x)), self.b(x)

    def joined(self, x, y):  # type: ignore[no-untyped-def]
        return self.c(torch.cat([self.a(x), y], 1))

    def mixed(self, x):  # type: ignore[no-untyped-def]
        y = torch.transpose(torch.reshape(self.a(x), (1, 2, 4, 8, 8)), 1, 2)
        return self.c(torch.reshape(y, (1, 8, 8, 8)))

    def every_second(self, x):  # type: ignore[no-untyped-def]
        return self.c(self.a(x)[:, ::2])

    def stacked(self, x):  # type: ignore[no-untyped-def]
        y = torch.softmax(torch.reshape(self.a(x), (1, 8, 64)), 2)
        return self.c(torch.reshape(y, (1, 8, 8, 8)))

    assert free(traced(shifted, a=(3, 8), c=(8, 3)), PICTURE, EIGHT) == ()
    assert free(traced(shifted_sum, a=(3, 8), b=(3, 8), c=(8, 3)), PICTURE, EIGHT) == ()
    assert free(traced(largest, a=(3, 8), b=(3, 8), c=(8, 3)), PICTURE) == ("b",)
    assert "b" not in free(traced(tied, a=(3, 8), b=(3, 8), c=(8, 3)), PICTURE)
    assert free(traced(joined, a=(3, 8), c=(16, 3)), PICTURE, EIGHT) == ("a",)
    assert free(traced(mixed, a=(3, 8), c=(8, 3)), PICTURE) == ()
    assert free(traced(every_second, a=(3, 8), c=(4, 3)), PICTURE) == ()
    assert free(traced(stacked, a=(3, 8), c=(8, 3)), PICTURE) == ()


def picture_first(self: Any, x: Any) -> Any:
    return self.c(torch.cat([x, relu(self.a(x))], 1))


def between_constants(self: Any, x: Any) -> Any:
    return self.c(torch.cat([self.grid, relu(self.a(x)), self.grid], 1))


def behind_a_mean(self: Any, x: Any) -> Any:
    y = relu(self.a(x - self.mean))
    return self.c(torch.cat([y, relu(self.b(y))], 1))


def one_joined_to_joined(self: Any, x: Any) -> Any:
    y = relu(self.a(x))
    return self.c(torch.cat([torch.cat([x, y], 1), relu(self.b(y))], -3))


def scaled(self: Any, x: Any) -> Any:
    y = relu(self.a(x)) * self.scale
    return self.c(torch.cat([x, y], 1) * self.gain)


def joined_then_each(self: Any, x: Any) -> Any:
    return self.c(relu(self.each(torch.cat([x, relu(self.a(x)), relu(self.b(x))], 1))))


def twice(self: Any, x: Any) -> Any:
    y, z = relu(self.a(x)), relu(self.b(x))
    return self.c(torch.cat([y, z, y], 1)), self.d(torch.cat([z, y], 1))


def under_a_mask(self: Any, x: Any) -> Any:
    y = relu(self.a(x))
    mask = torch.sigmoid(self.b(y))
    return self.c(y * mask + (1 - mask) * relu(self.d(x))), mask


def on_each_element(self: Any, x: Any) -> Any:
    y = self.a(x)
    return self.c(torch.sin(y * (torch.erf(y / 2) + 1)))


def where_it_is_large(self: Any, x: Any) -> Any:
    y = self.a(x)
    return self.c(torch.where(torch.gt(y, 0.5), y**2, torch.atan(y)))


def excited(self: Any, x: Any) -> Any:
    y = relu(self.a(x))
    best = torch.maximum(torch.mean(y, (2, 3), True), torch.amax(y, (2, 3), True))
    return self.c(y * torch.sigmoid(self.d(relu(self.b(best)))))


@pytest.mark.parametrize(
    ("forward", "layers", "freed"),
    [
        (on_each_element, {"a": (3, 8), "c": (8, 3)}, {"a": {"c": 1}}),
        (where_it_is_large, {"a": (3, 8), "c": (8, 3)}, {"a": {"c": 1}}),
        (
            excited,
            {"a": (3, 8), "b": (8, 4), "d": (4, 8), "c": (8, 3)},
            {"a": {"b": 1, "c": 1}, "b": {"d": 1}},
        ),
        (picture_first, {"a": (3, 8), "c": (11, 3)}, {"a": {"c": 1}}),
        (between_constants, {"a": (3, 8), "c": (12, 3)}, {"a": {"c": 1}}),
        (
            behind_a_mean,
            {"a": (3, 8), "b": (8, 4), "c": (12, 3)},
            {"a": {"b": 1, "c": 1}, "b": {"c": 1}},
        ),
        (
            one_joined_to_joined,
            {"a": (3, 8), "b": (8, 4), "c": (15, 3)},
            {"a": {"b": 1, "c": 1}, "b": {"c": 1}},
        ),
        (scaled, {"a": (3, 8), "c": (11, 3)}, {"a": {"c": 1}}),
        (
            joined_then_each,
            {"a": (3, 8), "b": (3, 5), "each": (16, 16), "c": (16, 3)},
            {"a": {"each": 1, "c": 1}, "b": {"each": 1, "c": 1}},
        ),
        (
            twice,
            {"a": (3, 8), "b": (3, 4), "c": (20, 3), "d": (12, 3)},
            {"a": {"c": 2, "d": 1}, "b": {"c": 1, "d": 1}},
        ),
        (
            under_a_mask,
            {"a": (3, 8), "b": (8, 1), "d": (3, 8), "c": (8, 3)},
            {"a": {"b": 1, "c": 1}},
        ),
    ],
)
def test_channels_that_are_zero_go_without_a_trace(
    forward: Callable[..., object],
    layers: dict[str, tuple[int, int]],
    freed: dict[str, dict[str, int]],
) -> None:
    module = traced(forward, **layers)
    groups = Surgeon(module, [PICTURE]).groups()
    found = {g.root: {n: len(at[0]) for n, at in g.taken_by.items()} for g in groups}
    assert found == freed
    with torch.no_grad():
        for group in groups:
            for name, places in group.given_by.items():
                layer = module.get_submodule(name)
                gone = [*places[1], *places[-1]]
                layer.weight[gone] = 0
                layer.bias[gone] = 0
        if "each" in layers:
            module.get_submodule("each").bias.zero_()
        wanted = module(PICTURE)
        pruned = deepcopy(module)
        surgeon = Surgeon(pruned, [PICTURE])
        surgeon.cut([strand for g in groups for strand in (g.strands[1], g.strands[-1])])
        made = pruned(PICTURE)
    for want, given in zip(
        *([y] if torch.is_tensor(y) else y for y in (wanted, made)), strict=True
    ):
        torch.testing.assert_close(given, want, rtol=0, atol=1e-5)


def test_channels_pass_a_reflected_border() -> None:
    from edgeanim.graph.pytorch.converters.shape import PicturePad

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 8, 1)
            self.pad = PicturePad("reflect", [1, 1], [1, 1], (8, 8))
            self.c = nn.Conv2d(8, 3, 3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.c(self.pad(relu(self.a(x))))

    class Tracer(fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, m: nn.Module, name: str) -> bool:
            return isinstance(m, PicturePad) or super().is_leaf_module(m, name)

    net = Net()
    assert free(fx.GraphModule(net, Tracer().trace(net)), PICTURE) == ("a",)


def test_a_group_of_another_module_is_refused() -> None:
    module = traced(picture_first, a=(3, 8), c=(11, 3))
    with pytest.raises(IndexError, match="no channel 8"):
        apply_groups(module, [PICTURE], [PrunedGroup("a", (), (8,), 9, 8)])
    with pytest.raises(KeyError):
        apply_groups(module, [PICTURE], [PrunedGroup("q", (), (1,), 9, 8)])
