"""Further stills: which pictures are taken, what is refused, and what they bring."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.contract import Contract, GraphSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.pipeline import stills
from edgeanim.pipeline.figures import more_stills as figures
from edgeanim.runtime.media import read_frames, write_animation
from edgeanim.runtime.scene import Scene
from edgeanim.targets.bundle import open_bundle
from tests.pipeline.followers import SIDE, STEP, bundle_of, clip_of, moved_by, picture

helper = pytest.importorskip("onnx").helper


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose motion is a frame's mean brightness, and whose frames are the still itself."""
    find = GraphSpec(
        "find", "find.onnx", "driver", (picture("driving_frame"),), (moved_by("motion"),)
    )
    taken = (picture("still"), moved_by("motion:still"), moved_by("motion:driving"))
    show = GraphSpec("show", "show.onnx", "frame", taken, (picture("frame"),))
    node = helper.make_node
    return bundle_of(
        tmp_path_factory.mktemp("chooser") / "chooser.eab",
        [
            (find, [node("ReduceMean", ["driving_frame"], ["mean"], keepdims=0),
                    node("Mul", ["mean", "ones"], ["motion"])]),
            (show, [node("Add", ["motion_driving", "motion_still"], ["sum"]),
                    node("ReduceMean", ["sum"], ["value"], keepdims=0),
                    node("Mul", ["value", "none"], ["zero"]),
                    node("Add", ["still", "zero"], ["frame"])]),
        ],
        {"ones": np.ones((1, 2, 6)), "none": np.array(0.0)},
    )  # fmt: skip


