"""A program that plays a bundle frame by frame, and one that brings its pictures in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.api import BundlePlayer, MotionTrack, open_player
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.runtime.media import read_frames
from edgeanim.runtime.motion import save_track
from tests.pipeline.followers import SIDE, Pictures, animated, clip_of, levels, shade


@pytest.fixture
def compiled_net(tmp_path: Path, tiny_onnx: Callable[..., Path]) -> Path:
    """A model that changes pictures, of no motion."""
    shades = [shade(level) for level in range(8)]
    net, out = tiny_onnx(size=SIDE), tmp_path / "net.eab"
    api.compile(net, out=out, backends="onnxruntime", frames=write_folder(tmp_path, shades))
    return out


def write_folder(parent: Path, pictures: list[Pictures]) -> Path:
    folder = parent / "shades"
    folder.mkdir()
    for number, each in enumerate(pictures):
        Image.fromarray(each).save(folder / f"{number}.png")
    return folder


def written(path: Path, **given: Any) -> Pictures:
    api.animate(out=path, **given)
    return np.stack(list(read_frames(path)))


def test_the_frames_are_those_that_animate_writes(
    played: BundlePlayer, small_bundle: Path, still: Pictures, moving_clip: Path, tmp_path: Path
) -> None:
    file = tmp_path / "still.png"
    Image.fromarray(still).save(file)
    for drive in ("wave", "nod", str(moving_clip), moving_clip):
        frames = np.stack(list(played.play(drive)))
        wanted = written(tmp_path / "frames", bundle=small_bundle, still=file, drive=drive)
        assert frames.dtype == np.uint8
        assert np.array_equal(frames, wanted)
    with open_player(small_bundle, still=file) as by_file:
        again = np.stack(list(by_file.play(moving_clip)))
    assert np.array_equal(frames, again)


def test_what_a_program_holds_is_played_as_a_file_of_it_is(
    small_bundle: Path, played: BundlePlayer, still: Pictures, moving_clip: Path, tmp_path: Path
) -> None:
    wanted = np.stack(list(played.play(moving_clip)))
    held = list(read_frames(moving_clip))
    for drive in (held, np.stack(held), iter(held)):
        assert np.array_equal(np.stack(list(played.play(drive, fps=10))), wanted)
    written_of_it = written(
        tmp_path / "frames", bundle=small_bundle, still=still, drive=held, fps=10
    )
    assert np.array_equal(written_of_it, wanted)


def test_a_motion_that_a_program_made_is_played(played: BundlePlayer) -> None:
    rest = MotionTrack(np.tile(np.float32([0, 0, 0.5, 0, 0, 0.5]), (6, 10, 1)), 30)
    frames = list(played.play(rest))
    assert len(frames) == 6
    assert played.fps == 30
    assert len(list(played.play(rest, fps=15))) == 3
    assert len(list(itertools.islice(played.play(rest, loop=True), 20))) == 20


def test_motions_are_played_as_a_program_makes_them(
    played: BundlePlayer, small_bundle: Path, still: Pictures, tmp_path: Path
) -> None:
    track = api.load_motion("wave")
    wanted = np.stack(list(itertools.islice(played.play(track), 12)))
    asked: list[int] = []

    def motions() -> Iterator[np.ndarray]:
        for number, motion in enumerate(track.values[:12]):
            asked.append(number)
            yield motion.astype(np.float64)

    frames = played.play(motions(), fps=track.fps)
    first = next(frames)
    assert asked == [0]
    assert np.array_equal(np.stack([first, *frames]), wanted)
    held = list(track.values[:3])
    assert len(list(itertools.islice(played.play(held, loop=True), 8))) == 8
    assert len(list(played.play(iter(held), live=True))) in (2, 3)
    file = written(tmp_path / "frames", bundle=small_bundle, still=still, drive=held, fps=24)
    assert np.array_equal(file, wanted[:3])


@pytest.mark.parametrize(
    ("motion", "said"),
    [
        (np.zeros((3, 6), np.float32), "3 regions"),
        (np.full((10, 6), np.nan, np.float32), "not finite"),
        (np.zeros((10, 5), np.float32), r"\[T, K, 6\]"),
        ([["x"] * 6] * 10, "could not convert"),
    ],
)
def test_what_is_no_motion_of_the_model_is_told_with_its_number(
    played: BundlePlayer, motion: Any, said: str
) -> None:
    good = api.load_motion("wave").values[0]
    frames = played.play([good, good, motion])
    next(frames)
    next(frames)
    with pytest.raises(BadInput, match=rf"^drive: .*{said}"):
        next(frames)


def test_a_stored_motion_is_loaded_by_its_name_or_file(tmp_path: Path) -> None:
    track = api.load_motion("nod")
    save_track(tmp_path / "mine.npz", track)
    assert np.array_equal(api.load_motion(tmp_path / "mine.npz").values, track.values)
    with pytest.raises(UsageError, match=r"no stored motion 'nodd'.*nod"):
        api.load_motion("nodd")
    with pytest.raises(BadInput, match=r"no\.npz"):
        api.load_motion(tmp_path / "no.npz")


def test_a_motion_ends_when_another_is_begun(played: BundlePlayer) -> None:
    first = played.play("wave")
    next(first)
    second = played.play("nod")
    assert list(first) == []
    assert len(list(second)) > 2


def test_a_motion_goes_over_into_the_next(follower: Path) -> None:
    """Slowly at first and at last: the follower's frames are as bright as its motion."""
    with open_player(follower, still=shade(0)) as player:
        plain = {"smooth": False, "relative": False, "fps": 10}
        assert levels(player.play([shade(20)] * 3, **plain, blend=1.0)) == [20] * 3
        over = levels(player.play([shade(0)] * 7, **plain, blend=0.4))
        assert over == [18, 13, 7, 2, 0, 0, 0]
        half = player.play([shade(20)] * 7, **plain, blend=0.4)
        at = levels(itertools.islice(half, 2))[-1]
        assert levels(player.play([shade(at)] * 4, **plain, blend=0.3)) == [at] * 4
        assert levels(player.play([shade(3)] * 2, **plain)) == [3, 3]
        for seconds in (-0.1, float("nan"), 11):
            with pytest.raises(UsageError, match="blend"):
                player.play([shade(3)] * 2, **plain, blend=seconds)


