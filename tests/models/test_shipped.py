"""What ships is whole, is what its files say, and does better than repeating the still."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.evaluation.networks import Networks
from edgeanim.models.evaluation.score import Shot, score_set
from edgeanim.models.evaluation.sets import evaluate
from edgeanim.models.export import load_shipped, shipped_folder
from edgeanim.models.performances import PERFORMANCES
from edgeanim.models.regions import COUNT, MOTION_VALUES, REGIONS, SKELETON
from edgeanim.models.shipped_files import shipped, shipped_tracks
from edgeanim.models.showcase import (
    FPS,
    FRAMES,
    SEEDS,
    exact_motion,
    main,
    perform,
    showcase_still,
)
from edgeanim.models.training.config import load_train_config
from edgeanim.runtime.transfer import BodyMotion, RelativeMotion


@pytest.fixture(scope="module")
def animator():
    return load_shipped()


def test_the_weights_are_the_product_of_the_shipped_configuration(animator):
    paths = sorted(shipped_folder().glob("train_*.toml"), key=lambda path: int(path.stem[6:]))
    first, *later = (load_train_config(path) for path in paths)
    assert first.start is None
    assert later
    assert all(part.start is not None for part in later)
    # Networks are fully convolutional: at which size they run is chosen when they are shipped.
    sizes = {"size": animator.config.size}
    models = [replace(part.model, **sizes) for part in (first, *later)]
    assert models[-1] == replace(AnimatorConfig(), **sizes) == animator.config
    # A part may be wider than the one that it starts from, never narrower.
    for before, after in itertools.pairwise(models):
        assert all(a <= b for a, b in zip(widths(before), widths(after), strict=True))


def widths(config):
    return (*config.regions, *config.encoder, *config.generator)


def test_the_still_is_the_one_that_the_package_draws():
    with shipped("still.png") as path:
        still = cv2.imread(str(path))[:, :, ::-1]
    assert still.shape == (256, 256, 3)
    assert np.array_equal(still, showcase_still())


def test_showing_into_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 3


@pytest.mark.parametrize("name", PERFORMANCES)
def test_a_performance_moves_and_ends_where_it_began(name):
    performance = PERFORMANCES[name]
    for part, pose in performance.pose(1.0).items():
        assert pose.angle == pytest.approx(performance.pose(0.0)[part].angle, abs=1e-6)
    pictures = perform(performance, frames=6).pictures.astype(int)
    assert max(np.abs(picture - pictures[0]).mean() for picture in pictures) > 0.05


@pytest.mark.parametrize("name", ["wave", "walk", "sway"])
def test_a_puppets_motion_becomes_anothers_along_the_skeleton(name, monkeypatch):
    """A pose means the same to every puppet, so there is a true answer."""
    performance = PERFORMANCES[name]
    driver = exact_motion(performance, frames=5)
    joints = SKELETON.named(REGIONS)
    displaced, jointed = [], []
    for seed in (6_000_011, 6_000_013):
        monkeypatch.setitem(SEEDS, performance.kind, seed)
        true = exact_motion(performance, frames=5)
        by_displacement = RelativeMotion(true[0], driver[0])
        by_skeleton = BodyMotion(true[0], driver[0], joints)
        for now, wanted in zip(driver[1:], true[1:], strict=True):
            for made, carry in ((displaced, by_displacement), (jointed, by_skeleton)):
                made.append(np.linalg.norm(carry(now)[:, :2] - wanted[:, :2], axis=1).mean())
    assert np.mean(jointed) < 0.85 * np.mean(displaced)


def test_every_track_moves_and_is_a_motion_of_our_regions():
    assert set(shipped_tracks()) == set(PERFORMANCES)
    for name in shipped_tracks():
        with shipped(f"{name}.npz") as path, np.load(path, allow_pickle=False) as file:
            values, fps = file["values"], file["fps"]
        assert values.shape == (FRAMES, COUNT, MOTION_VALUES)
        assert values.dtype == np.float32
        assert fps == FPS
        assert np.isfinite(values).all()
        assert np.ptp(values, axis=0).max() > 0.02


def test_a_track_is_the_exact_motion_of_the_regions_that_the_performer_has():
    for name, moving in {"talk": REGIONS.index("mouth"), "blink": REGIONS.index("eyes")}.items():
        with shipped(f"{name}.npz") as path, np.load(path, allow_pickle=False) as file:
            values = file["values"]
        every = 6  # the motion of so many times fewer frames is that of every sixth frame
        some = exact_motion(PERFORMANCES[name], frames=FRAMES // every)
        np.testing.assert_allclose(some, values[::every], atol=1e-5)
        # The height of the region, the last value of its affine: mouth and eyes open and close.
        assert values[:, moving, 5].min() < 0.7 * values[:, moving, 5].max()
        arms = [i for i, region in enumerate(REGIONS) if "arm" in region]
        assert not np.ptp(values[:, arms], axis=0).any()


def test_the_animator_wins_back_part_of_what_the_still_loses_on_unseen_puppets(animator):
    (score,) = evaluate(Networks(animator), puppets=6, size=256)
    assert score.won > 0.25
    assert score.won > score.won_affine
    assert score.miou is not None
    assert score.miou > 0.6


@pytest.mark.parametrize("name", ["wave", "sway"])
def test_arms_that_move_leave_no_halo_on_a_flat_backdrop(animator, name):
    sequence = perform(PERFORMANCES[name], 12)
    score = score_set(Networks(animator), name, [Shot(sequence, 0, (3, 4, 5, 6))], 256)
    assert score.affine.tint > 20
    assert score.animator.tint < 2