def of_level(path: Path, level: int, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    Image.new("RGB", size, (STEP * level,) * 3).save(path)
    return path


def shown(
    chooser: Path, folder: Path, more: Path | Iterable[np.ndarray] | None, drive: Path
) -> list[float]:
    """The levels of the stills of which each frame is made; the still's own is 0."""
    still = of_level(folder / "still.png", 0)
    out = folder / "frames"
    plain: dict[str, Any] = {"relative": False, "smooth": False}
    api.animate(chooser, still=still, more_stills=more, drive=drive, out=out, **plain)
    return [float(frame.mean()) / STEP for frame in read_frames(out)]


def driver(folder: Path, levels: Sequence[int]) -> Path:
    frames = (np.full((SIDE, SIDE, 3), STEP * level, np.uint8) for level in levels)
    write_animation(folder / "driver.webp", frames, 25)
    return folder / "driver.webp"


@pytest.mark.parametrize("kind", ["folder", "clip", "picture"])
def test_a_frame_is_made_of_the_nearest_of_a_folders_or_clips_pictures(
    chooser: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "folder":
        more = tmp_path / "poses"
        more.mkdir()
        for level in (10, 20):
            of_level(more / f"{level}.png", level)
    elif kind == "clip":
        more = clip_of(tmp_path / "clip.gif", 21)
    else:
        more = of_level(tmp_path / "ten.png", 10)
    found = shown(chooser, tmp_path, more, driver(tmp_path, [0, 10, 19]))
    # From each to the next it goes farther than the next still is away: nothing is mixed.
    nearest = {"folder": [0, 10, 20], "clip": [0, 10, 19], "picture": [0, 10, 10]}[kind]
    assert found == pytest.approx(nearest, abs=1)
    assert shown(chooser, tmp_path, None, driver(tmp_path, [0, 10, 19])) == [0, 0, 0]


def test_a_program_may_give_the_pictures_that_it_holds(chooser: Path, tmp_path: Path) -> None:
    def held() -> Iterator[np.ndarray]:
        yield from (np.full((SIDE, SIDE, 3), STEP * level, np.uint8) for level in (0, 10, 20))

    drive = driver(tmp_path, [0, 10, 19])
    found = shown(chooser, tmp_path, list(held())[1:], drive)
    assert found == pytest.approx([0, 10, 20], abs=1)
    with api.open_player(chooser, more_stills=held()) as player:
        frames = list(player.play(drive, relative=False, smooth=False))
    assert [round(frame.mean() / STEP) for frame in frames] == [0, 10, 20]
    still = np.zeros((SIDE, SIDE, 3), np.uint8)
    wide = np.zeros((SIDE, SIDE + 2, 3), np.uint8)
    for more, said in (
        ([still, wide], r"more_stills, picture 1: This has the proportions 1\.125:1"),
        ([still / 2], "more_stills, picture 0: This is float64"),
        ([], "more_stills: There are no pictures"),
        (3, "more_stills, int: This is no path and gives no pictures"),
    ):
        for own in (still, None):
            with pytest.raises((BadInput, UsageError), match=said):
                api.open_player(chooser, still=own, more_stills=more)


def test_stills_are_spread_over_a_clip_and_fewer_of_large_ones(
    chooser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clip_of(tmp_path / "clip.webp", 31)
    with open_bundle(chooser) as opened:
        for pixels, count in ((stills._MOST_PIXELS, 16), (4 * SIDE * SIDE, 4), (1, 1)):
            monkeypatch.setattr(stills, "_MOST_PIXELS", pixels)
            scene = Scene(np.zeros((SIDE, SIDE, 3), np.uint8))
            found = stills.with_more_stills(scene, clip, opened.contract).more_stills
            levels = [round(float(np.mean(still)) / STEP) for still in found]
            assert len(levels) == count
            assert levels[0] == 0
            assert count == 1 or (levels[-1] >= 24 and np.ptp(np.diff(levels)) <= 2)


@pytest.mark.parametrize("size", [(3 * SIDE, 3 * SIDE), (300, 301)])  # scaled elsewhere, rounded
def test_a_picture_of_the_stills_proportions_is_scaled_to_it(
    chooser: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    more = of_level(tmp_path / "large.png", 10, size)
    assert shown(chooser, tmp_path, more, driver(tmp_path, [0, 10])) == pytest.approx([0, 10])


def test_a_photograph_has_its_proportions_however_small_it_is_read(
    chooser: Path, tmp_path: Path
) -> None:
    of_level(tmp_path / "photograph.jpg", 10, (1201, 1801))
    scene = Scene(np.zeros((24, 16, 3), np.uint8))
    with open_bundle(chooser) as opened:
        (found,) = stills.with_more_stills(scene, tmp_path, opened.contract).more_stills
    assert found.shape == (24, 16, 3)


def test_of_a_clip_no_frame_is_enlarged_that_is_not_taken(chooser: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.webp", 31)
    still = np.zeros((512, 512, 3), np.uint8)
    with open_bundle(chooser) as opened:
        tracemalloc.start()
        try:
            found = stills.with_more_stills(Scene(still), clip, opened.contract).more_stills
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert {picture.shape for picture in found} == {still.shape}
    assert peak < (len(found) + 2) * still.nbytes


@pytest.mark.parametrize("name", ["poses.gif", "poses.webp", "poses.png"])
def test_an_animation_of_a_drawing_that_is_cut_out_goes_with_one_that_is(
    chooser: Path, tmp_path: Path, name: str
) -> None:
    def cut_out(level: int) -> np.ndarray:
        drawn = np.full((SIDE, SIDE, 4), STEP * level, np.uint8)
        drawn[:, :, 3] = np.where(np.arange(SIDE) < 4, 0, 255)
        return drawn

    poses = [cut_out(level) for level in (0, 10, 20)]
    write_animation(tmp_path / name, poses, 25)
    with open_bundle(chooser) as opened:
        scene = stills.with_more_stills(Scene(poses[0]), tmp_path / name, opened.contract)
    for found, drawn in zip(scene.more_stills, poses, strict=True):
        np.testing.assert_array_equal(found[:, :, 3], drawn[:, :, 3])
        np.testing.assert_allclose(found[:, 4:, 0], drawn[:, 4:, 0], atol=2)


def test_what_does_not_fit_the_still_is_named_with_its_file(chooser: Path, tmp_path: Path) -> None:
    drive, still = driver(tmp_path, [0, 10]), of_level(tmp_path / "still.png", 0)
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 100)).save(clear)
    wide = tmp_path / "poses"
    wide.mkdir()
    of_level(wide / "a.png", 1)
    of_level(wide / "b.png", 1, (SIDE + 2, SIDE))
    empty = tmp_path / "empty"
    empty.mkdir()
    for more, said in (
        (wide, r"b\.png: This has the proportions 1\.125:1, and the still 1\.000:1\."),
        (clear, r"clear\.png: This is transparent, and the still is not"),
        (empty, "no pictures in this folder"),
        (tmp_path / "none", "none"),
    ):
        with pytest.raises(BadInput, match=said):
            api.animate(chooser, still=still, more_stills=more, drive=drive, out=tmp_path / "o.gif")
    with pytest.raises(BadInput, match=r"still\.png: The still is transparent, and this is not"):
        api.animate(chooser, still=clear, more_stills=still, drive=drive, out=tmp_path / "o.gif")
    assert not (tmp_path / "o.gif").exists()


def test_the_printed_figures_are_those_of_the_further_stills_of_each_clip(
    small_bundle: Path, pictures: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # What it ends with has been seen in its first three fifths.
    clip = tmp_path / "there_and_back.mp4"
    write_animation(clip, [*pictures, *pictures[::-1]], 10)
    assert figures.main([str(small_bundle), str(clip)]) == 0
    *_, row = capsys.readouterr().out.splitlines()
    _, name, one, more, *_ = (cell.strip() for cell in row.split("|"))
    assert name == "there_and_back"
    assert float(more) > float(one) + 0.2


def test_without_a_still_the_first_of_a_clip_or_folder_is_it(chooser: Path, tmp_path: Path) -> None:
    clip, poses = clip_of(tmp_path / "clip.gif", 21), tmp_path / "poses"
    poses.mkdir()
    for name, level in (("2", 0), ("10", 20)):
        of_level(poses / f"{name}.png", level, (SIDE, 2 * SIDE))
    drive, out = driver(tmp_path, [0, 20]), tmp_path / "frames"
    for more in (clip, poses):
        api.animate(chooser, more_stills=more, drive=drive, out=out, relative=False, smooth=False)
        assert [round(frame.mean() / STEP) for frame in read_frames(out)] == [0, 20]


def test_without_a_still_what_does_not_fit_is_measured_by_the_first_picture(
    chooser: Path, tmp_path: Path
) -> None:
    drive, poses = driver(tmp_path, [0, 10]), tmp_path / "poses"
    poses.mkdir()
    of_level(poses / "1.png", 1)
    of_level(poses / "2.png", 1, (SIDE + 2, SIDE))
    with pytest.raises(BadInput, match=r"2\.png: This has the .*, and the first picture 1\.000:1"):
        api.animate(chooser, more_stills=poses, drive=drive, out=tmp_path / "o.gif")
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 100)).save(poses / "2.png")
    with pytest.raises(BadInput, match=r"2\.png: This is transparent, and the first picture is"):
        api.animate(chooser, more_stills=poses, drive=drive, out=tmp_path / "o.gif")
    (poses / "1.png").rename(poses / "3.png")
    with pytest.raises(BadInput, match=r"3\.png: The first picture is transparent, and this is"):
        api.animate(chooser, more_stills=poses, drive=drive, out=tmp_path / "o.gif")


def test_what_has_no_end_or_would_be_overwritten_is_refused(chooser: Path, tmp_path: Path) -> None:
    drive, still = driver(tmp_path, [0, 10]), of_level(tmp_path / "still.png", 0)
    poses = tmp_path / "poses"
    poses.mkdir()
    of_level(poses / "0.png", 1)

    def refused(said: str, **options: Any) -> None:
        asked = {"still": still, "drive": drive, "out": tmp_path / "o.gif", "more_stills": poses}
        with pytest.raises(UsageError, match=said):
            api.animate(chooser, **asked | options)

    refused("--more-stills: A camera and a pipe have no end", more_stills="camera:0")
    refused("--more-stills: A camera and a pipe have no end", more_stills="-")
    refused("input of the command", out=poses)


def test_a_pipe_is_refused_before_it_is_opened(chooser: Path, tmp_path: Path) -> None:
    """Nobody writes to this one, so it was waited for without end."""
    os.mkfifo(tmp_path / "pipe")
    given = {
        "bundle": chooser,
        "still": of_level(tmp_path / "still.png", 0),
        "drive": driver(tmp_path, [0, 10]),
        "more_stills": of_level(tmp_path / "more.png", 1),
    }
    for name in given:
        with pytest.raises(BadInput, match=r"pipe: This is a pipe, and a file is needed here\."):
            api.animate(**given | {name: tmp_path / "pipe"}, out=tmp_path / "o.gif")


def test_what_no_still_can_take_over_in_is_refused_before_any_is_read(tmp_path: Path) -> None:
    frames = GraphSpec("net", "net.onnx", "frame", (picture("driving_frame"),), (picture("frame"),))
    with pytest.raises(UsageError, match=r"no other still can take over.*--more-stills"):
        stills.with_more_stills(Scene(), tmp_path / "none", Contract("net", (frames,)))


def test_only_clips_are_scored_with_further_stills(
    small_bundle: Path, moving_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeanim.models.evaluation.sets.PUPPETS", 1)
    with pytest.raises(UsageError, match="--more-stills: They show the character of clips"):
        api.evaluate(small_bundle, more_stills=moving_clip)
    with pytest.raises(UsageError, match="--more-stills: They show the character of clips"):
        api.evaluate(small_bundle, clips=moving_clip, dataset="none", more_stills=moving_clip)
    for endless in ("camera:0", "-"):
        with pytest.raises(UsageError, match="--more-stills: A camera and a pipe have no end"):
            api.evaluate(small_bundle, clips=moving_clip, more_stills=endless)
    with pytest.raises(UsageError, match=r"--more-stills.*trained networks"):
        api.evaluate(clips=moving_clip, more_stills=moving_clip)
    found = api.evaluate(small_bundle, clips=moving_clip, more_stills=moving_clip).scores
    _, alone = api.evaluate(small_bundle, clips=moving_clip).scores
    assert [score.name for score in found] == [alone.name]
    assert found[0].won is not None
    assert alone.won is not None
    # Among its stills are the very frames that drive it.
    assert found[0].won > alone.won + 0.2
    assert found[0].still == alone.still


def test_pictures_to_score_with_are_of_any_size_as_they_are_to_animate_with(tmp_path: Path) -> None:
    for number in range(20):
        of_level(tmp_path / f"{number}.png", number, (SIDE * (1 + number % 3), SIDE))
    found = stills.square_stills(tmp_path)
    assert {picture.shape for picture in found} == {found[0].shape}
    levels = [round(float(np.mean(picture)) / STEP) for picture in found]
    assert (len(levels), levels[0], levels[-1]) == (16, 0, 19)
    assert np.diff(levels).min() > 0


def test_frames_to_score_with_are_spread_over_a_clip(tmp_path: Path) -> None:
    found = stills.square_stills(clip_of(tmp_path / "clip.webp", 31))
    levels = [float(np.mean(picture)) / STEP for picture in found]
    assert len(levels) == 16
    assert levels[-1] >= 24


def test_the_program_of_the_figures_prints_what_they_win_and_refuses_none(
    small_bundle: Path, moving_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(small_bundle), str(moving_clip), "--stills"]
    assert figures.main([*asked, "4"]) == 0
    name, *found = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert name == "moving"
    assert len(found) == 5
    assert figures.main([*asked, "0"]) == UsageError.exit_code
    assert "--stills: At least one further still is needed." in capsys.readouterr().err
