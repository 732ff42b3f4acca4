"""Training for 8 bits: it rounds as a runtime does, teaches to bear that, and leaves no trace."""

from __future__ import annotations

import csv
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput
from edgeanim.core.parsing import parse
from edgeanim.core.progress import SILENT
from edgeanim.models.animator import Animator, load_animator
from edgeanim.models.nets.blocks import ConvNorm, Convolution, fold_batch_norm
from edgeanim.models.train import train
from edgeanim.models.training.batches import draw_batch, load_material
from edgeanim.models.training.checkpoint import config_digest
from edgeanim.models.training.config import Phase, TrainConfig
from edgeanim.models.training.fake_quant import FakeQuant, fake_quantize, fake_quantize_weight
from edgeanim.models.training.losses import motion_weight, multiscale_l1
from edgeanim.models.training.qat import inconsistency, qat_step
from edgeanim.models.training.run import build_networks
from edgeanim.models.training.schedule import schedule
from edgeanim.models.training.stages import make
from tests.models.tiny_training import CONFIG, TINY, KillAfter, Killed

PHASE = Phase(60, batch=4, sizes=(64,), learning_rate=3e-3)
WEIGHTS = replace(CONFIG.losses, consistency=100.0)
FLOATS = st.floats(-50, 50, width=32)


def qat_alone(start, phase=PHASE, checkpoint_every=30):
    config = replace(CONFIG, start=start, regions=(), generator=(), qat=(phase,), losses=WEIGHTS)
    return replace(config, ema=0.9, checkpoint_every=checkpoint_every)


@pytest.fixture(scope="module")
def rounded(trained, tmp_path_factory):
    return train(qat_alone(trained), tmp_path_factory.mktemp("qat"))


def batch_of(key, count=8):
    return draw_batch(load_material(CONFIG.data, SILENT), CONFIG.data, 64, count, (9, key))


def errors(animator, batch):
    """How far the rounded networks are from the float ones, with ranges found anew, and these from
    the driving frames."""
    fake_quant = FakeQuant(animator.eval())
    with torch.no_grad():
        with fake_quant.observed():
            make(animator, batch_of(1))
        with fake_quant.rounded():
            made = make(animator, batch)
        wanted = make(animator, batch)
        weight = motion_weight(batch.still, batch.driving, 4.0)
        error = multiscale_l1(wanted.frame, batch.driving, weight)
        return float(inconsistency(made, wanted, batch)), float(error)


def test_the_stage_brings_rounded_networks_nearer_to_float_ones_on_pairs_never_seen(
    trained, rounded
):
    batch = batch_of(2, 32)
    before, after = (errors(load_animator(folder), batch) for folder in (trained, rounded))
    assert after[0] < 0.7 * before[0]
    assert after[1] < 1.02 * before[1]  # and not by animating less


def test_a_killed_stage_goes_on_to_the_identical_result(trained, tmp_path):
    config = qat_alone(trained, replace(PHASE, steps=12, batch=2), checkpoint_every=3)
    train(config, tmp_path / "whole")
    for steps in (4, 5):
        with pytest.raises(Killed):
            train(config, tmp_path / "cut", KillAfter(steps))
    train(config, tmp_path / "cut")
    for name in ("animator.safetensors", "checkpoint/rounding.safetensors"):
        expected, found = (load_file(tmp_path / run / name) for run in ("whole", "cut"))
        assert all(torch.equal(value, expected[key]) for key, value in found.items()), name


def test_the_stage_keeps_the_statistics_of_norms_and_names_and_types_of_what_is_saved(
    trained, rounded
):
    before, after = (load_file(folder / "animator.safetensors") for folder in (trained, rounded))
    assert after.keys() == before.keys() == Animator(TINY).state_dict().keys()
    for name, value in after.items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]) == ("running" in name or "tracked" in name), name
    with (rounded / "losses.csv").open() as stream:
        terms = {row["term"] for row in csv.DictReader(stream)}
    assert {"pixels", "regions", "consistency"} <= terms
    assert not {"adversarial", "discriminator"} & terms


def test_after_the_stage_the_weights_lie_on_no_grid(rounded):
    values = load_animator(rounded).generator.mix8[0].weight[0].flatten()
    assert len(values.unique()) == len(values)


def test_rounding_ends_with_its_block_even_by_an_error():
    animator = Animator(TINY).eval()
    fake_quant, batch = FakeQuant(animator), batch_of(0, 2)
    keys = list(animator.state_dict())
    with torch.no_grad():
        plain = make(animator, batch)
        with fake_quant.observed():
            assert torch.equal(make(animator, batch).frame, plain.frame)
        with fake_quant.rounded():
            assert not torch.equal(make(animator, batch).frame, plain.frame)
            assert list(animator.state_dict()) == keys
        with pytest.raises(Killed), fake_quant.rounded():
            raise Killed
        assert torch.equal(make(animator, batch).frame, plain.frame)
        assert torch.equal(make(deepcopy(animator), batch).frame, plain.frame)


def test_a_step_finds_every_range_and_is_float32_whatever_the_precision():
    networks = build_networks(replace(CONFIG, precision="bfloat16"))
    losses = qat_step(networks, batch_of(0, 2), CONFIG.losses)
    assert losses["consistency"] > 0
    state = networks.fake_quant.state_dict()
    count = sum(isinstance(part, Convolution) for part in networks.animator.modules())
    assert state["low"].shape == state["high"].shape == (count,)
    assert bool(((state["low"] <= 0) & (state["high"] > 0)).all())
    assert int(state["passes"]) == 1
    parameters = networks.animator.parameters()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in parameters)


