"""Training learns from puppets and from clips, alone in its folder, and lists its losses."""

from __future__ import annotations

import csv
import errno
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.core.progress import SILENT
from edgeanim.models.animator import load_animator
from edgeanim.models.dataset import sheet
from edgeanim.models.train import LOCK, train
from edgeanim.models.training.batches import load_material
from edgeanim.models.training.config import DataConfig, Phase, load_train_config
from edgeanim.models.training.run import build_networks
from edgeanim.models.training.sheets import append_losses
from edgeanim.pipeline.dataset import import_dataset
from edgeanim.runtime.media import write_animation
from tests.models.tiny_training import CONFIG, SHORT, TINY, brightening, errors, fixed_batch

PIXEL = np.zeros((1, 1, 3), np.uint8)


def losses_of(folder, term):
    with (folder / "losses.csv").open() as stream:
        return [float(row["value"]) for row in csv.DictReader(stream) if row["term"] == term]


def test_a_short_training_reduces_both_errors_and_leaves_what_it_says(trained):
    batch = fixed_batch()
    before = errors(build_networks(CONFIG).animator, batch)
    after = errors(load_animator(trained), batch)
    assert after[0] < 0.9 * before[0]
    assert after[1] < before[1]
    assert (trained / "sheets" / "000110.png").is_file()
    assert load_train_config(trained / "train.toml") == CONFIG
    assert load_animator(trained).config == TINY


def test_convolutions_in_bfloat16_learn_much_the_same(tmp_path):
    # Processors without instructions for it take long: half of the steps shows it as well.
    regions, generator = (
        tuple(replace(phase, steps=phase.steps // 2) for phase in phases)
        for phases in (CONFIG.regions, CONFIG.generator)
    )
    config = replace(CONFIG, regions=regions, generator=generator)
    exact = train(config, tmp_path / "exact")
    rough = train(replace(config, precision="bfloat16"), tmp_path / "rough")
    weights = load_file(rough / "animator.safetensors")
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float32}
    batch = fixed_batch()
    before = errors(build_networks(CONFIG).animator, batch)
    found, wanted = (errors(load_animator(folder), batch) for folder in (rough, exact))
    assert wanted[0] < 0.98 * before[0]
    assert before[0] - found[0] == pytest.approx(before[0] - wanted[0], rel=0.2)
    assert found[1] == pytest.approx(wanted[1], rel=0.05)


def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(tmp_path):
    out = tmp_path / "out"

    class Second:
        """Progress that begins another training in the midst of the first."""

        refused = 0

        def stage(self, title, total=None):
            pass

        def step(self, count=1, note=""):  # noqa: ARG002
            if note and not self.refused:
                with pytest.raises(UsageError, match="Another training"):
                    train(SHORT, out)
                self.refused += 1

        def done(self, note=""):
            pass

    progress = Second()
    train(SHORT, out, progress)
    assert progress.refused == 1
    alone = train(SHORT, tmp_path / "alone")
    assert (out / "losses.csv").read_text() == (alone / "losses.csv").read_text()
    assert not (out / LOCK).exists()


def test_a_training_that_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(BadInput):
        train(replace(SHORT, start=tmp_path / "nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_clips_that_were_searched_are_shown_with_what_was_found(tmp_path, monkeypatch):
    """Those of datasets are not, so nothing is said of them."""
    clip, stored = tmp_path / "me.gif", tmp_path / "stored"
    write_animation(clip, brightening(40), 10)
    import_dataset(clip, stored, split="train")
    shown = []
    monkeypatch.setattr(sheet, "contact_sheet", lambda _, captions: shown.append(captions) or PIXEL)
    data = DataConfig(puppets=1, moments=2, datasets=(stored,), weak_labels=True)
    phase = (Phase(1, batch=2, sizes=(64,)),)
    config = replace(CONFIG, data=data, regions=phase, generator=phase)
    train(config, tmp_path / "alone")
    assert shown == []
    data = replace(data, clips=tmp_path, clip_names=("me",))
    train(replace(config, data=data), tmp_path / "beside")
    assert shown == [["me: no face with hands that move found, so no weak labels"]]


def test_losses_are_added_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "losses.csv"
    append_losses(path, 1, {"pixels": 0.5, "warp": 0.25})

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    with monkeypatch.context() as patched, pytest.raises(EdgeanimError, match="full"):
        patched.setattr(Path, "write_text", full)
        patched.setattr(Path, "write_bytes", full)
        append_losses(path, 2, {"pixels": 0.4})
    assert [p.name for p in tmp_path.iterdir()] == ["losses.csv"]
    append_losses(path, 3, {"pixels": 0.3})
    assert path.read_text() == "step,term,value\n1,pixels,0.5\n1,warp,0.25\n3,pixels,0.3\n"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_real_clips_take_part(tmp_path, precision):
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (128, 96)
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        writer.write(rng.integers(0, 255, (96, 128, 3), np.uint8))
    writer.release()
    data = DataConfig(
        puppets=1,
        moments=2,
        clips=tmp_path,
        clip_names=("a",),
        clip_share=0.5,
        optical_flow=True,
    )
    phase = Phase(2, batch=2, sizes=(64,))
    config = replace(CONFIG, data=data, regions=(phase,), generator=(phase,), precision=precision)
    train(config, tmp_path / "out")
    assert np.isfinite(losses_of(tmp_path / "out", "pixels")).all()
    missing = replace(config, data=replace(data, clip_names=("b",)))
    with pytest.raises(BadInput, match="'b'"):
        train(missing, tmp_path / "other")


def test_a_clip_is_the_one_that_is_named_and_no_other_of_its_name(tmp_path):
    for name, shade in (("a.GIF", 40), ("a.MP4", 200)):
        write_animation(tmp_path / name.lower(), brightening(shade), 10)
        (tmp_path / name.lower()).rename(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    for name, shade in (("a.GIF", 40), ("a.MP4", 200)):
        data = DataConfig(puppets=1, moments=2, clips=tmp_path, clip_names=(name,))
        (clip,) = load_material(data, SILENT).clips
        assert np.abs(clip.pictures[0].astype(int) - shade).max() < 8
    with pytest.raises(BadInput, match=r"2 clips here are called 'a': a\.GIF and a\.MP4"):
        load_material(replace(data, clip_names=("a",)), SILENT)
