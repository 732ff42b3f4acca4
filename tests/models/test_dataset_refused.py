"""What is no dataset, or cannot be true of one, is refused before it does harm."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgeanim.api import import_dataset, make_dataset
from edgeanim.cli.dataset import command
from edgeanim.core.arrays import save_npz
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.dataset.form import (
    KNOWN,
    MANIFEST,
    RECORD,
    DatasetWriter,
    Origin,
    content_hash,
)
from edgeanim.models.dataset.reader import read_sequences


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "gone"],
        ["import", "gone.mp4", "-o", "data"],
        ["make", "-o", "data", "--drawings", "gone", "--motions", "gone"],
        ["make", "-o", "data", "--sketches", "1", "--motions", "gone"],
        ["make", "-o", "data", "--scenes", "1", "--photographs", "gone"],
        ["make", "-o", "a file", "--puppets", "1"],
    ],
)
def test_what_is_not_there_is_bad_input(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("")
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, BadInput), result.exception
    if "a file" not in arguments:
        assert "No such file" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_an_import_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no clip at all")
    with pytest.raises(BadInput):
        import_dataset([tmp_path / "a.mp4"], tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_file_that_is_not_there_is_told_before_others_are_imported(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((9, 9, 3), i, np.uint8))
    with pytest.raises(BadInput, match="No such file"):
        import_dataset([tmp_path, tmp_path / "gone.gif"], tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_of_clips_says_which_clip_to_name(tmp_path):
    (tmp_path / "anna.mp4").write_bytes(b"")
    with pytest.raises(BadInput, match=r"no pictures.*folder.*anna\.mp4"):
        import_dataset([tmp_path], tmp_path / "data")


def test_a_clip_of_which_every_leaves_one_frame_says_so(tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((9, 9, 3), i, np.uint8))
    with pytest.raises(BadInput, match=r"two frames.*--every"):
        import_dataset([tmp_path], tmp_path / "data", every=9)


def test_a_cell_is_never_guessed_to_be_one_pixel(tmp_path):
    path = tmp_path / "hero.png"
    cv2.imwrite(str(path), np.zeros((20, 23, 3), np.uint8))
    with pytest.raises(BadInput, match="Perhaps the cell is 23 pixels wide"):
        import_dataset([path], tmp_path / "data", cell=(5, 10))


def test_what_is_imported_already_is_not_silently_left_in_its_split(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((9, 9, 3), i, np.uint8))
    import_dataset([tmp_path], tmp_path / "data", split="train")
    import_dataset([tmp_path], tmp_path / "data", split="train")
    with pytest.raises(UsageError, match="in the split 'train' already"):
        import_dataset([tmp_path], tmp_path / "data", split="val")


def test_an_identity_without_a_name_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs a name"):
        import_dataset([tmp_path], tmp_path / "data", identity=" ")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="something else"):
        make_dataset(tmp_path, puppets=1)


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ({}, "Nothing to make"),
        ({"drawings": "a"}, "need motions"),
        ({"motions": "a", "puppets": 1}, "need drawings"),
        ({"puppets": 1, "photographs": "a"}, "Photographs need scenes"),
        ({"puppets": 1, "takes": 3}, "Takes go with drawings"),
        ({"puppets": 1, "moments": 0}, "moments"),
        ({"puppets": -1}, "negative"),
        ({"puppets": 10**12}, "At most 1,000,000"),
    ],
)
def test_requests_that_make_no_sense_are_refused(tmp_path, choices, match):
    with pytest.raises(UsageError, match=match):
        make_dataset(tmp_path / "data", **choices)


def share_identity(sequences, number):
    sequences[number]["origin"]["identity"] = "twin"
    sequences[number]["split"] = ("train", "val")[number]


def edit_manifest(folder, change):
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d["sequences"][0]["origin"].update(id="../../etc"), "cannot name a folder"),
        (lambda d: d["sequences"][0]["origin"].update(id="gone"), "No such file"),
        (lambda d: d["sequences"][0].update(frames=10**9), "frames"),
        (lambda d: d["sequences"][0].update(frames=3), "hash differs"),
        (lambda d: d["sequences"][0].update(sha256="0" * 64), "hash differs"),
        (lambda d: d["sequences"][0].update(split="best"), "not possible"),
        (lambda d: d.update(size=64), "64 pixels"),
        (lambda d: d.update(schema="edgeanim.dataset/2"), "not possible"),
        (lambda d: d["sequences"].append(d["sequences"][0]), "same id"),
        (lambda d: [share_identity(d["sequences"], i) for i in (0, 1)], "two splits"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_refused(copy, change, match):
    edit_manifest(copy, change)
    with pytest.raises(EdgeanimError, match=match):
        read_sequences(copy)


def test_what_a_manifest_says_does_not_steer_the_terminal(copy):
    licence = "free\x1b[2J\x9b2J\u202e"
    edit_manifest(copy, lambda d: d["sequences"][0]["origin"].update(licence=licence))
    for option, shown in (([], r"free\x1b[2J\x9b2J\u202e"), (["--json"], r"free\u001b[2J\u009b")):
        told = CliRunner().invoke(command, ["show", str(copy), *option]).output
        assert shown in told
        assert told.replace("\n", "").isprintable()
    assert licence in json.loads(told)[0]["licences"]


def rewrite(folder, **arrays):
    """Replace what is known of a sequence, with a hash that fits."""
    place = folder / "sequences" / "puppet-1000"
    known = dict(np.load(place / KNOWN)) | arrays
    save_npz(place / KNOWN, known)
    digest = content_hash(place, 4, known=True)

    def change(data):
        next(e for e in data["sequences"] if e["origin"]["id"] == "puppet-1000")["sha256"] = digest

    edit_manifest(folder, change)


@pytest.mark.parametrize(
    "arrays",
    [
        {"before": np.array([0, 0, 2, 9], np.int32)},
        {"before": np.zeros(3, np.int32)},
        {"regions": np.zeros((2, 2), np.uint8)},
        {"regions": np.full(300, 1, np.uint8)},
        {"transforms": np.zeros((4, 3, 2, 3), np.float32)},
        {"transforms": np.full((4, 22, 2, 3), np.nan, np.float32)},
    ],
)
def test_knowledge_that_cannot_be_true_is_refused(copy, arrays):
    rewrite(copy, **arrays)
    with pytest.raises(BadInput, match="impossible"):
        read_sequences(copy, ids=["puppet-1000"])


def test_collapsed_parts_and_labels_beyond_the_parts_are_refused(copy):
    regions = dict(np.load(copy / "sequences/puppet-1000" / KNOWN))["regions"]
    flat = np.zeros((4, len(regions), 2, 3), np.float32)
    rewrite(copy, transforms=flat)
    with pytest.raises(BadInput, match="impossible"):
        read_sequences(copy, ids=["puppet-1000"])
    flat[..., 0, 0] = flat[..., 1, 1] = 1
    rewrite(copy, regions=regions[:2], transforms=flat[:, :2])
    sequence = read_sequences(copy, ids=["puppet-1000"])[0]
    with pytest.raises(BadInput, match="beyond the 2"):
        make_pair(sequence, 0, 1, 64)


def test_a_record_of_another_sequence_is_refused(copy):
    shutil.copy(copy / "sequences/puppet-1001" / RECORD, copy / "sequences/puppet-1000" / RECORD)
    with pytest.raises(BadInput, match="another sequence"):
        DatasetWriter(copy)


def test_a_clip_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeanim.models.dataset.form.MAX_FRAMES", 5)
    origin = Origin("long", "long", "clip", "long", "own", "")
    frames = (np.zeros((SIZE, SIZE, 3), np.uint8) for _ in range(100))
    writer = DatasetWriter(tmp_path / "data")
    with pytest.raises(BadInput, match="more than 5 frames"):
        writer.add_clip(origin, frames)
    assert not (tmp_path / "data/sequences/long").exists()
