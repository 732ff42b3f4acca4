"""Channels that are split, gated, shuffled and grouped go as well, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from edgeanim.quantize.pruning.macs import count_macs, macs_by_layer
from edgeanim.quantize.pruning.surgeon import Surgeon, apply_groups

SIZE = 8


def excited(c: int, _: int) -> Any:
    """Scaled by two linear layers on its means."""

    def excite(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        scales = torch.sigmoid(b(torch.relu(a(torch.mean(x, (2, 3), False)))))
        return x * torch.reshape(scales, (1, c, 1, 1))

    return excite, [nn.Linear(c, 6), nn.Linear(6, c)], c, 1


def in_a_row(c: int, size: int) -> Any:
    """A style, passed on along a single axis."""

    def move(x: Tensor, a: nn.Module) -> Tensor:
        row = torch.reshape(torch.mean(a(x), (2, 3), True), (8,))
        return F.interpolate(torch.reshape(row, (1, 8, 1, 1)), size=(size, size))

    return move, [conv(c, 8)], 8, 1


def looked_up(c: int, size: int) -> Any:
    """A warp as the importer writes it: pixels looked up in flat planes, weighed and added."""

    def warp(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        rows = torch.transpose(torch.reshape(a(x), (8, size * size)), 0, 1)
        share = torch.reshape(torch.sigmoid(b(x)), (1, size * size))
        place = torch.floor(torch.reshape(share, (-1,)) * (size * size - 1)).to(torch.int64)
        near = torch.transpose(F.embedding(place, rows), 0, 1) * share
        far = torch.transpose(F.embedding(place // 2, rows), 0, 1) * (1 - share)
        return torch.relu(torch.reshape(near + far, (1, 8, size, size)))

    return warp, [conv(c, 8), conv(c, 1)], 8, 1


def in_rows(c: int, size: int) -> Any:
    """A residual sum over flat planes, one value of it repeated over the other's pixels."""

    def add(x: Tensor, a: nn.Module) -> Tensor:
        rows = torch.reshape(a(x), (1, c, size * size))
        mean = torch.reshape(torch.mean(x, (2, 3), True), (1, c, 1))
        return torch.reshape(rows + mean, (1, c, size, size))

    return add, [conv(c, c)], c, 1


def located(c: int, size: int) -> Any:
    """Scaled by the mean places of its channels: sums over two axes of five."""

    def locate(x: Tensor, a: nn.Module) -> Tensor:
        heat = torch.reshape(torch.softmax(torch.flatten(a(x), 2), 2), (1, 8, size, size, 1))
        steps = torch.reshape(torch.flatten(x[:, :1]), (1, 1, size, size, 1))
        places = torch.sum(heat * steps, (2, 3))
        return torch.relu(x * torch.reshape(torch.mean(places, (1, 2)), (1, 1, 1, 1)))

    return locate, [conv(c, 8)], c, 1


def by_a_number(c: int, _: int) -> Any:
    """Scaled by one number without axes."""

    def scale(x: Tensor, a: nn.Module) -> Tensor:
        number = torch.reshape(torch.mean(torch.sigmoid(a(x)), (2, 3), True), ())
        return x * torch.reshape(number, (1, 1, 1, 1))

    return scale, [conv(c, 1)], c, 1


class Grown(nn.Module):  # type: ignore[misc]
    """A net that `steps` of `STEPS` have made, each with convolutions of its own as it needs them,
    between a stem to 8 channels and a head to 3."""

    def __init__(self, steps: list[str], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.channels, self.size = 3, SIZE
        self.parts: list[tuple[Callable[..., Tensor], list[nn.Module]]] = []
        self.grow("plain")
        for step in steps:
            self.grow(step)
        self.grow("head")

    def grow(self, step: str) -> None:
        number = len(self.parts)
        move, layers, channels, scale = STEPS[step](self.channels, self.size)
        for i, layer in enumerate(layers):
            self.add_module(f"{step}_{number}_{i}", layer)
        self.parts.append((move, layers))
        self.channels, self.size = channels, round(self.size * scale)

    def forward(self, x: Tensor) -> Tensor:
        for move, layers in self.parts:
            x = move(x, *layers)
        return x


def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)


