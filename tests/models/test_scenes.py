"""Clips that cut from one scene to another, and what is done with the scenes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim import api
from edgeanim.core.errors import BadInput
from edgeanim.core.progress import Silent
from edgeanim.models.data.clips.scenes import SceneFinder, anything_moves
from edgeanim.models.data.sequences import clip_sequences, scenes_of
from edgeanim.models.evaluation.clips import check_clips, clip_frames
from edgeanim.models.training.batches import load_material
from edgeanim.models.training.config import DataConfig
from edgeanim.runtime.media import write_animation

SIDE = 64


def scene(seed: int, count: int, *, jump: int = 1, every: int = 1) -> list[np.ndarray]:
    """A square on a backdrop of its own, which moves by `jump` pixels in `every` frame or few."""
    rng = np.random.default_rng(seed)
    backdrop = np.repeat(np.repeat(rng.integers(0, 255, (8, 8, 3), np.uint8), 8, 0), 8, 1)
    frames = []
    for number in range(count):
        frame = backdrop.copy()
        left = (number // every * jump) % 40
        frame[20:44, left : left + 24] = 255 - backdrop[20:44, left : left + 24]
        frames.append(frame)
    return frames


def found(frames: list[np.ndarray]) -> list[range]:
    finder = SceneFinder()
    assert sum(1 for _ in finder.watch(frames)) == len(frames)
    return finder.scenes()


@given(st.lists(st.integers(2, 40), min_size=1, max_size=4), st.integers(0, 99))
def test_every_cut_is_found_and_the_scenes_are_all_frames(lengths: list[int], seed: int) -> None:
    frames = [f for i, n in enumerate(lengths) for f in scene(100 * i + seed, n)]
    scenes = found(frames)
    assert list(itertools.chain(*scenes)) == list(range(len(frames)))
    if min(lengths) > 9:  # more cuts than a tenth of what is around are what is usual there
        assert [len(each) for each in scenes] == lengths


@pytest.mark.parametrize("motion", [{"jump": 0}, {"jump": 3}, {"jump": 13}, {"every": 6}])
def test_motion_is_no_cut(motion: dict[str, int]) -> None:
    """Neither a fast one nor that of drawings, which jump from pose to pose."""
    assert found(scene(7, 60, **motion)) == [range(60)]


def test_a_camera_that_is_carried_about_makes_no_cuts() -> None:
    world = np.random.default_rng(3).integers(0, 255, (40, 40, 3), np.uint8)
    world = np.repeat(np.repeat(world, 8, 0), 8, 1)
    way = np.cumsum(np.random.default_rng(4).integers(0, 9, 30))
    frames = [np.ascontiguousarray(world[at : at + SIDE, at : at + SIDE]) for at in way]
    assert found(frames) == [range(30)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_few_frames_nothing_is_usual(count: int) -> None:
    frames = [frame for i in range(count) for frame in scene(i, 1)]
    assert found(frames) == [range(count)]


def test_a_blink_moves_and_noise_does_not() -> None:
    face = np.repeat(np.repeat(scene(5, 1)[0], 4, 0), 4, 1)
    noise = np.random.default_rng(6).normal(0, 4, (9, *face.shape))
    seen = [np.clip(face + each, 0, 255).astype(np.uint8) for each in noise]
    assert not anything_moves(np.stack(seen))
    seen[4][120:130, 112:122] = 255 - face[120:130, 112:122]
    assert anything_moves(np.stack(seen))


def test_a_pair_is_never_of_two_scenes() -> None:
    kept = {n: np.full((2, 2, 3), n, np.uint8) for n in (0, 1, 2, 3, 4, 5, 9)}
    first, second = scenes_of(Path("me.mp4"), kept, [range(3), range(3, 9), range(9, 10)])
    assert (first.name, second.name) == ("me", "me, scene 2")
    assert first.before == (0, 0, 1)
    assert second.before == (0, 0, 1)
    assert [p[0, 0, 0] for p in second.pictures] == [3, 4, 5]


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A clip of three scenes."""
    path = tmp_path / "edited.webp"
    write_animation(path, [f for i in range(3) for f in scene(i, 12)], 25)
    return path


class Notes(Silent):
    said = ""

    def done(self, note: str = "") -> None:
        self.said += note


def test_training_takes_each_scene_for_itself_and_scores_are_of_the_first(edited: Path) -> None:
    assert [len(each.pictures) for each in clip_sequences(edited)] == [12, 12, 12]
    assert len(clip_frames(edited).pictures) == 12
    notes = Notes()
    check_clips([edited], notes)
    assert "up to the first cut of edited.webp" in notes.said


def test_what_rests_is_left_out_of_a_training_and_alone_refused(tmp_path: Path) -> None:
    write_animation(tmp_path / "moving.webp", scene(1, 5, jump=4), 25)
    write_animation(tmp_path / "resting.webp", scene(2, 1) * 5, 25)
    data = DataConfig(puppets=1, moments=2, clips=tmp_path, clip_names=("moving", "resting"))
    notes = Notes()
    assert [clip.name for clip in load_material(data, notes).clips] == ["moving"]
    assert "nothing moves in resting, which is left out" in notes.said
    write_animation(tmp_path / "moving.gif", scene(3, 1) * 5, 25)
    both = replace(data, clip_names=("moving.webp", "moving.gif"))
    assert len(load_material(both, Silent()).clips) == 1
    with pytest.raises(BadInput, match="Nothing moves in resting"):
        load_material(replace(data, clip_names=("resting",)), Silent())


def test_a_dataset_has_a_sequence_for_each_scene(edited: Path, tmp_path: Path) -> None:
    manifest = api.import_dataset(edited, tmp_path / "set", split="train")
    assert [entry.frames for entry in manifest.sequences] == [12, 12, 12]
    assert len({entry.origin.identity for entry in manifest.sequences}) == 1
    again = api.import_dataset(edited, tmp_path / "set", split="train")
    assert again == manifest