def test_what_shows_no_motion_has_none_to_go_over_into(compiled_net: Path) -> None:
    with open_player(compiled_net) as player:
        for _ in range(2):
            assert len(list(player.play([shade(1), shade(2)], blend=0.5))) == 2


def test_a_still_is_prepared_once_for_all_motions(
    small_bundle: Path, still: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeanim.runtime.stills import Stills

    prepared = []
    prepare = Stills._prepare

    def counted(self: Stills, *args: Any, **given: Any) -> Any:
        prepared.append(args)
        return prepare(self, *args, **given)

    monkeypatch.setattr(Stills, "_prepare", counted)
    with open_player(small_bundle, still=still) as player:
        for motion in ("wave", "nod", "wave"):
            next(player.play(motion))
    assert len(prepared) == 1


def test_a_frame_belongs_to_whoever_asked_for_it(played: BundlePlayer) -> None:
    frames = played.play("wave")
    first = next(frames)
    kept = first.copy()
    first[:] = 0
    again = played.play("wave")
    assert np.array_equal(next(again), kept)


def test_pictures_are_asked_for_one_by_one_in_the_threads_that_ask_for_frames(
    follower: Path,
) -> None:
    asked: list[int] = []

    def camera() -> Iterator[Pictures]:
        for level in range(9):
            assert threading.current_thread() is threading.main_thread()
            asked.append(level)
            yield shade(level)

    still = shade(0)
    with open_player(follower, still=still) as player:
        frames = player.play(camera(), smooth=False, relative=False)
        assert levels(itertools.islice(frames, 3)) == [0, 1, 2]
        assert len(asked) == 3
        assert levels(frames) == [3, 4, 5, 6, 7, 8]


def test_live_pictures_that_come_too_fast_are_left_out(follower: Path) -> None:
    shown = threading.Event()
    over = threading.Event()

    def camera() -> Iterator[Pictures]:
        yield from (shade(0), shade(1))
        shown.wait(10)
        yield from map(shade, range(2, 8))
        over.set()

    with open_player(follower, still=shade(0)) as player:
        frames = player.play(camera(), live=True, smooth=False, relative=False)
        seen = levels(itertools.islice(frames, 2))
        shown.set()
        assert over.wait(10)
        seen += levels(frames)
        assert seen[:2] == [0, 1]
        assert seen[-1] == 7
        assert len(seen) + player.left_out == 8
        assert player.left_out > 0


def test_a_loop_begins_again(follower: Path, tmp_path: Path) -> None:
    held = [shade(level) for level in range(4)]
    clip = clip_of(tmp_path / "clip.webp", 4)
    with open_player(follower, still=held[0]) as player:
        for drive in (held, clip):
            frames = player.play(drive, loop=True, smooth=False, relative=False)
            assert levels(itertools.islice(frames, 10)) == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
        with pytest.raises(UsageError, match="iterator gives its frames only once"):
            player.play(iter(held), loop=True)
    out = animated(follower, held, tmp_path, loop=True, limit=6, relative=False)
    assert out == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((SIDE, SIDE, 3)), "float64"),
        (np.zeros((SIDE, SIDE), np.uint8), r"shape \[\d+, \d+\]"),
        (np.zeros((0, SIDE, 3), np.uint8), "empty or too large"),
        ([1], "a picture is uint8"),
        ([[1], [1, 2]], "cannot take this for an array: .*inhomogeneous"),
    ],
)
def test_what_is_no_picture_is_told_with_its_number(
    follower: Path, tmp_path: Path, picture: Any, said: str
) -> None:
    with open_player(follower, still=shade(0)) as player:
        frames = player.play([shade(1), shade(2), picture], smooth=False)
        next(frames)
        next(frames)
        with pytest.raises(BadInput, match=rf"^drive, frame 2: .*{said}"):
            next(frames)
        with pytest.raises(BadInput, match=r"^drive: Frame 1 .* pixels"):
            list(player.play([shade(1), shade(2)[:-1]]))
        with pytest.raises(BadInput, match=r"^drive: The driver is a clip of one frame"):
            list(player.play([shade(1)]))
    with pytest.raises(BadInput, match=rf"^still: .*{said}"):
        open_player(follower, still=picture)
    with pytest.raises(BadInput, match=rf"^drive, frame 0: .*{said}"):
        api.animate(follower, still=shade(0), drive=[picture] * 2, out=tmp_path / "o.gif")


