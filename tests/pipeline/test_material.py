"""From what users point at to scenes: bounded, even, held out, and clear about what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim.api import make_dataset
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.models.regions import REGIONS, SKELETON
from edgeanim.pipeline.frames.material import GOLDEN_FRAMES, Material, gather
from edgeanim.pipeline.models import default_material
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.runtime.media import write_animation
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Picture, Scene
from tests.pipeline.contracts import MOVING, PICTURE, PLAIN, RESULT, STILL, STYLE, STYLED


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures of different sizes; picture i has the value 10 i everywhere."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        Image.new("RGB", (30 + i, 20 + 2 * i), (10 * i,) * 3).save(folder / f"{i}.png")
    return folder


def test_a_net_of_conditions_alone_needs_one_that_changes(photos: Path, tmp_path: Path) -> None:
    fixed = Contract("fixed", (GraphSpec("net", "net.onnx", "frame", (STYLE,), (RESULT,)),))
    with pytest.raises(BadInput, match="neither a picture nor motion"):
        gather(fixed, photos, {}, limit=4)
    np.save(tmp_path / "styles.npy", np.eye(4, dtype=np.float32))
    clip = tmp_path / "clip.gif"
    write_animation(clip, [np.full((8, 8, 3), 10 * i, np.uint8) for i in range(6)], 10)
    found = gather(fixed, clip, {"net_style": tmp_path / "styles.npy"}, limit=4)
    assert len(found.held_out.conditions["net_style"]) == 4


def test_a_net_of_conditions_alone_needs_no_frames(photos: Path, tmp_path: Path) -> None:
    alone = Contract("alone", (GraphSpec("net", "net.onnx", "frame", (STYLE,), (RESULT,)),))
    np.save(tmp_path / "s.npy", np.arange(40, dtype=np.float32).repeat(4).reshape(40, 4))
    given = {"net_style": tmp_path / "s.npy"}
    material = gather(alone, None, given, limit=20)
    (taught,), judged = material.calibration, material.held_out
    values = [scene.conditions["net_style"][:, 0].tolist() for scene in (taught, judged)]
    assert material.separate
    assert sorted([*values[0], *values[1]]) == evenly(40, 20).tolist()
    assert np.asarray(judged.driver).shape == (len(values[1]), 16, 24, 3)
    with pytest.raises(UsageError, match=r"takes no picture.*Leave out --calib"):
        gather(alone, photos, given, limit=4)


def test_pictures_are_repeated_for_all_poses(tmp_path: Path) -> None:
    Image.new("RGB", (24, 16), (50,) * 3).save(tmp_path / "0.png")
    Image.new("RGB", (24, 16), (90,) * 3).save(tmp_path / "1.png")
    np.save(tmp_path / "s.npy", np.arange(40, dtype=np.float32).repeat(4).reshape(40, 4))
    material = gather(STYLED, tmp_path, {"net_style": tmp_path / "s.npy"}, limit=20)
    (taught,), judged = material.calibration, material.held_out
    values = [scene.conditions["net_style"][:, 0].tolist() for scene in (taught, judged)]
    assert material.separate
    assert sorted([*values[0], *values[1]]) == evenly(40, 20).tolist()
    for scene in (taught, judged):
        assert {int(frame.mean()) for frame in np.asarray(scene.driver)} == {50, 90}


def test_pictures_of_any_size_are_fitted_and_every_fourth_is_held_out(photos: Path) -> None:
    material = gather(PLAIN, photos, {}, limit=64)
    (scene,) = material.calibration
    taught, judged = np.asarray(scene.driver), np.asarray(material.held_out.driver)
    assert taught.shape == (9, 16, 24, 3)
    assert judged.shape == (3, 16, 24, 3)
    assert [int(frame.mean() / 10) for frame in judged] == [3, 7, 11]
    assert not {int(f.mean()) for f in taught} & {int(f.mean()) for f in judged}
    assert material.separate


def test_a_net_that_looks_back_is_shown_and_judged_on_runs(tmp_path: Path) -> None:
    before = replace(PLAIN.graphs[0].inputs[0], name="before", role="previous_frame")
    graph = PLAIN.graphs[0]
    contract = replace(PLAIN, graphs=(replace(graph, inputs=(*graph.inputs, before)),))
    material = gather(contract, _clip(tmp_path / "clip.gif", 120), {}, limit=48)
    (taught,) = material.calibration
    runs = np.array(_values(material.held_out.driver)).reshape(-1, 4)
    assert (np.diff(runs, axis=1) == np.diff(runs[0])[0]).all()
    assert material.separate
    assert not {*runs.ravel()} & {*_values(taught.driver)}
    few = gather(contract, _clip(tmp_path / "few.gif", 8), {}, limit=48)
    assert [len(_values(s.driver)) for s in (few.calibration[0], few.held_out)] == [4, 4]


def test_of_a_picture_of_other_proportions_the_middle_is_taken(tmp_path: Path) -> None:
    """Edges that nothing was seen of would be calibrated on."""
    for name, size in (("wide", (16, 96)), ("high", (64, 24))):
        picture = np.full((*size, 3), 255, np.uint8)
        middle = [slice((n - m) // 2, (n + m) // 2) for n, m in zip(size, (16, 24), strict=True)]
        picture[middle[0], middle[1]] = 128
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    (scene,) = gather(PLAIN, tmp_path, {}, limit=8).calibration
    assert (np.asarray(scene.driver) == 128).all()


def test_too_few_pictures_are_used_for_both_and_it_says_so(photos: Path) -> None:
    for picture in list(photos.iterdir())[3:]:
        picture.unlink()
    material = gather(PLAIN, photos, {}, limit=64)
    assert not material.separate
    assert len(np.asarray(material.held_out.driver)) == 3


def test_a_picture_is_fitted_to_the_graph_that_takes_it(photos: Path) -> None:
    style = GraphSpec(
        "style", "style.onnx", "frame", (STYLE,), (TensorSpec("code", "feature:code", (1, 4)),)
    )
    code = TensorSpec("code", "feature:code", (1, 4))
    net = replace(STYLED.graphs[0], inputs=(PICTURE, code))
    contract = Contract("two", (style, net))
    np.save(photos.parent / "s.npy", np.ones((1, 4), np.float32))
    made = gather(contract, photos, {"net_style": photos.parent / "s.npy"}, limit=8)
    assert np.asarray(made.held_out.driver).shape[1:] == (16, 24, 3)


def test_a_clip_is_a_source_too(tmp_path: Path) -> None:
    frames = [np.full((20, 30, 3), 20 * i, np.uint8) for i in range(8)]
    write_animation(tmp_path / "clip.gif", frames, 10)
    assert gather(PLAIN, tmp_path / "clip.gif", {}, limit=64).separate


def _clip(path: Path, count: int) -> Path:
    """A GIF of `count` frames, at most 256; frame i has the value i everywhere."""
    write_animation(path, (np.full((16, 24, 3), i, np.uint8) for i in range(count)), 25)
    return path


def _values(driver: Iterable[Picture] | None) -> list[int]:
    """The values of frames that have one each."""
    assert driver is not None
    return [int(frame.mean()) for frame in driver]


def test_a_clip_is_calibrated_on_from_end_to_end(tmp_path: Path) -> None:
    (scene,) = gather(MOVING, _clip(tmp_path / "a.gif", 240), {}, limit=96).calibration
    assert scene.still is not None
    assert int(scene.still.mean()) == 0
    taught = _values(scene.driver)
    assert len(taught) == 96
    assert taught[0] == 0
    assert taught[-1] >= 236


def test_a_clip_is_judged_on_short_runs_from_end_to_end(tmp_path: Path) -> None:
    material = gather(MOVING, _clip(tmp_path / "a.gif", 240), {}, limit=120)
    taught, judged = _values(material.calibration[0].driver), _values(material.held_out.driver)
    where = [taught.index(value) for value in judged]
    # A cue is what changed since the frame before, so frames are judged beside their neighbours.
    assert where == [*range(4), *range(39, 43), *range(77, 81), *range(116, 120)]


@pytest.mark.parametrize("first", [PICTURE, STILL], ids=["pictures", "a still that moves"])
def test_a_value_for_each_frame_of_a_clip_stays_with_its_frame(
    tmp_path: Path, first: TensorSpec
) -> None:
    inputs = (first, STYLE) if first is PICTURE else (STILL, PICTURE, STYLE)
    contract = Contract("each", (GraphSpec("net", "net.onnx", "frame", inputs, (RESULT,)),))
    np.save(tmp_path / "each.npy", np.arange(60, dtype=np.float32).repeat(4).reshape(60, 4))
    clip = _clip(tmp_path / "a.gif", 60)
    material = gather(contract, clip, {"net_style": tmp_path / "each.npy"}, limit=24)
    for scene in (*material.calibration, material.held_out):
        assert scene.conditions["net_style"][:, 0].tolist() == _values(scene.driver)


def test_values_that_are_not_one_for_each_frame_of_a_clip_are_all_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.arange(20, dtype=np.float32).reshape(5, 4))
    clip = _clip(tmp_path / "a.gif", 60)
    (scene,) = gather(STYLED, clip, {"net_style": tmp_path / "few.npy"}, limit=24).calibration
    assert scene.conditions["net_style"].shape == (5, 4)


def test_of_many_pictures_as_many_as_are_judged_are_held_out_from_first_to_last(
    tmp_path: Path,
) -> None:
    material = gather(PLAIN, _clip(tmp_path / "a.gif", 200), {}, limit=200)
    taught, judged = _values(material.calibration[0].driver), _values(material.held_out.driver)
    assert len(judged) == GOLDEN_FRAMES
    assert (judged[0], judged[-1]) == (3, 199)
    assert np.ptp(np.diff(judged)) <= 4
    assert sorted([*taught, *judged]) == list(range(200))


def test_what_has_our_regions_is_judged_on_what_our_animator_is() -> None:
    """Whatever it is called and wherever it lies: pruned, or trained further."""
    poses = TensorSpec("motion", "motion:driving", (1, len(REGIONS), 6))
    graph = GraphSpec("net", "net.onnx", "frame", (STILL, poses), (RESULT,))
    ours = Contract("mine", (graph,), regions=REGIONS, skeleton=SKELETON)
    material = default_material(ours)
    assert material is not None
    assert material.separate
    assert default_material(MOVING) is None
    assert default_material(replace(ours, skeleton=None)) is None


def test_a_fixed_input_goes_by_either_name(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.ones((2, 4), np.float32))
    for name in ("net/style", "net_style"):
        material = gather(STYLED, photos, {name: tmp_path / "s.npy"}, limit=8)
        assert material.held_out.conditions["net_style"].shape == (2, 4)
    with pytest.raises(UsageError, match="Did you mean 'net_style'"):
        gather(STYLED, photos, {"net_styl": tmp_path / "s.npy"}, limit=8)
    with pytest.raises(UsageError, match=r"taken for `driving_frame`; .* `condition:NAME`"):
        gather(STYLED, photos, {"image": tmp_path / "s.npy"}, limit=8)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_animated_pictures_in_a_folder_are_its_clips(tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        _clip(tmp_path / f"{name}.gif", 6)
        frames = [np.full((16, 24, 3), i, np.uint8) for i in range(6)]
        write_animation(tmp_path / f"{name}{suffix}", frames, 25)
        (tmp_path / f"{name}.gif").unlink()
    material = gather(MOVING, tmp_path, {}, limit=24)
    assert material.separate
    assert len(_values(material.calibration[0].driver)) == 6
    # A model that plays pictures sees all of them.
    assert len(_values(gather(PLAIN, tmp_path, {}, limit=24).calibration[0].driver)) == 9


def test_a_folder_below_is_a_folder_whatever_it_is_called(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "x.mp4").mkdir(parents=True)
    shutil.copy(photos / "0.png", tmp_path / "set" / "x.mp4")
    shutil.copytree(photos, tmp_path / "set" / "x.png")
    count = 1 + len(list(photos.iterdir()))
    material = gather(PLAIN, tmp_path / "set", {}, limit=99)
    assert sum(len(_values(s.driver)) for s in material.calibration) == count - count // 4


def test_pictures_that_are_sorted_by_class_are_all_looked_at(photos: Path, tmp_path: Path) -> None:
    by_class = tmp_path / "classes"
    for name in ("b", "a", ".thumbnails"):
        (by_class / name / "deeper").mkdir(parents=True)
    for i, place in enumerate(("a", "a/deeper", "b", "b", ".thumbnails")):
        (photos / f"{i}.png").rename(by_class / place / f"{i}.png")
    (by_class / "notes.txt").write_text("four cats")
    (material,) = gather(PLAIN, by_class, {}, limit=24).calibration
    assert _values(material.driver) == [0, 10, 20, 30]
    # One that holds pictures itself is taken at its word.
    (photos / "5.png").rename(by_class / "5.png")
    (material,) = gather(PLAIN, by_class, {}, limit=24).calibration
    assert _values(material.driver) == [50]


def test_clips_that_are_sorted_by_person_are_all_followed(tmp_path: Path) -> None:
    for i, name in enumerate(("ann", "bob")):
        (tmp_path / name).mkdir()
        _clip(tmp_path / name / "clip.gif", 4 + i)
    material = gather(MOVING, tmp_path, {}, limit=24)
    assert _values(material.calibration[0].driver) == [0, 1, 2, 3]
    assert _values(material.held_out.driver) == [0, 1, 2, 3, 4]


def test_clips_share_the_frames_that_are_asked_for(tmp_path: Path) -> None:
    for name in "abc":
        _clip(tmp_path / f"{name}.gif", 12)
    material = gather(MOVING, tmp_path, {}, limit=12)
    assert [len(_values(scene.driver)) for scene in material.calibration] == [4, 4]
    assert len(_values(material.held_out.driver)) == 4
    # Motion needs two frames, and clips that no frame is left for are not looked at.
    material = gather(MOVING, tmp_path, {}, limit=2)
    assert [len(_values(scene.driver)) for scene in material.calibration] == [2]


def test_stills_are_moved_by_one_track_after_the_other(photos: Path) -> None:
    first, second = (MotionTrack(np.full((4, 2, 6), i, np.float32), 25.0) for i in (1, 2))
    default = Material((Scene(track=first),), Scene(track=second), separate=True)
    material = gather(MOVING, photos, {}, limit=24, default=default)
    moved_by = [scene.track for scene in (*material.calibration, material.held_out)]
    assert [track is first for track in moved_by] == [True, False] * 6
    assert [track is second for track in moved_by] == [False, True] * 6


def test_a_dataset_is_its_sequences_frames(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", puppets=3, moments=2)
    material = gather(MOVING, tmp_path / "data", {}, limit=24)
    assert [len(_values(scene.driver)) for scene in material.calibration] == [4, 4]
    # Masks, which are pictures too, are no frames.
    seen = gather(PLAIN, tmp_path / "data", {}, limit=64)
    assert len(_values(seen.calibration[0].driver)) + len(_values(seen.held_out.driver)) == 12


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Real frames are needed"):
        gather(PLAIN, None, {}, limit=8)
    with pytest.raises(BadInput, match="No such file"):
        gather(PLAIN, tmp_path / "absent", {}, limit=8)
    with pytest.raises(BadInput, match="no pictures"):
        gather(PLAIN, tmp_path, {}, limit=8)


def test_values_for_each_frame_move_stills(photos: Path, tmp_path: Path) -> None:
    """As they do in `animate`: a talking head has portraits and sound, and no driver."""
    frame = TensorSpec("feature", "feature:f", (1, 4))
    encode = GraphSpec("encode", "encode.onnx", "once", (STILL,), (frame,))
    talk = Contract(
        "talk", (encode, GraphSpec("net", "n.onnx", "frame", (frame, STYLE), (RESULT,)))
    )
    np.save(tmp_path / "s.npy", np.arange(40, dtype=np.float32).repeat(4).reshape(40, 4))
    given = {"net_style": tmp_path / "s.npy"}
    material = gather(talk, photos, given, limit=48)
    assert material.separate
    assert len(material.calibration) == 11
    scenes = (*material.calibration, material.held_out)
    for scene, shade in zip(scenes, range(0, 120, 10), strict=True):
        assert scene.still is not None
        assert int(scene.still.mean()) == shade
        assert scene.conditions["net_style"][:, 0].tolist() == evenly(40, 4).tolist()
        assert np.asarray(scene.driver).shape == (4, 16, 24, 3)
    alone = gather(talk, photos / "0.png", given, limit=20)
    values = [
        s.conditions["net_style"][:, 0].tolist() for s in (*alone.calibration, alone.held_out)
    ]
    assert alone.separate
    assert sorted([*values[0], *values[1]]) == evenly(40, 20).tolist()
    with pytest.raises(UsageError, match=r"do not say how to move.*--input of one value for each"):
        gather(talk, photos, {}, limit=48)
    with pytest.raises(UsageError, match=r"do not say how to move. Give clips"):
        gather(MOVING, photos / "0.png", {}, limit=48)
    with pytest.raises(UsageError, match="edgeanim dataset import FOLDER"):
        gather(MOVING, photos, {}, limit=48)


def test_values_of_another_shape_are_told_with_the_shape_that_the_file_has(
    photos: Path, tmp_path: Path
) -> None:
    """It was that of the values that had been picked of them."""
    np.save(tmp_path / "s.npy", np.zeros((40, 3), np.float32))
    with pytest.raises(BadInput, match=r"--input net_style: .*\[1, 4\].* but \[40, 3\] is given"):
        gather(STYLED, photos, {"net_style": tmp_path / "s.npy"}, limit=20)


def test_of_a_folder_of_clips_one_is_asked_for_where_pictures_are_played(tmp_path: Path) -> None:
    _clip(tmp_path / "a.gif", 4).rename(tmp_path / "a.mp4")
    with pytest.raises(BadInput, match=r"no pictures.*give one of its clips, .*a\.mp4"):
        gather(PLAIN, tmp_path, {}, limit=8)


def test_a_clip_of_one_frame_does_not_move(tmp_path: Path) -> None:
    Image.new("RGB", (24, 16)).save(tmp_path / "one.gif")
    with pytest.raises(BadInput, match="one frame"):
        gather(MOVING, tmp_path / "one.gif", {}, limit=8)
