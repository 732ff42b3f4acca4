"""The course of a training: how fast each network learns, when the discriminator joins, what is
averaged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgeanim.models.train import train
from edgeanim.models.training.checkpoint import Ema
from edgeanim.models.training.config import Phase
from edgeanim.models.training.schedule import schedule
from tests.models.tiny_training import CONFIG, SHORT


def test_a_phase_begins_gently_and_ends_at_a_tenth_of_its_peak():
    config = replace(CONFIG, generator=(Phase(400, learning_rate=1e-3), Phase(9)))
    rates = [step.rate for step in schedule(config) if step.stage == "generator"][:400]
    assert rates[0] == pytest.approx(1e-3 / 50, rel=1e-3)
    assert rates.index(max(rates)) in range(45, 50)
    assert 0.95e-3 < max(rates) <= 1e-3
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.parametrize(("gan_from", "alone"), [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_regions_learn_slower_beside_the_generator_and_the_discriminator_joins_late(
    tmp_path, monkeypatch, gan_from, alone
):
    seen = []

    def spy(networks, batch, weights, *, joint, adversarial):  # noqa: ARG001
        finder, maker, judge = (
            optimizer.param_groups[0]["lr"]
            for optimizer in (
                networks.regions_optimizer,
                networks.generator_optimizer,
                networks.discriminator_optimizer,
            )
        )
        assert maker == judge == pytest.approx(4 * finder)
        seen.append(adversarial)
        return {"pixels": 0.0}

    monkeypatch.setattr("edgeanim.models.training.run.generator_step", spy)
    train(replace(SHORT, gan_from=gan_from), tmp_path)
    assert seen == [False] * alone + [True] * (8 - alone)


def test_young_averages_follow_faster_and_counts_are_not_averaged():
    module = nn.BatchNorm2d(1)
    ema = Ema(module, 0.9)
    for step, kept in ((0, 0.1), (5, 0.4), (1000, 0.9)):
        ema.restart(module)
        before = ema.state["weight"].item()
        with torch.no_grad():
            module.weight += 1
            module.num_batches_tracked += 1
        ema.update(module, step)
        assert ema.state["weight"].item() == pytest.approx(before + 1 - kept)
        assert ema.state["num_batches_tracked"] == module.num_batches_tracked


def test_an_average_is_its_own_and_starts_from_what_the_module_holds():
    module = nn.Linear(1, 1)
    ema = Ema(module, 0.9)
    with torch.no_grad():
        module.weight += 1
    assert ema.state["weight"].item() == pytest.approx(module.weight.item() - 1)
    ema.restart(module)
    assert torch.equal(ema.state["weight"], module.weight)
