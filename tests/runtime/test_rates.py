"""How fast clips are, and their frames at a steady rate."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim.runtime.media import (
    clips,
    probe_fps,
    read_frames,
    steady_frames,
    steady_numbers,
    within,
)
from edgeanim.runtime.media.rates import Paced, as_they_come, at_rate


def _animation(path: Path, pictures: np.ndarray, milliseconds: list[int]) -> Path:
    first, *others = map(Image.fromarray, pictures[: len(milliseconds)])
    first.save(path, save_all=True, append_images=others, duration=milliseconds, loop=0)
    return path


def _which(frames, pictures: np.ndarray) -> list[int]:
    """The number of the picture that each frame is nearest to."""
    return [int(np.abs(pictures.astype(int) - frame).mean((1, 2, 3)).argmin()) for frame in frames]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_what_an_animation_holds_still_is_repeated(tmp_path, pictures, suffix):
    path = _animation(tmp_path / f"a{suffix}", pictures, [50, 50, 200, 50, 50, 300])
    frames, fps = steady_frames(path)
    assert fps == 20
    assert _which(frames, pictures) == [0, 1, 2, 2, 2, 2, 3, 4, 5, 5, 5, 5, 5, 5]
    frames, fps = steady_frames(path, 10)
    assert (fps, _which(frames, pictures)) == (10, [0, 2, 2, 3, 5, 5, 5])
    assert len(list(read_frames(path))) == 6


def test_frames_that_come_evenly_are_all_there_once(tmp_path, pictures):
    path = _animation(tmp_path / "a.gif", pictures, [30, 30, 40, 30, 30, 40])
    frames, fps = steady_frames(path)
    assert fps == pytest.approx(30)
    assert _which(frames, pictures) == list(range(6))


def test_a_frame_that_is_held_for_hours_is_shown_for_ten_seconds(tmp_path, pictures):
    path = _animation(tmp_path / "a.gif", pictures, [100, 100, 100, 600_000])
    frames, fps = steady_frames(path)
    assert (fps, len(list(frames))) == (10, 103)


@pytest.mark.parametrize("seconds", [9, 12, 25, 60])
def test_no_slide_of_a_slow_show_is_lost(tmp_path, pictures, recorded, seconds):
    path = _animation(tmp_path / "a.webp", pictures, [1000 * seconds] * 4)
    frames, fps = steady_frames(path)
    assert fps == pytest.approx(1 / min(seconds, 10))
    assert _which(frames, pictures) == [0, 1, 2, 3]
    for moments in ([0.0], [1000.0 * seconds * n for n in range(4)]):
        clip = recorded(moments, 1 / seconds, len(moments))
        assert _shown(steady_frames(clip)[0]) == list(range(len(moments)))


@pytest.mark.parametrize("milliseconds", [0, 10])
def test_a_gif_whose_frames_state_hardly_any_time_is_played_as_everywhere(
    tmp_path, pictures, milliseconds
):
    path = _animation(tmp_path / "a.gif", pictures, [milliseconds] * 4)
    frames, fps = steady_frames(path)
    assert (fps, len(list(frames))) == (10, 4)
    path = _animation(tmp_path / "b.gif", pictures, [20] * 4)
    assert probe_fps(path) == 50


class _Clip:
    """A clip as OpenCV gives it: its frames come at `moments` (ms), whatever it states."""

    def __init__(self, moments: list[float], stated_fps: float, stated_frames: float) -> None:
        import cv2

        self._moments, self._at = moments, -1
        self._facts = {cv2.CAP_PROP_FPS: stated_fps, cv2.CAP_PROP_FRAME_COUNT: stated_frames}

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._moments)

    def read(self):
        return self.grab(), np.full((4, 4, 3), self._at % 256, np.uint8)

    def get(self, fact: int) -> float:
        return self._facts.get(fact, self._moments[min(self._at, len(self._moments) - 1)])


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A file that is read as the clip that is given."""
    from contextlib import contextmanager

    def make(*facts) -> Path:
        @contextmanager
        def opened(_path):
            yield _Clip(*facts)

        monkeypatch.setattr(clips, "_open_clip", opened)
        (tmp_path / "a.webm").write_bytes(b"\x1aE\xdf\xa3")
        return tmp_path / "a.webm"

    return make


def _shown(frames) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


def test_a_webcams_recording_keeps_its_speed(recorded):
    """Browsers write no rate, which is read as 1000 frames a second, so many in its length."""
    path = recorded([0, 38, 81, 119, 160, 203, 240, 281], 1000, 320)
    frames, fps = steady_frames(path)
    assert fps == pytest.approx(1000 * 7 / 281)
    assert _shown(frames) == list(range(8))


def test_a_clip_that_slows_down_repeats_its_frames(recorded):
    moments = [40 * i for i in range(10)] + [400 + 80 * i for i in range(5)]
    frames, fps = steady_frames(recorded(moments, 20, 15))
    assert fps == 25
    assert _shown(frames) == [*range(10), 10, 10, 11, 11, 12, 12, 13, 13, 14, 14]


def test_a_clip_with_a_gap_is_as_fast_as_it_states_otherwise(recorded):
    moments = [0, 100, 133, 167, 200, 233, 267, 300]
    frames, fps = steady_frames(recorded(moments, 30, 8))
    assert fps == 30
    assert _shown(frames) == [0, 0, 0, *range(1, 8)]


@pytest.mark.parametrize("moments", [[0.0] * 6, [0, 33, 67, 100, 133, 167]])
def test_a_clip_that_is_as_fast_as_it_states_is_read_frame_by_frame(recorded, moments):
    frames, fps = steady_frames(recorded(moments, 30, 6))
    assert (fps, _shown(frames)) == (30, list(range(6)))


