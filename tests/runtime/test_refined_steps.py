"""How a motion is changed step by step until what is made of it comes nearest to what is shown."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.runtime import refining
from edgeanim.runtime.execution import Moment, Shown
from edgeanim.runtime.following import Step
from edgeanim.runtime.refining import Trials, moved, refined_steps

pytest.importorskip("cv2")

CHANGES = hnp.arrays(np.float64, (3, 6), elements=st.floats(-0.4, 0.4))


@given(CHANGES)
def test_changes_turn_shift_and_stretch_and_none_changes_nothing(change):
    rng = np.random.default_rng(0)
    motion = rng.uniform(-0.5, 0.5, (1, 3, 6)).astype(np.float32)
    np.testing.assert_allclose(moved(motion, np.zeros((3, 6))), motion, atol=1e-6)
    rigid = change.copy()
    rigid[:, 3:] = 0
    sizes = [
        np.abs(np.linalg.det(m[0, :, 2:].reshape(-1, 2, 2))) for m in (motion, moved(motion, rigid))
    ]
    np.testing.assert_allclose(*sizes, atol=1e-5)
    away = np.linalg.norm(moved(motion, rigid)[0, :, :2] - motion[0, :, :2], axis=1)
    reach = np.linalg.norm(motion[0, :, 2:].reshape(-1, 2, 2), ord=2, axis=(1, 2))
    assert (away <= reach * np.linalg.norm(rigid[:, :2], axis=1) + 1e-5).all()
    assert moved(motion, change).dtype == np.float32


def _blob(motion: np.ndarray, side: int = 64) -> np.ndarray:
    """A grey spot of the first region's place and shape, uint8 [side, side, 3]."""
    at = (np.arange(side) + 0.5) / (side / 2) - 1
    grid = np.stack(np.meshgrid(at, at), axis=-1)
    axes = motion[0, 0, 2:].reshape(2, 2).astype(np.float64)
    place = (grid - motion[0, 0, :2]) @ np.linalg.inv(axes).T
    light = 200 * np.exp(-2 * (place**2).sum(-1))
    return np.repeat(np.rint(light)[:, :, None].astype(np.uint8), 3, axis=2)


def _step(number: int, motion: np.ndarray, frame: np.ndarray) -> Step:
    return Step(Moment({"driving_frame": Shown(frame)}, {}, number), motion, {})


def _steps(motions: list[np.ndarray], frames: list[np.ndarray]) -> Iterator[Step]:
    return map(_step, itertools.count(), motions, frames)


WHOLE = (-1.0, -1.0, 1.0, 1.0)


def _counted(make: Callable[[np.ndarray], np.ndarray]):
    """How motions are tried by `make`, and a list of those that were."""
    made: list[np.ndarray] = []

    def counting(_: int, motion: np.ndarray) -> np.ndarray:
        made.append(motion)
        return make(motion)

    return Trials(counting, WHOLE), made


TRUE = np.float32([[[0.1, -0.05, 0.35, 0.05, -0.05, 0.3]]])


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, (1, 6), elements=st.floats(-0.2, 0.2)))
def test_from_wherever_it_is_read_the_frame_comes_nearer(change):
    read = moved(TRUE, change)
    shown = _blob(TRUE)
    [step] = refined_steps(_steps([read], [shown]), _counted(_blob)[0])

    def off(motion):
        return np.abs(_blob(motion).astype(int) - shown).mean()

    assert off(step.motion) <= off(read) + 0.05
    if off(read) > 2:
        assert off(step.motion) < 0.8 * off(read)


def _lit(weave: float, light: float) -> np.ndarray:
    """A woven patch and a broad light at these places from left to right, uint8 [64, 64, 3]."""
    at = (np.arange(64) + 0.5) / 32 - 1
    x, y = np.meshgrid(at, at)
    threads = np.sin(30 * (x - weave)) * np.sin(30 * y)
    woven = 50 * threads * np.exp(-((x - weave) ** 2 + y**2) / (2 * 0.2**2))
    shade = 100 * np.exp(-((x - light) ** 2 + y**2) / (2 * 0.6**2))
    levels = np.rint(np.clip(100 + woven + shade, 0, 255)).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def test_texture_tells_where_something_is_and_light_on_plain_ground_hardly():
    still = np.float32([[[0, 0, 0.4, 0, 0, 0.4]]])

    trials, _ = _counted(lambda motion: _lit(float(motion[0, 0, 0]), float(motion[0, 0, 0])))
    [step] = refined_steps(_steps([still], [_lit(0.04, -0.15)]), trials)
    assert 0.015 < step.motion[0, 0, 0] < 0.04