def plain(c: int, _: int) -> Any:
    return lambda x, a: torch.relu(a(x)), [conv(c, 8)], 8, 1


def head(c: int, _: int) -> Any:
    return lambda x, a: a(x), [conv(c, 3)], 3, 1


def residual(c: int, _: int) -> Any:
    return lambda x, a, b: x + b(torch.relu(a(x))), [conv(c, 8), conv(8, c)], c, 1


def gated(c: int, _: int) -> Any:
    def glu(x: Tensor, a: nn.Module) -> Tensor:
        one, other = torch.split(a(x), [8, 8], 1)
        return one * torch.sigmoid(other)

    return glu, [conv(c, 16)], 8, 1


def sliced(c: int, _: int) -> Any:
    def glu(x: Tensor, a: nn.Module) -> Tensor:
        y = a(x)
        return F.elu(y[:, 0:8]) * torch.sigmoid(y[:, 8:16])

    return glu, [conv(c, 16)], 8, 1


def modulated(c: int, _: int) -> Any:
    def spade(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        scale, shift = torch.split(b(torch.relu(a(x))), [c, c], 1)
        return F.instance_norm(x) * (1 + scale) + shift

    return spade, [conv(c, 8), conv(8, 2 * c)], c, 1


def halves(c: int, _: int) -> Any:
    """A part of 6 and one of 2, each with a layer of its own, and both again."""

    def apart(x: Tensor, a: nn.Module, b: nn.Module, d: nn.Module) -> Tensor:
        few, many = torch.split(a(x), [2, 6], 1)
        return torch.cat([torch.relu(b(few)), many, torch.relu(d(many))], 1)

    return apart, [conv(c, 8), conv(2, 4), conv(6, 6)], 16, 1


def shuffled(c: int, _: int) -> Any:
    return lambda x, a: torch.relu(F.pixel_shuffle(a(x), 2)), [conv(c, 16)], 4, 2


def shuffled_blocks(c: int, size: int) -> Any:
    """DepthToSpace in its mode DCR, written out as torch writes it."""

    def shuffle(x: Tensor, a: nn.Module) -> Tensor:
        y = torch.permute(torch.reshape(a(x), (1, 2, 2, 4, size, size)), (0, 3, 4, 1, 5, 2))
        return torch.relu(torch.reshape(y, (1, 4, 2 * size, 2 * size)))

    return shuffle, [conv(c, 16)], 4, 2


def shuffled_last(c: int, size: int) -> Any:
    """The same as the importer writes it, channels last."""

    def shuffle(x: Tensor, a: nn.Module) -> Tensor:
        y = torch.reshape(torch.permute(a(x), (0, 2, 3, 1)), (size, size, 2, 8))
        y = torch.reshape(torch.transpose(y, 1, 2), (1, 2 * size, 2 * size, 4))
        return torch.permute(y, (0, 3, 1, 2))

    return shuffle, [conv(c, 16)], 4, 2


def unshuffled(c: int, _: int) -> Any:
    """Between pooled maps, so that the size stays."""

    def unshuffle(x: Tensor, a: nn.Module) -> Tensor:
        return F.pixel_unshuffle(F.interpolate(a(x), scale_factor=2.0), 2)

    return unshuffle, [conv(c, 4)], 16, 1


def grouped(c: int, _: int) -> Any:
    """Four groups of two, with a bias that goes with them."""
    layer = conv(8, 12, groups=4)
    nn.init.zeros_(layer.bias)
    return lambda x, a, b: torch.relu(b(torch.relu(a(x)))), [conv(c, 8), layer], 12, 1


STEPS: dict[str, Callable[[int, int], Any]] = {
    "plain": plain, "head": head, "residual": residual, "gated": gated, "sliced": sliced,
    "modulated": modulated, "halves": halves, "shuffled": shuffled,
    "shuffled blocks": shuffled_blocks, "shuffled last": shuffled_last,
    "unshuffled": unshuffled, "grouped": grouped, "in a row": in_a_row,
    "excited": excited, "looked up": looked_up, "in rows": in_rows, "located": located,
    "by a number": by_a_number,
}  # fmt: skip


def traced(steps: list[str], seed: int = 0) -> fx.GraphModule:
    return fx.symbolic_trace(Grown(steps, seed).eval())


def check_that_silence_goes(module: fx.GraphModule, chosen: dict[str, list[int]]) -> None:
    """The net with these strands of each group silent gives what it gives without them."""
    example = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    groups = Surgeon(module, [example]).groups()
    gone = []
    for group in groups:
        strands = [i for i in chosen.get(group.name, ()) if i < group.count]
        gone += [group.strands[i] for i in strands]
        for name, places in group.given_by.items():
            outputs = [i for strand in strands for i in places[strand]]
            module.get_submodule(name).weight.data[outputs] = 0
            module.get_submodule(name).bias.data[outputs] = 0
    pruned, again = deepcopy(module), deepcopy(module)
    Surgeon(pruned, [example]).cut(gone)
    with torch.no_grad():
        torch.testing.assert_close(pruned(example), module(example), rtol=0, atol=1e-5)
    before, after = (macs_by_layer(net, [example]) for net in (module, pruned))
    assert all(after[name] <= before[name] for name in before)
    cut = [g.without(set(g.strands) - set(gone)) for g in groups]
    apply_groups(again, [example], [group for group in cut if group is not None])
    shapes = {name: tensor.shape for name, tensor in pruned.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    assert again.code == pruned.code


@pytest.mark.parametrize(
    ("step", "freed"),
    [
        ("gated", {"plain_0_0": (8, {1}), "gated_1_0": (8, {2})}),
        ("sliced", {"plain_0_0": (8, {1}), "sliced_1_0": (8, {2})}),
        ("modulated", {"plain_0_0": (8, {1, 2}), "modulated_1_0": (8, {1})}),
        ("shuffled", {"plain_0_0": (8, {1}), "shuffled_1_0": (4, {4})}),
        ("shuffled blocks", {"plain_0_0": (8, {1}), "shuffled blocks_1_0": (4, {4})}),
        ("shuffled last", {"plain_0_0": (8, {1}), "shuffled last_1_0": (4, {4})}),
        ("unshuffled", {"plain_0_0": (8, {1}), "unshuffled_1_0": (4, {1})}),
        ("grouped", {"plain_0_0": (8, {1}), "grouped_1_0": (4, {2})}),
        ("excited", {"plain_0_0": (8, {1}), "excited_1_0": (6, {1})}),
        ("looked up", {"plain_0_0": (8, {1}), "looked up_1_0": (8, {1})}),
        ("in rows", {"plain_0_0": (8, {1})}),
        ("located", {"plain_0_0": (7, {1})}),
        ("by a number", {"plain_0_0": (8, {1})}),
        (
            "halves",
            {
                "plain_0_0": (8, {1}), "halves_1_0": (2, {1}), "halves_1_0+1": (6, {1}),
                "halves_1_1": (4, {1}), "halves_1_2": (6, {1}),
            },
        ),
    ],
)  # fmt: skip
def test_a_strand_has_all_that_goes_with_a_channel(
    step: str, freed: dict[str, tuple[int, set[int]]]
) -> None:
    """Of each group: how many strands it has, and how many outputs of its convolutions each."""
    module = traced([step])
    groups = Surgeon(module, [torch.rand(1, 3, SIZE, SIZE)]).groups()
    found = {g.name: (g.count, {len(at[0]) for at in g.given_by.values()}) for g in groups}
    assert found == freed
    before = count_macs(module, [torch.rand(1, 3, SIZE, SIZE)])
    check_that_silence_goes(module, {name: [1] for name in freed})
    Surgeon(module, [torch.rand(1, 3, SIZE, SIZE)]).cut([g.strands[0] for g in groups])
    assert count_macs(module, [torch.rand(1, 3, SIZE, SIZE)]) < before


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from(sorted(set(STEPS) - {"head"})), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_whatever_goes_leaves_the_rest_as_it_was(steps: list[str], seed: int) -> None:
    module = traced(steps, seed)
    groups = Surgeon(module, [torch.rand(1, 3, SIZE, SIZE)]).groups()
    assert groups
    generator = torch.Generator().manual_seed(seed)
    chosen = {
        g.name: torch.randperm(g.count, generator=generator)[: seed % g.count].tolist()
        for g in groups
    }
    check_that_silence_goes(module, chosen)


class Normed(nn.Module):  # type: ignore[misc]
    """A norm of what a convolution makes, before another."""

    def __init__(self, form: str, groups: int, channels: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.form, self.groups = form, groups
        self.stem, self.head = conv(3, channels), conv(channels, 3)
        self.norm: nn.Module = {
            "group": lambda: nn.GroupNorm(groups, channels),
            "rows": lambda: nn.InstanceNorm1d(groups),
            "layer": lambda: nn.LayerNorm(channels),
        }[form]()
        for parameter in self.norm.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.form == "group":
            x = self.norm(x)
        elif self.form == "rows":
            rows = self.norm(torch.reshape(x, (1, self.groups, -1)))
            x = torch.reshape(rows, (1, self.stem.out_channels, SIZE, SIZE))
        else:
            x = torch.permute(self.norm(torch.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))
        return self.head(torch.relu(x))


@settings(max_examples=30, deadline=None)
@given(
    form=st.sampled_from(["group", "rows", "layer"]),
    groups=st.integers(2, 4),
    each=st.integers(2, 5),
    data=st.data(),
)
def test_a_norm_is_one_of_what_is_left(form: str, groups: int, each: int, data: Any) -> None:
    """Every group has lost as many channels, and what stays is normed as by a smaller norm."""
    whole = Normed(form, groups, groups * each)
    example = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    module = fx.symbolic_trace(whole)
    (group,) = Surgeon(module, [example]).groups()
    assert group.count == (groups * each if form == "layer" else each)
    gone = data.draw(st.sets(st.integers(0, group.count - 1), min_size=1, max_size=group.count - 1))
    places = group.given_by["stem"]
    stays = sorted(c for i, at in enumerate(places) if i not in gone for c in at)
    smaller = Normed(form, groups, len(stays))
    with torch.no_grad():
        for layer in ("stem", "norm"):
            for name, parameter in smaller.get_submodule(layer).named_parameters():
                parameter.copy_(whole.get_parameter(f"{layer}.{name}")[stays])
        smaller.head.weight.copy_(whole.head.weight[:, stays])
        smaller.head.bias.copy_(whole.head.bias)
    Surgeon(module, [example]).cut([group.strands[i] for i in gone])
    with torch.no_grad():
        torch.testing.assert_close(module(example), smaller(example))
        shapes = {name: tensor.shape for name, tensor in smaller.state_dict().items()}
        assert {name: tensor.shape for name, tensor in module.state_dict().items()} == shapes


def test_a_norm_whose_rows_are_channels_keeps_them() -> None:
    whole = Normed("rows", 8, 8)
    module = fx.symbolic_trace(whole)
    assert not Surgeon(module, [torch.rand(1, 3, SIZE, SIZE)]).groups()


def test_a_norm_over_groups_with_a_picture_among_them_keeps_them() -> None:
    class Joined(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.head = conv(3, 9), nn.GroupNorm(4, 12), conv(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(torch.cat([self.stem(x), x], 1)))

    module = fx.symbolic_trace(Joined().eval())
    assert not Surgeon(module, [torch.rand(1, 3, SIZE, SIZE)]).groups()
