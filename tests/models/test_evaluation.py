"""Evaluation measures what it says, and shows an untrained animator to be one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from edgeanim.models.animator import Animator
from edgeanim.models.config import AnimatorConfig
from edgeanim.models.data.sequences import puppet_sequence
from edgeanim.models.dataset import DatasetWriter, Origin
from edgeanim.models.evaluation import quality, sets
from edgeanim.models.evaluation.reenact import Reenactment

TINY = AnimatorConfig(
    "tiny", 64, regions=(8, 8, 16, 16, 16), encoder=(8, 16, 16), generator=(8, 16, 16)
)


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
    found, _ = quality.ssim_maps(one, two)
    np.testing.assert_allclose(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.3), st.sampled_from([16, 48, 100, 180]))
def test_ms_ssim_is_one_for_equal_pictures_and_less_for_others(seed, sigma, side):
    one, two = noisy(seed, sigma, side)
    assert quality.ms_ssim(one, one) == pytest.approx(1, abs=1e-5)
    assert 0 <= quality.ms_ssim(one, two) < 1


def test_noise_costs_ms_ssim_less_than_ssim_since_coarse_scales_forgive_it():
    one, two = noisy(0, 0.1, 192)
    assert quality.ms_ssim(one, two) > quality.ssim_maps(one, two)[0].mean()


def test_a_perfect_frame_wins_everything_and_the_repeated_still_nothing():
    still, driving = noisy(3, 0.4)
    area = quality.moving_area(still, driving)
    sums = {"still": quality.QualitySums(), "made": quality.QualitySums()}
    for name, frame in (("still", still), ("made", driving)):
        sums[name].add(frame, driving, area)
        sums[name].add_change(frame - still, driving - still, area)
    perfect, repeated = sums["made"].mean(), sums["still"].mean()
    score = sets.Score("x", 1, repeated, repeated, perfect, None, None, 0.0)
    assert score.won == pytest.approx(1, abs=1e-4)
    assert score.won_affine == 0
    assert perfect.temporal == 0 < repeated.temporal
    assert perfect.psnr_db > 90 > repeated.psnr_db


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
    made = Reenactment(animator, still).make(still, np.zeros_like(still))
    assert np.abs(made.affine - still).max() < 1e-3
    assert 0 <= made.cover <= 1


def test_networks_of_one_size_are_scored_on_pictures_of_another(animator):
    (score,) = sets.evaluate(animator, puppets=1, size=128)
    assert score.frames == 4
    assert score.miou is not None


def test_a_stored_dataset_is_scored_by_kind_on_its_test_split(animator, tmp_path):
    writer = DatasetWriter(tmp_path)
    for seed, split in ((1, "train"), (2, "test"), (3, "test")):
        origin = Origin(f"p{seed}", f"p{seed}", "puppet", "made", "CC0-1.0", str(seed))
        writer.add(origin, puppet_sequence(seed, (0.0, 0.3)), split)
    writer.finish()
    _, stored = sets.evaluate(animator, puppets=1, dataset=tmp_path, size=64)
    assert stored.name == "puppets"
    assert stored.frames == 2 * 2
    assert stored.miou is not None


def test_an_untrained_animator_wins_nothing_back_and_the_table_shows_it(animator):
    (score,) = sets.evaluate(animator, puppets=3, size=64)
    assert score.frames == 12
    assert score.won < 0.2
    assert score.miou is not None
    assert score.miou < 0.3
    assert score.tips is not None
    lines = sets.table([score, score]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| puppets | 12 |")
    assert lines[-1].startswith(f"| mean | 24 | {score.won_affine:.2f} | **{score.won:.2f}** |")
