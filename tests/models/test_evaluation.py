"""Evaluation measures what it says, and shows an untrained animator to be one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from edgeanim.models.ablation import summary
from edgeanim.models.ablation import table as ablation_table
from edgeanim.models.animator import Animator
from edgeanim.models.data.sequences import FrameSequence, puppet_sequence
from edgeanim.models.dataset.form import DatasetWriter, Origin
from edgeanim.models.evaluation import quality, sets
from edgeanim.models.evaluation.disocclusion import ClipDisocclusion
from edgeanim.models.evaluation.networks import Networks, seen
from edgeanim.models.evaluation.score import Score
from edgeanim.models.evaluation.similarity import Reference
from edgeanim.models.markdown import figure
from edgeanim.runtime.pictures import Fit
from tests.models.tiny_training import TINY


def noisy(seed, sigma=0.1, side=48):
    rng = np.random.default_rng(seed)
    one = rng.uniform(0, 1, (3, side, side)).astype(np.float32)
    other = np.clip(one + rng.normal(0, sigma, one.shape), 0, 1).astype(np.float32)
    return one, other


def test_the_ssim_map_is_that_of_wang_2004():
    one, two = noisy(1)
    expected = structural_similarity(
        one,
        two,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )[1].mean(0)
    found = Reference(two).compare(one).ssim
    np.testing.assert_allclose(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.3), st.sampled_from([16, 48, 100, 180]))
def test_ms_ssim_is_one_for_equal_pictures_and_less_for_others(seed, sigma, side):
    one, two = noisy(seed, sigma, side)
    assert Reference(one).compare(one).ms_ssim == pytest.approx(1, abs=1e-5)
    assert 0 <= Reference(one).compare(two).ms_ssim < 1


def test_noise_costs_ms_ssim_less_than_ssim_since_coarse_scales_forgive_it():
    one, two = noisy(0, 0.1, 192)
    found = Reference(one).compare(two)
    assert found.ms_ssim > found.ssim.mean()


@pytest.mark.parametrize(("side", "weight"), [(192, 0.1333 / 1.0001), (48, 0.3001 / 0.6305)])
def test_brightness_counts_in_ms_ssim_at_the_coarsest_scale_alone(side, weight):
    dark, bright = (np.full((3, side, side), level, np.float32) for level in (0.2, 0.8))
    luminance = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    found = Reference(dark).compare(bright)
    assert found.ssim.mean() == pytest.approx(luminance, rel=1e-4)
    assert found.ms_ssim == pytest.approx(luminance**weight, rel=1e-4)


def test_what_is_broad_costs_ms_ssim_more_than_ssim_and_a_negative_everything():
    grain, _ = noisy(2, side=192)
    wave = 0.2 * np.sin(np.arange(192) / 10).astype(np.float32)
    found = Reference(grain / 2 + 0.25 + wave).compare(grain / 2 + 0.25)
    assert found.ms_ssim < found.ssim.mean() - 0.1
    assert Reference(grain).compare(1 - grain).ms_ssim == 0


def judged(made, still, real, left=None):
    """The quality of one made frame."""
    area = quality.moving_area(still, real)
    left = np.ones_like(area) if left is None else left
    sums = quality.QualitySums()
    sums.add(made, quality.Truth(Reference(real), still, area, left))
    sums.add_change(made - still, real - still, area)
    return sums.mean()


def test_a_perfect_frame_wins_everything_and_the_repeated_still_nothing():
    still, driving = noisy(3, 0.4)
    perfect, repeated = (judged(made, still, driving) for made in (driving, still))
    score = Score("x", 1, repeated, repeated, perfect, None, None, 0.0)
    assert score.won == pytest.approx(1, abs=1e-4)
    assert score.won_affine == 0
    assert perfect.temporal == 0 < repeated.temporal
    assert perfect.psnr_db > 90 > repeated.psnr_db


def test_where_nothing_moves_nothing_can_be_won_and_the_means_leave_it_out():
    still, driving = noisy(3, 0.4)
    perfect, repeated = (judged(made, still, driving) for made in (driving, still))
    steady = judged(still, still, still)
    assert (steady.moving, steady.temporal) == (None, None)
    moved = Score("moved", 1, repeated, repeated, perfect, None, None, 0.0, "clips")
    stood = Score("stood", 1, steady, steady, steady, None, None, 0.0, "clips")
    assert (stood.won, stood.won_affine) == (None, None)
    assert len(summary("x", [moved, stood]).won) == 1
    assert summary("x", [moved, stood]).won["clips"] == moved.won
    assert "| x | - | - |" in ablation_table([summary("x", [stood])])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_ghosts_are_the_opacity_at_which_the_still_shows_through(seed, opacity):
    still, driving = noisy(seed, 0.4)
    blend = (opacity * still + (1 - opacity) * driving).astype(np.float32)
    assert judged(blend, still, driving).ghosts == pytest.approx(opacity, abs=1e-4)


def test_what_has_nothing_to_do_with_the_still_is_no_ghost():
    still, driving = noisy(7, 0.4, 96)
    noise = np.random.default_rng(8).normal(0, 0.2, still.shape).astype(np.float32)
    assert abs(judged(driving + noise, still, driving).ghosts) < 0.05


def test_ghosts_are_looked_for_only_where_something_has_left():
    still, driving = noisy(9, 0.4)
    left = np.zeros(still.shape[1:], np.float32)
    assert judged(still, still, driving, left).ghosts is None
    left[:10] = 1
    made = driving.copy()
    made[:, 10:] = still[:, 10:]
    assert judged(made, still, driving, left).ghosts == pytest.approx(0, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.tuples(*[st.floats(-0.3, 0.3)] * 3))
def test_where_something_has_left_the_mean_error_of_the_colour_is_a_tint(seed, tint):
    still, driving = noisy(seed, 0.4)
    left = np.zeros(still.shape[1:], np.float32)
    assert judged(driving, still, driving, left).tint is None
    left[:10] = 1
    made = driving.copy()
    made[:, 10:] = still[:, 10:]  # elsewhere it does not count
    made[:, :10:2] += 0.1  # nor does what is off to both sides alike
    made[:, 1:10:2] -= 0.1
    assert judged(made, still, driving, left).tint == pytest.approx(0, abs=1e-3)
    made[:, :10] += np.array(tint, np.float32)[:, None, None]
    expected = np.abs(tint).mean() * 255
    assert judged(made, still, driving, left).tint == pytest.approx(expected, abs=1e-3)


def block_clip(columns, side=256, width=40):
    """Frames [T, S, S, 3] of a bright block on dark ground, its left edge at each of `columns`."""
    frames = np.full((len(columns), side, side, 3), 40, np.uint8)
    for frame, column in zip(frames, columns, strict=True):
        frame[100:160, column : column + width] = 220
    return sets.FrameSequence("block", frames, tuple(max(0, i - 1) for i in range(len(columns))))


def test_in_a_clip_a_limb_has_left_its_old_place_and_not_its_new_one():
    sequence = block_clip([10, 60, 110, 160, 210])
    area = ClipDisocclusion(sequence, 0, (1, 2, 3, 4)).area(3, 256)
    assert area[100:160, 10:50].all()
    assert not area[100:160, 160:200].any()
    assert area.sum() == 60 * 40


def test_the_grain_of_a_clip_is_no_change():
    sequence = block_clip([10, 60, 110, 160, 210])
    grain = np.random.default_rng(0).integers(-4, 5, sequence.pictures.shape)
    sequence.pictures[:] = sequence.pictures + grain
    area = ClipDisocclusion(sequence, 0, (1, 2, 3, 4)).area(3, 256)
    assert area[100:160, 10:50].all()
    assert area.sum() == 60 * 40


def test_leaving_what_is_behind_the_limb_where_it_should_arrive_makes_no_ghost():
    shot = sets.clip_shot(block_clip([10, 60, 110, 160, 210]))
    still, driving = (
        np.ascontiguousarray(shot.sequence.pictures[i].transpose(2, 0, 1) / np.float32(255))
        for i in (0, 3)
    )
    left = ClipDisocclusion(shot.sequence, 0, shot.drivers).area(3, 256)
    without = driving.copy()
    without[:, :, 160:200] = still[:, :, 160:200]
    faint = driving.copy()
    faint[:, :, 10:50] = 0.7 * driving[:, :, 10:50] + 0.3 * still[:, :, 10:50]
    assert judged(without, still, driving, left).ghosts == 0
    assert judged(faint, still, driving, left).ghosts == pytest.approx(0.3, abs=1e-3)


def test_every_set_has_its_ghosts_and_the_still_is_one(animator):
    (score,) = sets.evaluate(Networks(animator), puppets=2, size=64)
    assert score.still.ghosts == pytest.approx(1)
    assert score.animator.ghosts is not None
    assert np.isfinite(score.animator.ghosts)


def test_nothing_moves_between_equal_pictures_and_noise_below_the_threshold():
    one, _ = noisy(4)
    assert quality.moving_area(one, one).sum() == 0
    assert quality.moving_area(one, one + np.float32(0.02)).sum() == 0


def test_blur_lowers_the_gradient_energy():
    import cv2

    one, _ = noisy(5)
    blurred = np.stack([cv2.GaussianBlur(p, (5, 5), 2) for p in one])
    everywhere = np.ones(one.shape[1:], np.float32)
    energies = (quality.gradient_energy(p, everywhere) for p in (one, blurred))
    assert next(energies) > 2 * next(energies)


@pytest.fixture(scope="module")
def animator():
    torch.manual_seed(0)
    return Animator(TINY).eval()


def test_driven_by_its_own_still_a_picture_hardly_changes(animator):
    still, _ = noisy(6, side=64)
    pair = SimpleNamespace(driving=still, cue=np.zeros_like(still))
    made, _ = Networks(animator).reenact(still, ()).make(pair, pair, 1)
    assert np.abs(made.affine - still).max() < 1e-3
    assert 0 <= made.cover <= 1


@pytest.mark.parametrize("side", [32, 64, 96, 160, 256])
def test_networks_see_pictures_as_the_player_shows_them(side):
    picture, _ = noisy(7, side=side)
    levels = (picture * 255).round().astype(np.uint8)
    fit = Fit.of((side, side), (64, 64))
    shown = fit.to_graph(np.ascontiguousarray(levels.transpose(1, 2, 0)), (64, 64))
    found = seen(levels.astype(np.float32) / 255, 64).numpy()[0].transpose(1, 2, 0)
    assert np.abs(255 * found - shown).max() <= 1.5


def test_networks_of_one_size_are_scored_on_pictures_of_another(animator):
    before = list(animator.state_dict())
    (score,) = sets.evaluate(Networks(animator), puppets=1, size=128)
    assert list(animator.state_dict()) == before  # who asks keeps it as it is
    assert score.frames == 4
    assert score.miou is not None


def test_a_stored_dataset_is_scored_by_kind_on_its_test_split(animator, tmp_path):
    writer = DatasetWriter(tmp_path)
    for seed, split in ((1, "train"), (2, "test"), (3, "test")):
        origin = Origin(f"p{seed}", f"p{seed}", "puppet", "made", "CC0-1.0", str(seed))
        writer.add(origin, puppet_sequence(seed, (0.0, 0.3)), split)
    pictures = np.full((2, 256, 256, 3), 90, np.uint8)
    drawn = Origin("s", "s", "sketch", "made", "CC0-1.0", "s")
    writer.add(drawn, FrameSequence("s", pictures, (0, 0)), "test")
    writer.finish()
    _, stored, others = sets.evaluate(Networks(animator), puppets=1, dataset=tmp_path, size=64)
    assert stored.name == f"{tmp_path.name}/puppets"
    assert stored.frames == 2 * 2
    assert (others.name, others.won) == (f"{tmp_path.name}/sketches", None)
    assert stored.miou is not None


def test_what_rounds_to_nothing_has_no_sign_in_the_table():
    assert [figure(value) for value in (-0.001, -0.006, 0.0, None)] == [
        "0.00",
        "-0.01",
        "0.00",
        "-",
    ]


def test_an_untrained_animator_wins_nothing_back(animator):
    (score,) = sets.evaluate(Networks(animator), puppets=3, size=64)
    assert score.frames == 12
    assert score.won < 0.2
    assert score.miou is not None
    assert score.miou < 0.3
    assert score.tips is not None
