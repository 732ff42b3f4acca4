"""What an error costs where graphs are changed together."""

from __future__ import annotations

import pytest
import torch

from edgeanim.quantize.pruning.whole import Played
from edgeanim.quantize.pruning.whole_loss import PlayedLoss


@pytest.mark.parametrize("spread", [0.001, 1.0])
@pytest.mark.parametrize("role", ["flow", "motion:driving"])
def test_a_pixel_of_flow_or_motion_costs_the_same_however_far_they_reach(
    role: str, spread: float
) -> None:
    torch.manual_seed(0)
    goal = spread * torch.randn(1, 2, 8, 8)
    wanted, given = (Played(None, {}, ({role: value},)) for value in (goal, goal + 1 / 128))
    assert float(PlayedLoss([wanted])(given, wanted)) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("side", [32, 128])
def test_the_pixel_is_one_of_the_picture_that_is_warped(side: int) -> None:
    picture = torch.zeros(1, 3, side, side)
    motion = torch.zeros(1, 10, 6)
    wanted, given = (
        Played(picture, {"motion:still": value}, ({},)) for value in (motion, motion + 2 / side)
    )
    assert float(PlayedLoss([wanted])(given, wanted)) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("spread", [0.001, 1.0])
def test_any_other_value_is_held_by_its_own_spread(spread: float) -> None:
    torch.manual_seed(0)
    goal = spread * torch.randn(1, 2, 8, 8)
    off = goal + goal.std(unbiased=False)
    wanted, given = (Played(None, {}, ({"mask": value},)) for value in (goal, off))
    assert float(PlayedLoss([wanted])(given, wanted)) == pytest.approx(0.1, rel=1e-3)


def test_what_is_seen_is_the_finished_frame_alone() -> None:
    torch.manual_seed(0)
    frame, mask = torch.rand(1, 3, 16, 16), torch.rand(1, 2, 4, 4)
    wanted = Played(None, {}, ({"frame": frame, "mask": mask},))
    other_mask = Played(None, {}, ({"frame": frame, "mask": 1 - mask},))
    other_frame = Played(None, {}, ({"frame": 1 - frame, "mask": mask},))
    loss = PlayedLoss([wanted])
    assert float(loss.seen(other_mask, wanted)) == pytest.approx(0, abs=1e-6)
    assert float(loss(other_mask, wanted)) > 0.01
    assert float(loss.seen(other_frame, wanted)) > 0.1


def test_all_is_held_where_no_frame_is_made() -> None:
    torch.manual_seed(0)
    mask = torch.rand(1, 2, 4, 4)
    wanted, given = (Played(None, {}, ({"mask": value},)) for value in (mask, 1 - mask))
    loss = PlayedLoss([wanted])
    assert float(loss.seen(given, wanted)) == float(loss(given, wanted)) > 0
