"""Channels go in the order in which the layers that read them can make up for them."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeanim.quantize.pruning import elimination, layer_fit
from edgeanim.quantize.pruning.channels import Places
from edgeanim.quantize.pruning.elimination import (
    Problem,
    compensated_weights,
    elimination_order,
    problem_of,
    read_moments,
    set_weights,
)

LAYERS = {
    "patches": lambda: nn.Conv2d(6, 5, 3, padding=1),
    "patches without bias": lambda: nn.Conv2d(6, 5, (3, 2), stride=2, bias=False),
    "1 x 1": lambda: nn.Conv2d(6, 5, 1),
    "1 x 1 without bias": lambda: nn.Conv2d(6, 5, 1, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1),
    "transposed without bias": lambda: nn.ConvTranspose2d(6, 5, 2, stride=2, bias=False),
}


def random_problem(seed: int, channels: int, taps: int, fixed: int) -> tuple[Problem, Tensor]:
    """A random one, with what its weights meet: the group's channels, then columns that stay."""
    generator = torch.Generator().manual_seed(seed)
    count = channels * taps + fixed
    mixing = torch.randn(count, count, generator=generator, dtype=torch.float64)
    met = torch.randn(4 * count, count, generator=generator, dtype=torch.float64) @ mixing
    weights = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    columns = torch.arange(channels * taps).reshape(channels, taps)
    return Problem(met.T @ met / len(met), weights, columns, share=1.0 + seed % 3), met


def places(*copies: int, count: int) -> Places:
    """Where a group's channels are that begin at each of these inputs."""
    return tuple(tuple(first + i for first in copies) for i in range(count))


def error(problem: Problem, weights: Tensor) -> float:
    off = weights - problem.weights
    return problem.share * float((off * (problem.moments @ off)).sum())


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    channels=st.integers(2, 6),
    taps=st.integers(1, 3),
    fixed=st.integers(1, 3),
    count=st.integers(1, 5),
)
def test_what_is_made_up_is_the_least_squares_of_what_is_left(
    seed: int, channels: int, taps: int, fixed: int, count: int
) -> None:
    problem, met = random_problem(seed, channels, taps, fixed)
    gone = list(np.random.default_rng(seed).permutation(channels)[: min(count, channels)])
    made = compensated_weights(problem, gone)
    out = problem.columns[gone].flatten()
    assert not made[out].any()
    stays = [i for i in range(len(made)) if i not in set(out.tolist())]
    best = np.linalg.lstsq(met[:, stays].numpy(), (met @ problem.weights).numpy(), rcond=None)[0]
    np.testing.assert_allclose(made[stays].numpy(), best, rtol=1e-5, atol=1e-7)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    channels=st.integers(2, 5),
    taps=st.integers(1, 3),
    readers=st.integers(1, 2),
)
def test_the_next_to_go_is_the_one_that_all_readers_together_miss_least(
    seed: int, channels: int, taps: int, readers: int
) -> None:
    problems = [random_problem(seed + 1000 * i, channels, taps, 1 + i)[0] for i in range(readers)]
    order = elimination_order(problems)
    assert sorted(order) == list(range(channels))
    for position, channel in enumerate(order):
        gone = order[:position]

        def missed(other: int, gone: list[int] = gone) -> float:
            return sum(error(p, compensated_weights(p, [*gone, other])) for p in problems)

        left = [c for c in range(channels) if c not in gone]
        assert missed(channel) == pytest.approx(min(map(missed, left)), rel=1e-5, abs=1e-9)


def test_a_channel_that_another_repeats_goes_first_however_loud_it_is() -> None:
    met = torch.randn(500, 4, dtype=torch.float64)
    met = torch.cat([met, 3 * met[:, 1:2]], 1)
    weights = torch.full((5, 2), 0.1, dtype=torch.float64)
    weights[4] = 100.0
    moments = met.T @ met / len(met) + 1e-9 * torch.eye(5, dtype=torch.float64)
    problem = Problem(moments, weights, torch.arange(5)[:, None], 1.0)
    assert elimination_order([problem])[0] in (1, 4)
    assert error(problem, compensated_weights(problem, [4])) < 1e-3


def told_by_others(constant: float) -> Tensor:
    """Pictures of six channels, of which the last is the sum of the first two and a constant."""
    x = torch.rand(40, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    return torch.cat([x, x[:, :1] + x[:, 1:2] + constant], 1)


def lost_without_the_last(layer: nn.Module, x: Tensor) -> Tensor:
    """How much `layer` makes otherwise of pictures without their last channel, if it makes up for
    that; as a share of its spread. Its group are the last four."""
    net = nn.Sequential(layer)
    before = net(x).detach()
    stats = read_moments(net, [(x[i : i + 1],) for i in range(len(x))], torch.Generator())["0"]
    set_weights(
        layer,
        stats.taps,
        compensated_weights(problem_of(layer, stats, places(2, count=4)), [3]),
    )
    silent = x.clone()
    silent[:, 5] = 0.0
    return (net(silent).detach() - before).square().mean() / before.var()


@pytest.mark.parametrize("most", [1152, 0], ids=["by taps", "whole channels"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_makes_the_same_without_a_channel_that_others_tell(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elimination, "_MOST_ROWS", most)
    monkeypatch.setattr(layer_fit, "_RIDGE", 1e-4)  # hardly any
    torch.manual_seed(1)
    assert float(lost_without_the_last(LAYERS[kind](), told_by_others(0.0))) < 1e-3


@pytest.mark.parametrize("most", [1152, 0], ids=["by taps", "whole channels"])
def test_a_constant_goes_into_the_bias(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination, "_MOST_ROWS", most)
    monkeypatch.setattr(layer_fit, "_RIDGE", 1e-4)  # hardly any
    torch.manual_seed(1)
    assert float(lost_without_the_last(nn.Conv2d(6, 5, 3), told_by_others(2.0))) < 1e-3


@pytest.mark.parametrize("kind", LAYERS)
def test_the_weights_of_a_problem_are_those_of_its_layer(kind: str) -> None:
    layer, x = LAYERS[kind](), told_by_others(0.0)
    again = deepcopy(layer)
    stats = read_moments(nn.Sequential(layer), [(x,)], torch.Generator())["0"]
    set_weights(again, stats.taps, problem_of(layer, stats, places(2, count=4)).weights)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), parameter)


def test_a_channel_that_the_frames_hardly_show_is_not_the_first_to_go() -> None:
    """Other frames may show it, so its weights count as well as what they make here."""
    layer, x = nn.Conv2d(3, 2, 1), torch.rand(1, 3, 16, 16)
    x[:, 0] *= 0.1
    with torch.no_grad():
        layer.weight[:] = torch.tensor([1.0, 0.15, 1.0])[:, None, None]
    stats = read_moments(nn.Sequential(layer), [(x,)], torch.Generator())["0"]
    assert elimination_order([problem_of(layer, stats, places(0, count=3))]) == [1, 0, 2]


def test_the_channels_of_a_group_may_be_read_twice() -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(7, 2, 1)
    x = torch.rand(1, 3, 16, 16)
    net = nn.Sequential(layer)
    joined = torch.cat([x, torch.rand(1, 1, 16, 16), x], 1)
    problem = problem_of(
        layer, read_moments(net, [(joined,)], torch.Generator())["0"], places(0, 4, count=3)
    )
    set_weights(layer, 1, compensated_weights(problem, [1]))
    assert not layer.weight[:, [1, 5]].any()
    assert bool(layer.weight[:, [0, 2, 3, 4, 6]].any(0).all())
