"""A dataset holds what was put in, whole or not at all, one character in one split."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.api import import_dataset, make_dataset, show_dataset
from edgeanim.cli.dataset import command
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.progress import SILENT, Silent
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.people.person import person_at_moments
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.puppets.scenes import scene_at_moments
from edgeanim.models.data.sequences import puppet_at_moments
from edgeanim.models.dataset.form import (
    MANIFEST,
    DatasetWriter,
    Origin,
    load_manifest,
    sequence_id,
    split_of,
)
from edgeanim.models.dataset.make import DatasetRecipe, tasks
from edgeanim.models.dataset.reader import FrameCache, read_sequences
from edgeanim.models.train import train
from edgeanim.models.training import batches
from edgeanim.models.training.batches import draw_batch, load_material
from edgeanim.models.training.config import DataConfig, Phase
from tests.models.notes import Notes
from tests.models.tiny_training import SHORT


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "walk"
    folder.mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((50, 40, 3), 60 * i, np.uint8))
    return folder


def test_what_is_read_is_what_was_drawn(made):
    stored = {sequence.name: sequence for sequence in read_sequences(made)}
    assert set(stored) == {
        *("puppet-1000", "puppet-1001", "scene-1000", "person-1000"),
        *("sketch-1000", "drawing-stick-lift-1000"),
    }
    for name, drawn in (
        ("puppet-1001", puppet_at_moments(1001, 2)),
        ("scene-1000", scene_at_moments(1000, 2)),
        ("person-1000", person_at_moments(1000, 2)),
    ):
        read = stored[name]
        assert len(read.pictures) == len(drawn.pictures) == 4
        for i in range(4):
            assert np.array_equal(read.pictures[i], drawn.pictures[i])
            assert np.array_equal(read.parts.shown[i], drawn.parts.shown[i])
        assert read.before == drawn.before
        pair, same = (make_pair(s, 1, 3, 64) for s in (read, drawn))
        assert np.array_equal(pair.flow, same.flow)
        assert np.array_equal(pair.visible, same.visible)
    assert stored["drawing-stick-lift-1000"].parts.sheets is not None


def test_making_it_again_makes_nothing_and_more_adds_to_it(copy):
    before = (copy / MANIFEST).read_bytes()
    stamp = (copy / "sequences/puppet-1000/record.json").stat().st_mtime_ns
    make_dataset(copy, puppets=2, moments=2)
    assert (copy / MANIFEST).read_bytes() == before
    manifest = make_dataset(copy, puppets=3, moments=2)
    assert len(manifest.sequences) == 7
    assert (copy / "sequences/puppet-1000/record.json").stat().st_mtime_ns == stamp
    make_dataset(copy, puppets=1, moments=3)
    assert len(read_sequences(copy, ids=["puppet-1000"])[0].pictures) == 6


def test_a_killed_run_is_gone_on_with(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    make_dataset(whole, puppets=3, moments=1)
    add, calls = DatasetWriter.add, []

    def add_two(self, *arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(0)
        return add(self, *arguments)

    monkeypatch.setattr(DatasetWriter, "add", add_two)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(broken, puppets=3, moments=1)
    assert not (broken / MANIFEST).exists()
    monkeypatch.setattr(DatasetWriter, "add", add)
    (broken / "sequences" / ".partial-left").mkdir()
    make_dataset(broken, puppets=3, moments=1)
    assert (broken / MANIFEST).read_bytes() == (whole / MANIFEST).read_bytes()


@given(st.text())
def test_an_identity_always_falls_into_the_same_split(identity):
    assert split_of(identity) == split_of(identity)


def test_of_many_identities_most_are_to_train_on():
    splits = [split_of(f"puppet {i}") for i in range(2000)]
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert splits.count(split) / 2000 == pytest.approx(share, abs=0.03)


def test_a_character_stays_in_its_split(tmp_path, clip):
    out = tmp_path / "data"
    import_dataset([clip], out, identity="anna", split="val")
    cv2.imwrite(str(clip / "9.png"), np.full((50, 40, 3), 9, np.uint8))
    manifest = import_dataset([clip], out, identity="anna")
    assert [entry.split for entry in manifest.sequences] == ["val", "val"]
    cv2.imwrite(str(clip / "9.png"), np.full((50, 40, 3), 8, np.uint8))
    with pytest.raises(UsageError, match="cannot be in two"):
        import_dataset([clip], out, identity="anna", split="train")


def test_imports_are_recorded_with_source_licence_and_hash(tmp_path, clip):
    (clip.parent / "LICENSE").write_text("\n  Creative   Commons Attribution\nmore\n")
    out = tmp_path / "data"
    entry = import_dataset([clip], out).sequences[0]
    assert entry.origin.licence == "Creative Commons Attribution"
    assert entry.origin.identity == entry.origin.source == "walk"
    assert (entry.frames, entry.known, len(entry.sha256)) == (4, False, 64)
    sequence = read_sequences(out)[0]
    assert sequence.parts is None
    assert sequence.before == (0, 0, 1, 2)
    assert sequence.pictures[3].mean() == 180


def test_two_that_add_at_once_are_both_listed(tmp_path):
    writers = [DatasetWriter(tmp_path / "data") for _ in range(2)]
    frames = [np.zeros((SIZE, SIZE, 3), np.uint8)] * 2
    for name, writer in zip("ab", writers, strict=True):
        writer.add_clip(Origin(name, name, "clip", name, "own", ""), frames)
    for writer in writers:
        writer.finish()
    manifest = load_manifest(tmp_path / "data")
    assert [entry.origin.id for entry in manifest.sequences] == ["a", "b"]


def test_a_sheet_is_imported_whole_or_by_rows(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (20, 60, 3)).astype(np.uint8)
    path = tmp_path / "hero.png"
    cv2.imwrite(str(path), picture)
    whole = import_dataset([path], tmp_path / "whole", cell=(20, 10))
    assert [entry.frames for entry in whole.sequences] == [6]
    rows = import_dataset([path], tmp_path / "rows", cell=(20, 10), rows=True)
    assert [entry.frames for entry in rows.sequences] == [3, 3]
    assert {entry.origin.identity for entry in rows.sequences} == {"hero"}
    with pytest.raises(UsageError, match="cell size"):
        import_dataset([path], tmp_path / "no", rows=True)
    with pytest.raises(BadInput, match=r"two frames.*--cell"):
        import_dataset([path], tmp_path / "still")
    with pytest.raises(BadInput, match=r"two pictures.*too large"):
        import_dataset([path], tmp_path / "one", cell=(60, 20))


def test_a_file_of_one_picture_is_told_by_its_path_whatever_its_source(tmp_path):
    path = tmp_path / "still.png"
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(BadInput, match="two frames") as caught:
        import_dataset([path], tmp_path / "data", source="https://example.org/hero")
    assert str(caught.value).startswith(f"{path}: ")


def test_a_row_of_one_picture_is_told_before_any_row_is_stored(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (20, 60, 3)).astype(np.uint8)
    picture[10:, 20:] = 0
    cv2.imwrite(str(tmp_path / "hero.png"), picture)
    with pytest.raises(BadInput, match=r"row of this sheet.*leave --rows out"):
        import_dataset([tmp_path / "hero.png"], tmp_path / "data", cell=(20, 10), rows=True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("rows", [False, True])
def test_a_sheet_of_empty_cells_is_refused(tmp_path, rows):
    cv2.imwrite(str(tmp_path / "blank.png"), np.zeros((20, 60, 3), np.uint8))
    with pytest.raises(BadInput, match=r"This sheet.*--cell"):
        import_dataset([tmp_path / "blank.png"], tmp_path / "data", cell=(20, 10), rows=rows)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["at 12:30", "a\\b", "long " * 40, "😀" * 50])
def test_files_are_imported_whatever_they_are_called(tmp_path, clip, name):
    clip = clip.rename(tmp_path / name)
    entry = import_dataset([clip], tmp_path / "data").sequences[0]
    assert entry.origin.identity == entry.origin.source == name
    assert len(read_sequences(tmp_path / "data")) == 1


def test_what_is_not_utf_8_in_a_name_is_shown_as_that(tmp_path, clip, drawing, bvh):
    odd = os.fsdecode(b"odd \xff")
    clip, drawing = clip.rename(tmp_path / odd), shutil.copytree(drawing, tmp_path / (odd + "2"))
    import_dataset([clip], tmp_path / "data")
    import_dataset([clip], tmp_path / "data", identity=odd, source=odd, licence=odd)
    make_dataset(tmp_path / "data", drawings=drawing, motions=bvh, moments=1)
    one, two = (entry.origin for entry in load_manifest(tmp_path / "data").sequences)
    assert (one.source[:12], one.id[:14]) == ("odd \ufffd2 moved", "drawing-odd \ufffd2")
    assert two.identity == two.source == two.licence == "odd \ufffd"


def test_long_names_that_end_differently_have_different_ids():
    ids = {sequence_id("sheet", "\u00fc" * 200 + f"-row{row}", "abc") for row in range(3)}
    assert len(ids) == 3
    assert all(len(each.encode()) <= 120 for each in ids)


def test_a_folder_is_called_as_it_is_where_it_lies(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(clip)
    entry = import_dataset(["."], tmp_path / "data").sequences[0]
    assert entry.origin.identity == entry.origin.source == "walk"
    assert entry.origin.id.startswith("frames-walk-")


def test_a_dataset_is_shown_as_a_table_and_a_sheet(made, tmp_path):
    rows = show_dataset(made, tmp_path / "sheet.png", count=3)
    assert {row.kind: row.frames for row in rows}["drawing"] == 5
    assert sum(row.sequences for row in rows) == 6
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] % 3 == 0
    # Masks colour every second picture: it is not the one beside it.
    width = sheet.shape[1] // 6
    first, second = sheet[20:160, :width].astype(int), sheet[20:160, width : 2 * width]
    assert np.abs(first - second).mean() > 5
    with pytest.raises(UsageError, match="png"):
        show_dataset(made, tmp_path / "sheet.jpg")


def test_a_file_that_cannot_be_imported_takes_nothing_from_those_before_it(tmp_path, clip):
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    with pytest.raises(BadInput, match="junk"):
        import_dataset([tmp_path / "junk.mp4"], tmp_path / "data")
    assert not (tmp_path / "data" / MANIFEST).exists()
    with pytest.raises(BadInput, match="junk"):
        import_dataset([clip, tmp_path / "junk.mp4"], tmp_path / "data")
    (row,) = show_dataset(tmp_path / "data")
    assert row.sequences == 1


def test_while_a_file_is_imported_its_frames_are_counted(tmp_path, clip):
    progress = Notes()
    import_dataset(clip, tmp_path / "data", progress=progress)
    assert progress.notes == ["walk, 1", "walk, 2", "walk, 3", "walk, 4", "walk"]
    assert progress.count == 1


def test_a_sheet_takes_the_place_of_nothing_in_the_dataset(copy):
    frame = copy / "sequences" / "puppet-1000" / "frames" / "00000.png"
    before = frame.read_bytes()
    for out in (frame, copy / "frames" / ".." / "sequences" / "sheet.png"):
        with pytest.raises(UsageError, match="among the dataset's own sequences"):
            show_dataset(copy, out)
    assert frame.read_bytes() == before
    show_dataset(copy, copy / "sheet.png")


def test_the_commands_make_import_and_show(tmp_path, clip):
    out = str(tmp_path / "data")
    run = CliRunner().invoke
    result = run(command, ["make", "-o", out, "--puppets", "1", "--moments", "1"])
    assert "1 sequence, 2 frames" in result.output
    result = run(command, ["import", str(clip), "-o", out, "--identity", "anna", "--split", "val"])
    assert "2 sequences, 6 frames" in result.output
    result = run(command, ["show", out, "--json", "-o", str(tmp_path / "s.png")])
    rows = json.loads(result.stdout)
    assert (rows[0]["kind"], rows[0]["split"]) == ("frames", "val")
    assert (tmp_path / "s.png").is_file()
    assert "val" in run(command, ["show", out]).output
    sheet = str(tmp_path / "s.png")
    assert run(command, ["show", out, "-o", sheet]).stdout.endswith(f"Sheet: {sheet}\n")
    assert run(command, ["import", str(clip), "-o", out, "--cell", "3"]).exit_code == 2


def test_a_dataset_whose_making_was_interrupted_is_gone_on_with(tmp_path, monkeypatch):
    (tmp_path / "data" / "sequences" / ".partial-killed").mkdir(parents=True)
    monkeypatch.setattr(DatasetWriter, "finish", lambda _: None)
    make_dataset(tmp_path / "data", puppets=1, moments=1)
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"not finished.*again; it goes on"):
        show_dataset(tmp_path / "data")
    make_dataset(tmp_path / "data", puppets=1, moments=1)
    assert len(show_dataset(tmp_path / "data")) == 1


def test_tasks_know_what_they_make_before_they_make_it(drawing, bvh):
    recipe = DatasetRecipe(puppets=1, moments=2, drawings=drawing, motions=bvh)
    recipes = (recipe, replace(recipe, moments=3))
    one, two = ([task.origin for task in tasks(each)] for each in recipes)
    assert [origin.id for origin in one] == [origin.id for origin in two]
    assert all(a.recipe != b.recipe for a, b in zip(one, two, strict=True))


def test_frames_are_decoded_when_asked_for_and_kept_within_bounds(made):
    cache = FrameCache(3 * SIZE * SIZE * 3)
    sequence = read_sequences(made, ids=["puppet-1000"], cache=cache)[0]
    first = sequence.pictures[0]
    assert sequence.pictures[0] is first
    for index in range(4):
        sequence.pictures[index]
    assert sequence.pictures[0] is not first
    with pytest.raises(IndexError):
        sequence.pictures[4]


def test_training_draws_from_datasets(made, tmp_path, clip):
    import_dataset([clip], tmp_path / "clips", split="train")
    make_dataset(tmp_path / "unseen", puppets=1, moments=1, split="test")
    config = DataConfig(puppets=1, moments=2, datasets=(made, tmp_path / "clips"))
    material = load_material(config, SILENT)
    names = {sequence.name for sequence in material.puppets}
    kept = {e.origin.id for e in load_manifest(made).sequences if e.split == "train"}
    assert names == {"puppet 1000", *kept}
    assert len(material.clips) == 1
    one, two = (draw_batch(material, config, 64, 4, (0, 1)) for _ in range(2))
    assert torch.equal(one.still, two.still)
    assert one.known.flatten().tolist() == [0, 1, 1, 1]
    with pytest.raises(BadInput, match="no sequences for train"):
        load_material(DataConfig(puppets=0, datasets=(tmp_path / "unseen",)), SILENT)
    with pytest.raises(ValueError, match="at least 1"):
        DataConfig(puppets=0)


@pytest.mark.parametrize(
    ("split", "puppets", "said"),
    [("test", 1, r"unseen: .*no sequences for train.*test.*--split train"), ("train", 0, "masks")],
)
def test_datasets_that_teach_nothing_are_found_before_anything_is_drawn_or_read(
    tmp_path, clip, monkeypatch, split, puppets, said
):
    import_dataset([clip], tmp_path / "unseen", split=split)
    for slow in ("puppet_sequences", "clip_sequences", "read_sequences"):
        monkeypatch.setattr(batches, slow, lambda *_: pytest.fail("it began"))
    places = {"clips": clip.parent, "clip_names": (clip.name,)}
    data = DataConfig(puppets=puppets, datasets=(tmp_path / "unseen",), **places)
    with pytest.raises(BadInput, match=said):
        load_material(data, SILENT)


def test_no_puppets_are_not_said_to_be_drawn(made):
    class Stages(Silent):
        def stage(self, title, total=None):  # noqa: ARG002
            titles.append(title)

    titles = []
    load_material(DataConfig(puppets=0, datasets=(made,)), Stages())
    assert titles == [f"opening {made.name}"]


def test_masks_that_are_not_for_training_are_not_said_to_be_none(tmp_path, clip):
    import_dataset([clip], tmp_path / "data", split="train")
    make_dataset(tmp_path / "data", puppets=1, moments=1, split="val")
    with pytest.raises(BadInput, match=r"No sequence for train .* has masks") as refused:
        load_material(DataConfig(puppets=0, datasets=(tmp_path / "data",)), SILENT)
    assert "--split train" in str(refused.value)


def test_no_face_is_said_to_be_missing_in_clips_that_were_not_looked_at(tmp_path, clip):
    import_dataset([clip], tmp_path / "clips", split="train")
    data = DataConfig(puppets=1, moments=2, datasets=(tmp_path / "clips",), weak_labels=True)
    phase = Phase(1, batch=2, sizes=(64,))
    train(replace(SHORT, data=data, regions=(phase,), generator=(phase,)), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "sheets").iterdir()] == ["000002.png"]
