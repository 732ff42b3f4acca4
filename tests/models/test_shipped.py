"""What ships is whole, is what its files say, and does better than repeating the still."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.evaluation.sets import evaluate
from edgeanim.models.export import load_shipped, shipped_folder
from edgeanim.models.regions import COUNT, MOTION_VALUES
from edgeanim.models.shipped_files import shipped, shipped_tracks
from edgeanim.models.showcase import FPS, FRAMES, TRACKS, showcase_still
from edgeanim.models.training.config import load_train_config


@pytest.fixture(scope="module")
def animator():
    return load_shipped()


def test_the_weights_are_the_product_of_the_shipped_configuration(animator):
    config = load_train_config(shipped_folder() / "train.toml")
    assert config.model == animator.config == AnimatorConfig()


def test_the_still_is_the_one_that_the_package_draws():
    with shipped("still.png") as path:
        still = cv2.imread(str(path))[:, :, ::-1]
    assert still.shape == (256, 256, 3)
    assert np.array_equal(still, showcase_still())


def test_every_track_moves_and_is_a_motion_of_our_regions():
    assert set(shipped_tracks()) == set(TRACKS)
    for name in shipped_tracks():
        with shipped(f"{name}.npz") as path, np.load(path, allow_pickle=False) as file:
            values, fps = file["values"], file["fps"]
        assert values.shape == (FRAMES, COUNT, MOTION_VALUES)
        assert values.dtype == np.float32
        assert fps == FPS
        assert np.isfinite(values).all()
        assert np.ptp(values, axis=0).max() > 0.02


def test_the_animator_wins_back_part_of_what_the_still_loses_on_unseen_puppets(animator):
    (score,) = evaluate(animator, puppets=6)
    assert score.won > 0.05
    assert score.won > score.won_affine
    assert score.miou is not None
    assert score.miou > 0.4