def test_what_the_model_cannot_show_does_not_pull():
    shown = _blob(TRUE).copy()
    shown[8:16, 10:54] = 255
    read = moved(TRUE, np.array([[0.15, -0.15, 0.1, 0, 0, 0]]))
    *_, step = refined_steps(_steps([read] * 4, [shown] * 4), _counted(_blob)[0])
    assert np.abs(step.motion - TRUE)[0, 0, :2].max() < 0.01 < np.abs(read - TRUE)[0, 0, :2].max()


def test_a_step_that_leads_up_is_not_taken():
    """What a small change promises, a larger one does not keep."""

    def make(motion: np.ndarray) -> np.ndarray:
        way = motion[0, 0, 0] - TRUE[0, 0, 0]
        level = 100 if abs(way) < 1e-6 else 90 if 0 < way < 0.03 else 200
        return np.full((64, 64, 3), level, np.uint8)

    black = np.zeros((64, 64, 3), np.uint8)
    [step] = refined_steps(_steps([TRUE], [black]), _counted(make)[0])
    np.testing.assert_allclose(step.motion, TRUE, atol=1e-6)


@pytest.mark.slow
def test_over_ten_thousand_frames_no_error_builds_up(monkeypatch: pytest.MonkeyPatch):
    """What a frame leaves to the next, its change and the slopes, is worth as much at the end as at
    the beginning, and a while in which the driver shows nothing is forgotten."""
    side, count, dark = 16, 10_000, range(5_000, 5_500)
    monkeypatch.setattr(refining, "_GRID", side)
    rng = np.random.default_rng(3)
    turn = np.arange(count) / 40
    still = np.tile(TRUE[0, 0], (count, 1, 1, 1)).astype(np.float32)
    true = still + 0.3 * np.stack([np.cos(turn), np.sin(turn), *np.zeros((4, count))], 1)[
        :, None, None
    ].astype(np.float32)
    bias = np.array([[0.15, -0.15, 0.1, 0.0, 0.0, 0.0]])
    read = [moved(motion, bias + rng.normal(0, 0.05, (1, 6))) for motion in true]

    def shown(number: int) -> np.ndarray:
        return np.zeros((side, side, 3), np.uint8) if number in dark else _blob(true[number], side)

    steps = (_step(i, read[i], shown(i)) for i in range(count))
    trials = Trials(lambda _, motion: _blob(motion, side), WHOLE)
    off = np.array(
        [
            [np.abs(motion - true[i])[0, 0, :2].max() for motion in (read[i], step.motion)]
            for i, step in enumerate(refined_steps(steps, trials))
        ]
    )
    parts = [off[start : start + 1000].mean(axis=0) for start in (100, 4_000, 6_000, 9_000)]
    assert all(refined < 0.6 * as_read for as_read, refined in parts)
    assert max(refined for _, refined in parts) < 1.1 * min(refined for _, refined in parts)


def test_what_is_not_in_the_picture_is_neither_moved_nor_tried():
    gone = np.concatenate([TRUE, np.float32([[[0.5, 0.5, 1e-4, 0, 0, 1e-4]]])], axis=1)
    read = gone + np.float32([0.05, 0, 0, 0, 0, 0])
    trials, made = _counted(_blob)
    [step] = refined_steps(_steps([read], [_blob(TRUE)]), trials)
    np.testing.assert_allclose(step.motion[0, 1], read[0, 1], atol=1e-6)
    assert np.abs(step.motion[0, 0] - TRUE[0, 0]).max() < 0.03
    assert all((motion[0, 1] == read[0, 1]).all() for motion in made)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_however_many_regions_there_are_a_frame_that_is_read_rightly_takes_13_others(count):
    """One as it is read, and a round of three times the slopes of three numbers and a step."""
    rng = np.random.default_rng(count)
    places = rng.uniform(-0.8, 0.8, (1, count, 2))
    motion = np.concatenate([places, np.tile([0.1, 0, 0, 0.1], (1, count, 1))], axis=2)
    trials, made = _counted(_blobs)
    read = motion.astype(np.float32)
    list(refined_steps(_steps([read] * 3, [_blobs(read)] * 3), trials))
    assert len(made) == 3 * (1 + 3 * (3 + 1))


