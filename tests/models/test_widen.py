"""A wider animator begins with what a narrower one learned, and has room to learn more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeanim.models.animator import Animator, contract_of
from edgeanim.models.config import AnimatorConfig
from edgeanim.models.nets.blocks import ConvBlock
from edgeanim.models.training.widen import fits, widen
from tests.models.tiny_training import TINY

WIDER = replace(TINY, regions=(16, 16, 24, 24, 32), encoder=(16, 24, 24), generator=(16, 24, 24))


def widths(count):
    return st.tuples(*[st.integers(8, 24)] * count)


NARROW = st.builds(
    AnimatorConfig,
    st.just("narrow"),
    st.just(64),
    regions=widths(5),
    encoder=widths(3),
    generator=widths(3),
)


def more(config, extra):
    """The architecture with so many channels more at each place."""
    numbers = iter(extra)
    return replace(
        config,
        **{
            name: tuple(width + next(numbers) for width in getattr(config, name))
            for name in ("regions", "encoder", "generator")
        },
    )


def lived_in(config, seed=0):
    """An animator whose every number matters: no norm is as it began, no bias is zero."""
    torch.manual_seed(seed)
    animator = Animator(config)
    with torch.no_grad():
        for name, value in animator.state_dict().items():
            if "running_var" in name:
                value.uniform_(0.5, 2.0)
            elif value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.1)
        animator.generator.head.weight.normal_(std=0.05)
    return animator


def run(animator, seed=1, count=1):
    """Everything that an animator makes of two random frames."""
    generator = torch.Generator().manual_seed(seed)
    still, driving, cue = torch.rand(3, count, 3, 64, 64, generator=generator)
    mask, at_rest = animator.regions(still, torch.zeros_like(cue))
    predicted = animator.regions.predict(driving, cue)
    features = animator.encoder(still, mask)
    motion = predicted.masks_and_motion()[1]
    return [*predicted, mask, at_rest, *animator.generator(*features, at_rest, motion)]


def assert_same(made, expected):
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@settings(max_examples=20)
@given(NARROW, st.lists(st.integers(0, 16), min_size=11, max_size=11).filter(any), st.booleans())
def test_a_wider_animator_computes_just_what_the_narrower_one_does(config, extra, training):
    narrow, wide = lived_in(config), Animator(more(config, extra))
    state = narrow.state_dict()
    assert fits(state, wide)
    wide.load_state_dict(widen(state, wide))
    with torch.no_grad():
        assert_same(*(run(animator.train(training), count=2) for animator in (wide, narrow)))


def test_the_maps_between_the_networks_are_the_narrower_ones_and_new_ones_after_them():
    narrow, wide = lived_in(TINY).eval(), Animator(WIDER).eval()
    wide.load_state_dict(widen(narrow.state_dict(), wide))
    spec = contract_of(TINY).graph("encode")
    inputs = [torch.rand(tensor.shape) for tensor in spec.inputs]
    with torch.no_grad():
        *maps, backdrop = zip(wide.encoder(*inputs), narrow.encoder(*inputs), strict=True)
        assert torch.equal(*backdrop)
        for one, other in maps:
            assert one.shape[1] > other.shape[1]
            torch.testing.assert_close(one[:, : other.shape[1]], other, atol=1e-4, rtol=1e-4)


def test_widening_changes_neither_the_weights_nor_the_animator_it_is_given():
    narrow, wide = lived_in(TINY), Animator(WIDER)
    state = narrow.state_dict()
    before = [{k: v.clone() for k, v in each.items()} for each in (state, wide.state_dict())]
    widened = widen(state, wide)
    for value in widened.values():
        value.zero_()
    for kept, now in zip(before, (state, wide.state_dict()), strict=True):
        assert all(torch.equal(kept[name], value) for name, value in now.items())


def descend(animator, steps, rate=1e-2):
    """Learn to make one random picture of another; returns the losses."""
    optimizer = torch.optim.AdamW(animator.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        outputs = run(animator.train(), count=2)
        loss = torch.stack([(value - 0.3).square().mean() for value in outputs]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_new_channels_get_gradients_and_learn():
    narrow, wide = lived_in(TINY), Animator(WIDER)
    wide.load_state_dict(widen(narrow.state_dict(), wide))
    trained = narrow.state_dict()
    weights = {name: p for name, p in wide.named_parameters() if p.dim() == 4}
    # Nothing else is exactly zero: these lead from new channels to trained ones.
    silent = {name: weight.detach() == 0 for name, weight in weights.items()}
    assert sum(bool(mask.any()) for mask in silent.values()) > 20
    descend(wide, 1)
    for name, weight in weights.items():
        assert (weight.grad[silent[name]] != 0).float().mean() > 0.5 or not silent[name].any(), name
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    losses = descend(wide, 30)
    assert losses[-1] < 0.7 * losses[0]
    for name, weight in weights.items():
        fresh = weight.detach()[len(trained[name]) :]
        change = (fresh - before[name][len(trained[name]) :]).flatten(1)
        assert (change.abs().amax(1) > 1e-3).float().mean() > 0.7 or not len(fresh), name


def test_weights_fit_only_what_is_wider_somewhere_and_narrower_nowhere():
    state = Animator(TINY).state_dict()
    assert fits(state, Animator(WIDER))
    assert fits(state, Animator(replace(TINY, generator=(8, 16, 24))))
    assert not fits(state, Animator(TINY))
    assert not fits(Animator(WIDER).state_dict(), Animator(TINY))
    assert not fits(state, Animator(replace(TINY, encoder=(16, 16, 16), generator=(8, 16, 8))))


@settings(max_examples=20)
@given(NARROW, st.lists(st.integers(0, 8), min_size=11, max_size=11))
def test_of_two_architectures_at_most_one_fits_the_other(config, extra):
    one, other = Animator(config), Animator(more(config, extra))
    assert fits(one.state_dict(), other) == any(extra)
    assert not fits(other.state_dict(), one)


@pytest.mark.parametrize(
    "wide",
    [
        nn.Sequential(ConvBlock(3, 16), ConvBlock(16, 16)),
        nn.Sequential(),
        nn.ModuleDict({"first": ConvBlock(3, 16)}),
        nn.Sequential(ConvBlock(3, 16, kernel=5)),
        nn.Sequential(ConvBlock(3, 8, kernel=5)),
        nn.Sequential(nn.Sequential(nn.Linear(3, 16, bias=False), nn.BatchNorm2d(16))),
    ],
    ids=["deeper", "shallower", "other names", "wider kernels too", "wider kernels", "other kind"],
)
def test_weights_of_other_networks_do_not_fit(wide):
    assert fits(nn.Sequential(ConvBlock(3, 8)).state_dict(), nn.Sequential(ConvBlock(3, 16)))
    assert not fits(nn.Sequential(ConvBlock(3, 8)).state_dict(), wide)
