"""The discriminator is asked only where something can be told: where the driving frame moves."""

from __future__ import annotations

import pytest
import torch

from edgeanim.models.nets.discriminator import Discriminator
from edgeanim.models.training.losses import hinge_discriminator, moving_patches


def pictures(seed: int = 0, side: int = 64):
    """A still, and the same with another left upper quarter."""
    still = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    driving = still.clone()
    driving[:, :, : side // 2, : side // 2] = 1 - driving[:, :, : side // 2, : side // 2]
    return still, driving


@pytest.mark.parametrize("side", [64, 192])
def test_patches_are_moving_where_the_frames_differ(side):
    still, driving = pictures(side=side)
    scores, _ = Discriminator()(still, driving)
    share = moving_patches(still, driving, scores)
    assert share.shape == scores.shape
    half = share.shape[2] // 2
    assert (share[:, :, : half - 1, : half - 1] > 0.9).all()
    assert (share[:, :, half + 1 :, half + 1 :] == 0).all()
    assert not moving_patches(still, still, scores).any()


def test_what_stands_still_has_no_say_in_the_loss():
    share = torch.zeros(1, 1, 4, 4)
    share[..., :2] = 1
    real, made = torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 4, 4), -2.0)
    assert hinge_discriminator(real, made, share) == 0
    wrong = made.clone()
    wrong[..., 2:] = 5.0
    assert hinge_discriminator(real, wrong, share) == 0
    assert hinge_discriminator(made, real, share) == pytest.approx(6.0)
    assert hinge_discriminator(made, real, torch.zeros_like(share)) == 0


def test_it_learns_to_tell_frames_apart_that_differ_in_a_small_part_only():
    torch.manual_seed(0)
    discriminator = Discriminator((8, 8, 8))
    judge = torch.optim.AdamW(discriminator.parameters(), lr=3e-3, betas=(0.5, 0.99))
    losses = []
    for step in range(60):
        still, real = pictures(step)
        made = torch.where(real != still, 0.5, real)
        scores = [discriminator(still, each)[0] for each in (real, made)]
        loss = hinge_discriminator(*scores, moving_patches(still, real, scores[0]))
        judge.zero_grad()
        loss.backward()
        judge.step()
        losses.append(float(loss.detach()))
    # Three quarters of the patches are alike in both: over all of them it could not fall below 1.5.
    assert sum(losses[-5:]) / 5 < 1.0