def test_ranges_are_united_at_first_and_averaged_then():
    layer = Convolution(1, 1, 1)
    fake_quant = FakeQuant(layer)
    for peak in (3.0, 1.0, *[2.0] * 18):
        with fake_quant.observed():
            layer(torch.tensor([-0.5, peak]).view(1, 1, 1, 2))
    assert (float(fake_quant.low), float(fake_quant.high)) == (-0.5, 3.0)
    with fake_quant.observed():
        layer(torch.tensor([0.5, 4.0]).view(1, 1, 1, 2))
    assert float(fake_quant.low) == pytest.approx(-0.495)  # the range holds zero
    assert float(fake_quant.high) == pytest.approx(3.01)
    with fake_quant.observed():
        layer(torch.tensor([0.0, torch.inf]).view(1, 1, 1, 2))
    assert float(fake_quant.high) == pytest.approx(3.01)


@given(arrays.arrays(np.float32, 24, elements=FLOATS), st.floats(-40, 0), st.floats(0, 40))
def test_values_are_rounded_as_u8_whose_zero_is_exact(x, low, high):
    low, high = np.float32(low), np.float32(high)
    x[0] = 0
    scale = max((high - low) / np.float32(255), np.float32(1e-12))
    zero = np.rint(-low / scale)
    steps = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
    found = fake_quantize(*(torch.from_numpy(np.array(part)) for part in (x, low, high))).numpy()
    assert found[0] == 0
    # Exactly between two steps either is right: a division and a product by 1 / s differ there.
    undecided = np.abs(np.abs(x / scale - np.rint(x / scale)) - 0.5) < 1e-3
    allowed = scale * (1e-4 + undecided)
    assert (np.abs(found - steps * scale) <= allowed).all()


@given(arrays.arrays(np.float32, (3, 2, 2, 2), elements=FLOATS))
def test_weights_are_rounded_as_s8_symmetric_per_channel(weight):
    scale = np.maximum(np.abs(weight).max((1, 2, 3), keepdims=True), 1e-12) / np.float32(127)
    found = fake_quantize_weight(torch.from_numpy(weight)).numpy()
    undecided = np.abs(np.abs(weight / scale - np.rint(weight / scale)) - 0.5) < 1e-3
    wanted = np.rint(weight / scale) * scale
    assert (np.abs(found - wanted) <= scale * (1e-4 + undecided)).all()


def test_rounding_a_weight_and_folding_a_norm_may_change_places():
    block = ConvNorm(3, 4).eval()
    block[1].weight.data = torch.tensor([0.5, -2.0, 1.0, 0.1])
    one, other = deepcopy(block), fold_batch_norm(deepcopy(block))
    one[0].weight.data = fake_quantize_weight(one[0].weight.data)
    folded = fold_batch_norm(one)[0].weight
    torch.testing.assert_close(folded, fake_quantize_weight(other[0].weight), atol=1e-6, rtol=1e-5)


def test_gradients_pass_rounding_and_stop_where_a_value_is_clamped():
    x = torch.tensor([-3.0, -0.5, 0.0, 0.7, 3.0], requires_grad=True)
    fake_quantize(x, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    weight = torch.randn(2, 3, 3, 3, requires_grad=True)
    fake_quantize_weight(weight).sum().backward()
    assert bool((weight.grad == 1).all())


def test_the_stage_comes_last_and_begins_with_the_averaged_weights(tmp_path):
    phase = Phase(3, batch=2, sizes=(64,))
    config = replace(
        CONFIG, regions=(phase,), generator=(phase,), qat=(Phase(1, 2, (64,), 1e-9),), ema=0.9
    )
    assert [step.stage for step in schedule(config)] == ["regions"] * 3 + ["generator"] * 3 + [
        "qat"
    ]
    train(replace(config, qat=()), tmp_path / "two")
    train(config, tmp_path / "three")
    expected = load_file(tmp_path / "two" / "animator.safetensors")
    for name, value in load_file(tmp_path / "three" / "checkpoint/animator.safetensors").items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=0)


def test_the_stage_is_configured_strictly():
    data = {"start": "f", "regions": [], "generator": [], "qat": [{"steps": 5}]}
    config = parse(TrainConfig, data, where="train.toml")
    assert config.qat == (Phase(5),)
    for wrong, says in (
        ({"generator": [], "qat": [{"steps": 5}]}, "at least one phase"),
        ({"start": "f", "generator": []}, "at least one phase"),
        ({"qat": [{"step": 5}]}, "Did you mean 'steps'"),
        ({"losses": {"consistence": 1}}, "Did you mean 'consistency'"),
    ):
        with pytest.raises(BadInput, match=says):
            parse(TrainConfig, wrong, where="train.toml")


def test_trainings_without_the_stage_can_be_resumed_whatever_its_settings():
    weights = replace(CONFIG.losses, consistency=1.0)
    assert config_digest(replace(CONFIG, losses=weights)) == config_digest(CONFIG)
    assert config_digest(replace(CONFIG, qat=(PHASE,))) != config_digest(CONFIG)
