"""Each term of the losses grows with what it is named for, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

from edgeanim.models.nets.regions import Prediction
from edgeanim.models.regions import BACKGROUND, COUNT, REGIONS, TIPS, UNKNOWN
from edgeanim.models.training.batches import Batch
from edgeanim.models.training.config import LossWeights
from edgeanim.models.training.losses import (
    dissimilarity,
    feature_matching,
    multiscale_l1,
    segmentation,
    smoothness,
)
from edgeanim.models.training.run import build_networks
from edgeanim.models.training.stages import (
    Made,
    descend,
    generator_step,
    reconstruction,
    regions_step,
)
from tests.models.tiny_training import CONFIG

SIZE, GRID = 64, 16
WEIGHTS = LossWeights()
LEFT, RIGHT = (REGIONS.index(f"upper arm, {side}") for side in ("left", "right"))


def a_batch(known=1.0, **values):
    """Two equal grey pictures, all backdrop, of which everything is known."""
    picture, grid = torch.full((1, 3, SIZE, SIZE), 0.5), torch.zeros(1, 1, GRID, GRID)
    labels, pairs = torch.full((1, GRID, GRID), BACKGROUND), torch.zeros(1, 2, GRID, GRID)
    batch = Batch(
        still=picture,
        driving=picture,
        cue=torch.zeros_like(picture),
        label_still=labels,
        label_driving=labels,
        direction_still=pairs,
        direction_driving=pairs,
        flow=pairs,
        visible=grid + 1,
        flow_weight=grid + 1,
        visible_weight=grid + 1,
        known=torch.full((1, 1), known),
    )
    return replace(batch, **values)


def made_of(batch, **values):
    """What a perfect animator makes of such a batch."""
    scores = torch.zeros(2, COUNT + 1, GRID, GRID)
    scores[:, BACKGROUND] = 50.0
    made = Made(
        predicted=Prediction(scores, torch.zeros(2, 2, GRID, GRID)),
        motion=torch.zeros(2, COUNT, 6),
        flow=batch.flow,
        alpha=batch.visible,
        colour=torch.zeros(1, 3, GRID, GRID),
        frame=batch.driving,
        warped=batch.driving,
    )
    return replace(made, **values)


def terms_of(batch, weights=WEIGHTS, **made):
    terms = reconstruction(made_of(batch, **made), batch, weights, joint=True)
    return {name: float(value) for name, value in terms.items()}


def off_in(picture, columns, by=0.2):
    changed = picture.clone()
    changed[..., columns] += by
    return changed


HALVES = (slice(0, GRID // 2), slice(GRID // 2, GRID))


def test_a_perfect_frame_costs_nothing():
    assert all(value == pytest.approx(0, abs=1e-3) for value in terms_of(a_batch()).values())


def test_an_error_counts_more_where_something_moves():
    still = off_in(a_batch().still, slice(0, 8))
    batch = a_batch(still=still)
    here, there = (
        off_in(batch.driving, columns) for columns in (slice(0, 8), slice(SIZE - 8, SIZE))
    )
    even = replace(WEIGHTS, moving=0.0)
    for term in ("pixels", "structure"):
        assert terms_of(batch, frame=here)[term] > 2 * terms_of(batch, frame=there)[term]
        alike = terms_of(batch, even, frame=here)[term], terms_of(batch, even, frame=there)[term]
        assert alike[0] == pytest.approx(alike[1], rel=1e-2)


@pytest.mark.parametrize("tip", TIPS)
def test_an_error_counts_more_where_the_driving_frame_shows_a_tip(tip):
    labels = a_batch().label_driving.clone()
    labels[:, :, : GRID // 4] = tip
    wrong = off_in(a_batch().driving, slice(0, SIZE // 4))
    plain, of_still, of_driving = (
        terms_of(batch, frame=wrong)["pixels"]
        for batch in (a_batch(), a_batch(label_still=labels), a_batch(label_driving=labels))
    )
    assert of_still == plain
    assert of_driving == pytest.approx(plain * 2 / 1.25, rel=1e-3)


def test_the_warp_is_held_to_what_the_still_shows():
    visible = a_batch().visible.clone()
    visible[..., HALVES[0]] = 0
    batch = a_batch(visible=visible)
    hidden, shown = (off_in(batch.driving, slice(4 * h.start, 4 * h.stop)) for h in HALVES)
    assert terms_of(batch, warped=hidden)["warp"] == pytest.approx(0)
    assert terms_of(batch, warped=shown)["warp"] == pytest.approx(WEIGHTS.warp * 0.2, rel=1e-3)


def test_the_flow_is_held_to_what_is_believed_and_more_so_where_something_moves():
    flow_weight = a_batch().flow_weight.clone()
    flow_weight[..., HALVES[0]] = 0
    batch = a_batch(flow_weight=flow_weight)
    assert terms_of(batch, flow=off_in(batch.flow, HALVES[0], 0.1))["flow"] == 0
    off = terms_of(batch, flow=off_in(batch.flow, HALVES[1], 0.1))["flow"]
    assert off == pytest.approx(WEIGHTS.flow * 0.2, rel=1e-3)
    # A quarter of what is believed moves: with five times the say it has more than half.
    moving = a_batch(flow=off_in(batch.flow, slice(GRID - 2, GRID), 0.5), flow_weight=flow_weight)
    off = terms_of(moving, flow=off_in(moving.flow, slice(GRID - 2, GRID), 0.1))["flow"]
    assert off == pytest.approx(WEIGHTS.flow * 0.2 * 5 / 8, rel=1e-3)


def test_alpha_is_held_to_what_is_known_of_visibility():
    visible, visible_weight = a_batch().visible.clone(), a_batch().visible_weight.clone()
    visible[..., HALVES[0]] = 0
    visible_weight[..., HALVES[1]] = 0
    batch = a_batch(visible=visible, visible_weight=visible_weight)
    wrong_where_unknown, wrong = visible.clone(), visible.clone()
    wrong_where_unknown[..., HALVES[1]] = 0
    wrong[..., HALVES[0]] = 1
    assert terms_of(batch, alpha=wrong_where_unknown)["visibility"] < 1e-3
    assert terms_of(batch, alpha=wrong)["visibility"] > 1


def test_directions_are_held_to_what_is_known_of_parts_only():
    labels = torch.full_like(a_batch().label_still, LEFT)
    predicted = Prediction(made_of(a_batch()).predicted.scores, torch.ones(2, 2, GRID, GRID))
    for known, labelled, expected in ((1, labels, 2.0), (0, labels, 0.0), (1, None, 0.0)):
        batch = a_batch(known, **({} if labelled is None else {"label_driving": labelled}))
        found = terms_of(batch, predicted=predicted)["direction"]
        assert found == pytest.approx(WEIGHTS.regions * expected)


def test_only_a_clip_is_asked_to_be_covered_by_regions_in_part():
    unknown = torch.full_like(a_batch().label_still, UNKNOWN)
    clip = a_batch(0.0, label_still=unknown, label_driving=unknown)
    assert "cover" not in terms_of(a_batch())
    assert terms_of(clip)["cover"] == pytest.approx(0.12)
    covered = Prediction(torch.zeros(2, COUNT + 1, GRID, GRID), torch.zeros(2, 2, GRID, GRID))
    assert terms_of(clip, predicted=covered)["cover"] == 0


def test_smooth_is_what_an_affine_flow_is():
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, GRID)] * 2, indexing="ij")
    affine = torch.stack([0.3 * x - 0.1 * y + 0.2, 0.5 * y + 0.1 * x])[None]
    assert float(smoothness(affine)) < 1e-6
    bent = torch.stack([x.abs(), x * 0])[None]
    assert float(smoothness(bent)) > 1e-3
    assert float(smoothness(bent)) == pytest.approx(float(smoothness(bent.transpose(2, 3))))


def test_an_error_that_averages_out_counts_at_the_finest_scale_only():
    real, weight = torch.full((1, 3, SIZE, SIZE), 0.5), torch.ones(1, 1, SIZE, SIZE)
    checks = (torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2 * 0.4 - 0.2
    assert float(multiscale_l1(real + 0.2, real, weight)) == pytest.approx(0.2, abs=1e-6)
    assert float(multiscale_l1(real + checks, real, weight)) == pytest.approx(0.2 / 3, abs=1e-6)


def test_structure_is_the_ssim_of_uniform_windows():
    rng = np.random.default_rng(0)
    one = rng.uniform(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    two = np.clip(one + rng.normal(0, 0.2, one.shape), 0, 1).astype(np.float32)
    _, ssim = structural_similarity(
        *(each[0].mean(0).astype(np.float64) for each in (one, two)),
        win_size=7,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    even = torch.ones(1, 1, SIZE, SIZE)
    found = float(dissimilarity(torch.from_numpy(one), torch.from_numpy(two), even))
    assert found == pytest.approx(1 - ssim[3:-3:2, 3:-3:2].mean(), abs=1e-4)


def test_a_small_region_that_is_missed_costs_much_and_what_is_unknown_nothing():
    labels = torch.full((1, SIZE, SIZE), BACKGROUND)
    labels[:, :2, :2] = LEFT
    scores = torch.zeros(1, COUNT + 1, SIZE, SIZE)
    scores[:, BACKGROUND] = 9.0
    assert float(segmentation(scores, labels)) > 0.4
    labels[:, :2, :2] = UNKNOWN
    known = float(segmentation(scores, labels))
    assert known < 0.01
    scores[:, LEFT, :2, :2] = 20.0
    assert float(segmentation(scores, labels)) == pytest.approx(known)
    assert float(segmentation(scores, torch.full_like(labels, UNKNOWN))) == 0


def test_features_are_brought_to_those_of_the_real_frame_and_not_the_other_way():
    real, made = (torch.full((1, 2, 4, 4), value, requires_grad=True) for value in (1.0, 3.0))
    loss = feature_matching([real, real], [made, real.detach()])
    loss.backward()
    assert loss.item() == 1.0
    assert real.grad is None
    assert (made.grad > 0).all()


class Sides(nn.Module):
    """Regions that call what is bright the arm of its side of the picture, or the left one."""

    def __init__(self, *, told_apart):
        super().__init__()
        self.told_apart = told_apart
        self.strength = nn.Parameter(torch.tensor(30.0))

    def predict(self, frame, cue):  # noqa: ARG002
        bright = nn.functional.avg_pool2d(frame.mean(1), SIZE // GRID) > 0.5
        left = torch.arange(GRID) < GRID // 2
        if not self.told_apart:
            left = torch.ones_like(left)
        scores = torch.zeros(len(frame), COUNT + 1, GRID, GRID)
        scores[:, LEFT], scores[:, RIGHT] = bright & left, bright & ~left
        scores[:, BACKGROUND] = ~bright
        return Prediction(scores * self.strength, torch.zeros(len(frame), 2, GRID, GRID))


def test_a_mirrored_clip_is_to_have_its_sides_exchanged():
    picture = torch.zeros(1, 3, SIZE, SIZE)
    picture[..., 8:24, 12:28] = 1.0
    unknown = torch.full((1, GRID, GRID), UNKNOWN)
    clip = a_batch(0.0, still=picture, driving=picture, label_still=unknown, label_driving=unknown)
    found = {}
    for told_apart in (True, False):
        networks = build_networks(CONFIG)
        networks.animator.regions = Sides(told_apart=told_apart)
        found[told_apart] = regions_step(networks, clip)["mirror"]
    assert found[True] == pytest.approx(0, abs=1e-3)
    assert found[False] > 0.5


class Judge(nn.Module):
    """A discriminator of one opinion."""

    def __init__(self, opinion):
        super().__init__()
        self.opinion = nn.Parameter(torch.tensor(opinion))

    def forward(self, still, frame):
        return self.opinion + 0 * frame.mean() + still.new_zeros(1, 1, 8, 8), [frame]


@pytest.mark.parametrize("opinion", [-2.0, 3.0])
def test_the_generator_is_rewarded_for_what_counts_as_real(opinion):
    networks = replace(build_networks(CONFIG), discriminator=Judge(opinion))
    batch = a_batch(still=off_in(a_batch().still, slice(0, SIZE)))
    losses = generator_step(networks, batch, WEIGHTS, joint=False, adversarial=True)
    assert losses["adversarial"] == pytest.approx(-WEIGHTS.adversarial * opinion)


@pytest.mark.parametrize("joint", [True, False])
def test_the_regions_learn_from_the_reconstruction_where_that_is_asked_for(joint):
    networks = build_networks(CONFIG)
    before = {name: value.clone() for name, value in networks.animator.state_dict().items()}
    batch = a_batch(still=off_in(a_batch().still, slice(0, SIZE)))
    losses = generator_step(networks, batch, WEIGHTS, joint=joint, adversarial=False)
    changed = {
        name.partition(".")[0]
        for name, value in networks.animator.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == ({"regions"} if joint else set()) | {"encoder", "generator"}
    assert ("regions" in losses) == joint


@pytest.mark.parametrize("slope", [1000.0, float("nan"), float("inf")])
def test_a_step_is_never_long_and_none_is_taken_that_is_not_finite(slope):
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    descend({"a": slope * module.weight.sum()}, module, optimizer)
    expected = -0.5 if np.isfinite(slope) else 0.0
    assert module.weight.item() == pytest.approx(expected, abs=1e-3)