def test_what_cannot_be_played_is_told_at_once(
    played: BundlePlayer, follower: Path, tmp_path: Path
) -> None:
    for drive, options, said in (
        ("waev", {}, "no stored motion"),
        (None, {}, "follows a driver"),
        (3, {}, "This is no path and gives no frames"),
        ("wave", {"fps": 0}, "frame rate"),
        ("wave", {"refine": True}, "no frames by which it could be refined"),
        ("wave", {"live": True}, "from a camera is live"),
        ("camera:0", {"loop": True}, "no end after which"),
    ):
        with pytest.raises(UsageError, match=said):
            played.play(drive, **options)
    assert len(list(played.play("nod"))) > 2  # none of it did any harm
    with open_player(follower) as player, pytest.raises(UsageError, match="still"):
        player.play([shade(0), shade(1)])
    with pytest.raises(UsageError, match="--size: size must be at least 16, not 0"):
        open_player(follower, still=shade(0), size=0)  # gave frames of one pixel
    with pytest.raises(BadInput, match=r"no\.png"):
        open_player(follower, still=tmp_path / "no.png")
    with pytest.raises(UsageError, match="no variant"):
        open_player(follower, variant="tflite-int8")


def test_what_the_programs_own_code_raises_is_passed_on(follower: Path) -> None:
    def broken() -> Iterator[Pictures]:
        yield from (shade(0), shade(1), shade(2))
        raise ZeroDivisionError

    with open_player(follower, still=shade(0)) as player:
        with pytest.raises(ZeroDivisionError):
            list(player.play(broken()))
        assert len(list(player.play([shade(0), shade(1)]))) == 2


def test_further_stills_and_a_size_are_heeded(
    small_bundle: Path, still: Pictures, pictures: Pictures, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    for number in range(2):
        Image.fromarray(pictures[number]).resize((120, 90)).save(more / f"{number}.png")
    with open_player(small_bundle, still=still, more_stills=more, size=64) as player:
        assert next(player.play("wave")).shape == (48, 64, 3)
    with open_player(small_bundle, more_stills=more) as player:
        assert next(player.play("wave")).shape == (90, 120, 3)