def _blobs(motion: np.ndarray) -> np.ndarray:
    """A grey spot for each region."""
    spots = [_blob(motion[:, k : k + 1]).astype(int) for k in range(motion.shape[1])]
    return np.minimum(np.sum(spots, axis=0), 255).astype(np.uint8)


def test_what_leaves_the_picture_is_moved_no_more():
    true = np.float32([[[x, 0, 0.2, 0, 0, 0.2] for x in (-0.5, 0.5)]])
    read = true + np.float32([0.05, 0, 0, 0, 0, 0])
    gone = read.copy()
    gone[0, 1, 2:] = [1e-4, 0, 0, 1e-4]
    beside = _blobs(true + np.float32([0.1, 0, 0, 0, 0, 0]))  # something else is there
    steps = _steps([read] * 3 + [gone], [_blobs(true)] * 3 + [beside])
    *_, before, step = refined_steps(steps, _counted(_blobs)[0])
    assert np.abs(before.motion - true)[0, 1, 0] < 0.01
    np.testing.assert_array_equal(step.motion[0, 1], gone[0, 1])


def test_regions_that_lie_apart_are_mended_together_each_by_its_own_part_of_the_picture():
    corners = [[x, y, 0.12, 0, 0, 0.12] for x in (-0.6, 0.6) for y in (-0.6, 0.0, 0.6)]
    true = np.float32([corners])
    rng = np.random.default_rng(5)
    read = moved(true, np.pad(rng.uniform(-0.4, 0.4, (6, 2)), ((0, 0), (0, 4))))
    trials, _ = _counted(_blobs)
    *_, step = refined_steps(_steps([read] * 4, [_blobs(true)] * 4), trials)
    off = [np.abs((each - true)[0, :, :2]).max(axis=1) for each in (read, step.motion)]
    assert (off[1] < 0.02).all()
    assert (off[1] < off[0] / 2).all()


def test_where_a_picture_lies_on_the_canvas_is_heeded():
    """Of a wide picture, whose rows are the middle of what the networks see: two regions that lie
    one above the other there are told apart."""
    true = np.float32([[[0, -0.2, 0.1, 0, 0, 0.08], [0, 0.2, 0.1, 0, 0, 0.08]]])
    read = moved(true, np.array([[0.4, 0.3, 0, 0, 0, 0], [-0.4, 0.3, 0, 0, 0, 0]]))

    def wide(motion: np.ndarray) -> np.ndarray:
        return _blobs(motion)[20:44]

    def off(places: tuple[float, float, float, float]) -> float:
        trials = Trials(lambda _, motion: wide(motion), places)
        [step] = refined_steps(_steps([read], [wide(true)]), trials)
        return float(np.abs((step.motion - true)[0, :, :2]).max())

    assert off((-1.0, -0.375, 1.0, 0.375)) < 0.015


def test_where_nothing_is_there_nothing_is_tried():
    gone = np.zeros((1, 2, 6), np.float32)
    trials, made = _counted(lambda _: np.zeros((64, 64, 3), np.uint8))
    [step] = refined_steps(_steps([gone], [_blob(TRUE)]), trials)
    np.testing.assert_array_equal(step.motion, gone)
    assert len(made) == 1


def test_a_frame_begins_with_what_the_one_before_it_was_off_by():
    read = moved(TRUE, np.array([[0.3, -0.3, 0.2, 0.0, 0.0, 0.0]]))
    shown = _blob(TRUE)
    trials, made = _counted(_blob)
    list(refined_steps(_steps([read], [shown]), trials))
    first = len(made)
    list(refined_steps(_steps([read] * 2, [shown] * 2), trials))
    begun = [np.abs(_blob(made[at]).astype(int) - shown).mean() for at in (first, 2 * first)]
    assert begun[0] > 5
    assert begun[1] < 0.1 * begun[0]
