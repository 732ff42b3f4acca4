"""Scenes are the same by seed; what is known of them is true, whoever and whatever is about."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.effects import Effects, random_effects
from edgeanim.models.data.puppets.keyposes import free_action
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE, make_puppet, render
from edgeanim.models.data.puppets.scenes import (
    make_scene,
    read_photographs,
    scene_at_moments,
    scene_sequence,
)
from edgeanim.models.regions import BACKGROUND, COUNT


def scene_seed(wanted):
    return next(seed for seed in range(200) if wanted(make_scene(seed)))


@pytest.fixture(scope="module")
def crowded():
    """A scene with several characters."""
    return scene_seed(lambda scene: len(scene.actors) > 1)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_seed_always_gives_the_same_scene(seed):
    one, two = scene_sequence(seed, (0.1, 0.6)), scene_sequence(seed, (0.1, 0.6))
    assert np.array_equal(one.pictures, two.pictures)
    assert np.array_equal(one.parts.shown, two.parts.shown)
    assert not np.array_equal(one.pictures, scene_sequence(seed + 1, (0.1, 0.6)).pictures)


def test_only_the_main_character_is_named(crowded):
    scene = make_scene(crowded)
    sequence = scene_sequence(crowded, (0.3,))
    main = [actor.named for actor in scene.actors].index(True)
    counts = [len(actor.puppet.parts) for actor in scene.actors]
    start = sum(counts[:main])
    named = np.nonzero(sequence.parts.regions != BACKGROUND)[0]
    assert set(named) == set(range(start, start + counts[main]))
    assert sum(actor.named for actor in scene.actors) == 1
    pair = make_pair(sequence, 0, 1, SIZE)
    others = (sequence.parts.shown[1] != NO_PART) & ~np.isin(sequence.parts.shown[1], named)
    assert others.mean() > 0.003
    assert (pair.label_driving[others[1::4, 1::4]] == BACKGROUND).mean() > 0.9


def test_a_thing_in_front_hides_what_is_behind_it():
    seed = scene_seed(lambda scene: len(scene.things) > 0)
    sequence = scene_sequence(seed, (0.0, 0.5))
    count, parts = len(make_scene(seed).things), sequence.parts
    last = range(len(parts.regions) - count, len(parts.regions))
    assert np.isin(parts.shown[0], list(last)).any()
    # It stands still, whatever moves behind it.
    assert np.array_equal(parts.transforms[0, list(last)], parts.transforms[3, list(last)])


def test_parts_and_transforms_of_scenes_fit_the_pairs_made_of_them():
    for seed in range(300, 306):
        sequence = scene_at_moments(seed, 2)
        assert len(sequence.parts.regions) < NO_PART
        assert (sequence.parts.regions <= COUNT).all()
        assert np.abs(np.linalg.det(sequence.parts.transforms[..., :2])).min() > 1e-4
        pair = make_pair(sequence, 1, 3, 128)
        assert np.isfinite(pair.flow).all()
        assert pair.visible.mean() > 0.5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_free_motion_is_periodic_and_lively_ones_go_further(seed, time):
    puppet = make_puppet(seed)
    still, lively = (
        free_action(np.random.default_rng(seed), puppet, lively=share) for share in (0.0, 1.0)
    )
    for part, value in lively.pose(time + 1).items():
        assert value.angle == pytest.approx(lively.pose(time)[part].angle, abs=1e-6)
    spread = [
        np.ptp([action.pose(t)["head"].angle for t in np.linspace(0, 1, 9)])
        for action in (still, lively)
    ]
    assert spread[0] == pytest.approx(0, abs=1e-9)
    assert spread[1] > 0


def test_effects_leave_what_is_known_alone_and_change_the_picture():
    frame = make_scene(5).frame(0.2, 0)
    assert np.array_equal(Effects().apply(frame, 0), frame.picture)
    for effect in (Effects(blur=1.0), Effects(noise=5.0), Effects(quality=30)):
        changed = effect.apply(frame, 0)
        assert changed.shape == frame.picture.shape
        assert 0 < np.abs(changed.astype(int) - frame.picture).mean() < 20
    shadow = Effects(shadow=(8.0, 8.0, 3.0, 0.5)).apply(frame, 0)
    body = frame.parts != NO_PART
    assert np.array_equal(shadow[body], frame.picture[body])
    assert (shadow[~body].astype(int) <= frame.picture[~body]).all()
    grains = [Effects(noise=5.0).apply(frame, number) for number in (0, 0, 1)]
    assert np.array_equal(grains[0], grains[1])
    assert not np.array_equal(grains[0], grains[2])
    assert any(random_effects(np.random.default_rng(s)).light is not None for s in range(9))


def test_in_a_scene_parts_hide_each_other_as_they_do_in_a_puppet():
    scene = make_scene(scene_seed(lambda scene: len(scene.actors) == 1 and not scene.things))
    (actor,) = scene.actors
    alone = render(actor.puppet, actor.action.pose(0.3))
    assert np.array_equal(scene.frame(0.3, 0).parts, alone.parts)


def test_things_stand_where_they_are_said_to():
    scene = make_scene(scene_seed(lambda scene: len(scene.things) > 0))
    transforms = scene.frame(0.0, 0).transforms[-len(scene.things) :]
    for (sprite, place), transform in zip(scene.things, transforms, strict=True):
        np.testing.assert_allclose(transform @ [*sprite.origin, 1], place, atol=1e-3)


def test_every_frame_of_a_scene_has_grain_of_its_own():
    scene = make_scene(scene_seed(lambda scene: scene.effects.noise > 0))
    one, same, other = (scene.frame(0.2, number) for number in (4, 4, 5))
    assert np.array_equal(one.picture, same.picture)
    assert np.array_equal(one.parts, other.parts)
    assert (one.picture != other.picture).mean() > 0.3


def test_a_frame_and_the_one_before_it_are_not_of_one_moment():
    sequence = scene_sequence(0, (0.3,))
    assert sequence.before == (0, 0)
    assert not np.allclose(sequence.parts.transforms[0], sequence.parts.transforms[1], atol=0.1)


def test_photographs_dress_some_of_the_puppets(tmp_path):
    green = np.zeros((90, 120, 3), np.uint8)
    green[:, :, 1] = np.random.default_rng(0).integers(120, 255, (90, 120))
    cv2.imwrite(str(tmp_path / "meadow.png"), green)
    photos = read_photographs(tmp_path)
    assert photos[0].shape == (90, 120, 3)
    dressed = [scene_sequence(s, (0.0,), photos).pictures for s in range(6)]
    plain = [scene_sequence(s, (0.0,)).pictures for s in range(6)]
    # Pure green of many levels is on no wall or shirt of ours.
    green_share = [
        np.mean(
            [((p[..., 0] < 40) & (p[..., 1] > 100) & (p[..., 2] < 40)).mean() for p in pictures]
        )
        for pictures in (dressed, plain)
    ]
    assert green_share[0] > 0.05
    assert green_share[0] > 5 * green_share[1]


def test_transparent_parts_of_a_photograph_are_white(tmp_path):
    half = np.zeros((64, 64, 4), np.uint8)
    half[:, :32, 3] = 255
    cv2.imwrite(str(tmp_path / "half.png"), half)
    (photo,) = read_photographs(tmp_path)
    assert (photo[:, :32] == 0).all()
    assert (photo[:, 32:] == 255).all()


def test_photographs_are_made_smaller_and_those_that_cannot_be_used_refused(tmp_path):
    with pytest.raises(BadInput, match="no pictures"):
        read_photographs(tmp_path)
    long = np.zeros((100, 1500, 3), np.uint8)
    long[:, :, 0] = 200  # blue comes first in OpenCV
    cv2.imwrite(str(tmp_path / "long.png"), long)
    (photo,) = read_photographs(tmp_path)
    assert photo.shape == (64, 512, 3)
    assert photo[0, 0].tolist() == [0, 0, 200]
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(BadInput, match="smaller than 64"):
        read_photographs(tmp_path)