def test_a_rate_beyond_what_can_be_shown_is_halved_or_more(tmp_path, pictures):
    assert [within(fps, 50) for fps in (24, 50, 60, 120)] == [24, 50, 30, 40]
    path = _animation(tmp_path / "a.webp", pictures, [10] * 6)
    frames, fps = steady_frames(path, most=50)
    assert fps == pytest.approx(50)
    assert _which(frames, pictures) == [0, 2, 4]


def test_of_a_clip_that_mostly_pauses_the_faster_frames_tell_its_rate(recorded):
    moments = [0, 50, 100, 300, 500, 700, 900, 1100]
    frames, fps = steady_frames(recorded(moments, 30, 8))
    assert fps == 20
    assert _shown(frames)[:4] == [0, 1, 2, 2]


@pytest.mark.parametrize("moments", [[0.0] * 6, [0, 0.1, 0.3, 0.4, 0.7, 5]])
def test_a_rate_that_nothing_shows_is_none(recorded, moments):
    frames, fps = steady_frames(recorded(moments, 90_000, 6))
    assert (fps, _shown(frames)) == (25, list(range(6)))


@pytest.mark.parametrize("own", [7, 11, 12.5, 24, 29.97, 60])
def test_a_moment_halfway_between_two_frames_shows_the_later_one(own):
    frames = [(number, 1000 / own) for number in range(50)]
    halved = list(at_rate(frames, own, 2 * own))
    assert halved == [0, *(number for number in range(1, 50) for _ in range(2))]


class _Clock:
    """Passes when it is told to."""

    def __init__(self) -> None:
        self.now = 7.0

    def __call__(self) -> float:
        return self.now

    def give(self, moments):
        for item, moment in moments.items():
            self.now = max(self.now, moment)
            yield item


def test_what_comes_when_it_can_is_shown_at_once_repeated_and_left_out():
    clock = _Clock()
    come = clock.give({"a": 7.0, "b": 7.4, "c": 7.45, "d": 7.5})
    assert "".join(as_they_come(come, 10, clock)) == "abbbbd"


@pytest.mark.parametrize("cost", [0.01, 0.03, 0.05, 0.2])
def test_a_writer_that_is_too_slow_does_not_make_a_frame_stand_still_ever_longer(cost):
    """Repeats that take longer to write than they are shown would call for more repeats."""
    clock = _Clock()
    come = clock.give({number: 7 + number / 30 for number in range(1000)})
    shown = []
    for number in itertools.islice(as_they_come(come, 25, clock), 3000):
        clock.now += cost
        shown.append(number)
    stands = [len(list(same)) for _, same in itertools.groupby(shown)]
    assert max(stands) <= 2 + 2 * 25 * cost
    if 2 * 25 * cost <= 1:  # it keeps up: as much is shown as has passed
        assert len(shown) / 25 == pytest.approx(clock.now - 7, abs=0.2)


@pytest.mark.parametrize(
    ("made", "read", "behind"),
    [
        (1 / 8, 0, True),  # a slow board
        (1 / 20, 1 / 50, True),  # the next is made while one is written
        (1 / 24, 0, False),
        (1 / 100, 1 / 24, False),  # a player that shows each when it is due
        (1 / 100, 1, False),  # one that is paused
    ],
)
def test_frames_are_behind_where_a_player_waits_for_them_and_gets_fewer_than_it_shows(
    made, read, behind
):
    clock = _Clock()

    def made_ahead():
        ready = 12.0  # what is done once before the first frame is no delay of others
        for frame in range(60):
            clock.now = max(clock.now, ready)
            ready = clock.now + made
            yield frame

    paced = Paced(made_ahead(), clock)
    for _ in paced:
        clock.now += read
    assert paced.is_behind(24) is behind


def test_a_moment_tells_of_no_pace():
    clock = _Clock()
    paced = Paced(clock.give({0: 7.0, 1: 7.9}), clock)
    assert list(paced) == [0, 1]
    assert not paced.is_behind(24)


def test_one_frame_that_hurries_does_not_speed_up_the_others(tmp_path, pictures):
    path = _animation(tmp_path / "a.gif", pictures, [100, 100, 30, 100, 100, 170])
    assert steady_frames(path)[1] == 10


def test_pictures_have_no_rate(tmp_path, pictures):
    for number in range(3):
        Image.fromarray(pictures[number]).save(tmp_path / f"{number}.png")
    frames, fps = steady_frames(tmp_path, 60)
    assert (fps, _which(frames, pictures)) == (60, [0, 1, 2])
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    assert probe_fps(tmp_path / "a.png") == 25
    assert len(list(steady_frames(tmp_path / "a.png", 50)[0])) == 1


def test_a_rate_that_is_a_rounding_error_above_a_whole_multiple_loses_no_more_than_that():
    assert within(30.0, 10.0) == 10
    assert within(3 * 0.1, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(("fps", "most"), [(None, 1e9), (10, 1e9), (None, 15)])
def test_which_frames_are_played_is_told_by_number(tmp_path, pictures, fps, most):
    """A value for each frame of a clip stays with its frame."""
    path = _animation(tmp_path / "a.webp", pictures, [50, 50, 200, 50, 50, 300])
    frames, _ = steady_frames(path, fps, most=most)
    assert steady_numbers(path, fps, most=most) == (_which(frames, pictures), 6)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(pictures[number]).save(folder / f"{number}.png")
    assert steady_numbers(folder, fps, most=most) == ([0, 1, 2], 3)
