"""Batches are drawn on another core: errors surface, threads end, frames are shared."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeanim.api import make_dataset
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.progress import SILENT
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.dataset.reader import FrameCache, decode_ahead, read_sequences
from edgeanim.models.train import train
from edgeanim.models.training import ahead
from edgeanim.models.training.ahead import drawn_ahead
from edgeanim.models.training.batches import load_material
from edgeanim.models.training.config import DataConfig, Phase
from edgeanim.models.training.schedule import schedule
from edgeanim.runtime.media import write_animation
from tests.models.tiny_training import CONFIG, KillAfter, Killed


class HideAfter(KillAfter):
    """Progress that hides a folder, from one moment to the next, after `steps` training steps."""

    def __init__(self, steps, folder):
        super().__init__(steps - 1)
        self.folder, self.hidden = folder, folder.with_name("hidden")

    def step(self, count=1, note=""):
        try:
            super().step(count, note)
        except Killed:
            if self.folder.exists():
                self.folder.rename(self.hidden)


class Told:
    """Progress that keeps the notes with which stages end."""

    def __init__(self):
        self.notes = []

    def stage(self, title, total=None):
        pass

    def step(self, count=1, note=""):
        pass

    def done(self, note=""):
        self.notes.append(note)


@pytest.fixture
def stored(tmp_path):
    """A dataset of one puppet with more frames than a few batches show, and a training on it."""
    folder = tmp_path / "data"
    make_dataset(folder, puppets=1, moments=12, split="train")
    config = replace(
        CONFIG,
        data=DataConfig(puppets=0, datasets=(folder,)),
        regions=(Phase(6, batch=1, sizes=(64,)),),
        generator=(Phase(2, batch=1, sizes=(64,)),),
        checkpoint_every=1,
    )
    return folder / "sequences" / "puppet-1000" / "frames", config


def test_a_frame_that_vanishes_ends_the_training_which_can_go_on_when_it_is_back(stored, tmp_path):
    frames, config = stored
    before = set(threading.enumerate())
    hide = HideAfter(2, frames)
    with pytest.raises(BadInput, match="No such file") as caught:
        train(config, tmp_path / "out", hide)
    # Nobody is left drawing, though the error still holds on to where it happened.
    assert caught.tb is not None
    assert set(threading.enumerate()) <= before
    assert "puppet-1000" in str(caught.value.where)
    assert (tmp_path / "out" / "checkpoint").is_dir()
    hide.hidden.rename(frames)
    resumed = train(config, tmp_path / "out")
    whole = train(config, tmp_path / "whole")
    expected = load_file(whole / "animator.safetensors")
    for name, value in load_file(resumed / "animator.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_a_frame_that_is_gone_before_the_first_batch_ends_the_training_too(stored, tmp_path):
    frames, config = stored

    class Hide(KillAfter):
        def stage(self, title, total=None):  # noqa: ARG002
            if title == "training":
                frames.rename(frames.with_name("hidden"))

    with pytest.raises(BadInput, match="No such file"):
        train(config, tmp_path / "out", Hide(99))


def test_a_killed_training_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(Killed) as caught:
        train(CONFIG, tmp_path, KillAfter(3))
    assert caught.tb is not None
    assert set(threading.enumerate()) <= before


def test_threads_may_share_a_cache_of_frames_which_keeps_to_its_size(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for shade, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), shade, np.uint8))
    limit = 3 * SIZE * SIZE * 3
    cache, seen = FrameCache(limit), []

    def look(seed):
        right = True
        for index in np.random.default_rng(seed).integers(len(paths), size=400):
            picture = cache.get(paths[index], None)
            right = right and bool((picture[::16] == index).all())
            seen.append(weakref.ref(picture))
        return right

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet inside the cache and not by luck
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(look, range(6)))
    finally:
        sys.setswitchinterval(interval)
    gc.collect()
    held = {id(picture): picture.nbytes for ref in seen if (picture := ref()) is not None}
    assert 0 < sum(held.values()) <= limit
    # It did not lose count: as many as fit are kept, still.
    first, *_ = [cache.get(path, None) for path in paths[:3]]
    assert cache.get(paths[0], None) is first


@pytest.fixture
def with_a_clip(stored, tmp_path):
    """A training on a stored puppet, one that is drawn, and a clip, with all that clips have."""
    _, config = stored
    shades = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE + 8, 3)).astype(np.uint8)
    frames = [np.ascontiguousarray(shades[:, i : i + SIZE]) for i in range(8)]
    (tmp_path / "clips").mkdir()
    write_animation(tmp_path / "clips" / "noise.gif", frames, 10)
    data = replace(
        config.data,
        puppets=1,
        clips=tmp_path / "clips",
        clip_names=("noise",),
        clip_share=0.5,
        weak_labels=True,
        optical_flow=True,
        disguise_clips=True,
        bend_clips=True,
    )
    return replace(
        config,
        data=data,
        regions=(Phase(4, batch=3, sizes=(64,)),),
        generator=(Phase(6, batch=3, sizes=(64, 96)),),
        checkpoint_every=3,
    )


def test_processes_draw_the_very_batches_that_a_thread_draws(with_a_clip):
    config = with_a_clip
    alone_material = load_material(config.data, SILENT)
    material = load_material(config.data, SILENT, workers=2)
    steps = list(schedule(config))
    alone = list(drawn_ahead(steps, config, alone_material))
    shared = list(drawn_ahead(steps, config, material, workers=2))
    assert [step for step, _ in shared] == [step for step, _ in alone] == steps
    assert any(float(batch.known.min()) == 0 for _, batch in alone)
    for (_, one), (_, other) in zip(alone, shared, strict=True):
        for field in fields(one):
            expected, drawn = getattr(one, field.name), getattr(other, field.name)
            assert torch.equal(drawn, expected), field.name
            assert drawn.stride() == expected.stride(), field.name


def test_processes_are_forked_beside_a_library_that_warns_of_it(monkeypatch) -> None:
    """JAX, which the TFLite converter brings into a process, does, and Python 3.12 itself."""
    import warnings

    forked = os.fork

    def fork() -> int:
        for told in (
            "os.fork() was called. os.fork() is incompatible with multithreaded code, and so on.",
            "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks.",
        ):
            warnings.warn(told, RuntimeWarning, stacklevel=2)
        return forked()

    monkeypatch.setattr(os, "fork", fork)
    material = load_material(CONFIG.data, SILENT)
    steps = list(schedule(CONFIG))[:1]
    assert len(list(drawn_ahead(steps, CONFIG, material, workers=1))) == 1


def test_a_training_by_processes_goes_on_to_the_result_of_one_by_a_thread(with_a_clip, tmp_path):
    whole = train(with_a_clip, tmp_path / "whole")
    with pytest.raises(Killed) as caught:
        train(with_a_clip, tmp_path / "cut", KillAfter(5), workers=2)
    assert caught.tb is not None
    assert not multiprocessing.active_children()
    cut = train(with_a_clip, tmp_path / "cut", workers=1)
    expected = load_file(whole / "animator.safetensors")
    for name, value in load_file(cut / "animator.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_a_frozen_cache_keeps_what_it_has_and_nothing_else(stored):
    frames, _ = stored
    cache = FrameCache(3 * SIZE * SIZE * 3)
    [sequence] = read_sequences(frames.parents[2], "train", cache=cache)
    told = Told()
    decode_ahead([sequence], cache, 2, told)
    assert cache.full
    assert told.notes == [f"memory holds {cache.count} of {4 * 12} pictures and masks"]
    kept = {id(sequence.pictures[i]) for i in range(2)}
    before = cache.count
    for index in range(len(sequence.pictures)):
        assert sequence.pictures[index].shape == (SIZE, SIZE, 3)
    assert cache.count == before
    assert {id(sequence.pictures[i]) for i in range(2)} == kept


def test_a_frame_that_vanishes_tells_through_a_process_too(stored):
    frames, config = stored
    material = load_material(config.data, SILENT)
    frames.rename(frames.with_name("hidden"))
    with pytest.raises(BadInput, match=r"No such file or folder\.$") as caught:
        list(drawn_ahead(list(schedule(config)), config, material, workers=1))
    assert "puppet-1000" in str(caught.value.where)
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_ends_the_training(stored, tmp_path, monkeypatch):
    _, config = stored
    monkeypatch.setattr(ahead, "draw_batch", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DeviceFailed, match="process that draws batches ended") as caught:
        train(config, tmp_path / "out", workers=2)
    assert caught.tb is not None
    assert not multiprocessing.active_children()


def test_no_handler_of_signals_stays_behind(stored):
    _, config = stored
    material = load_material(config.data, SILENT)
    before = signal.getsignal(signal.SIGCHLD)
    drawn = drawn_ahead(list(schedule(config)), config, material, workers=1)
    next(drawn)
    assert signal.getsignal(signal.SIGCHLD) is before
    drawn.close()
    assert signal.getsignal(signal.SIGCHLD) is before


def test_a_fault_of_ours_in_a_process_is_no_failure_of_the_device(stored, tmp_path, monkeypatch):
    _, config = stored

    def fail(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ahead, "draw_batch", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        train(config, tmp_path / "out", workers=1)


def test_processes_are_refused_where_none_can_be_forked(tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(UsageError, match="cannot fork"):
        train(CONFIG, tmp_path / "out", workers=1)


def test_processes_are_refused_where_no_batch_of_theirs_would_arrive(tmp_path, monkeypatch):
    """PyTorch hands batches over through sockets; one that cannot be named is told to nobody, and
    the training waited for ever."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(UsageError, match="too long") as caught:
        train(CONFIG, tmp_path / "out", workers=1)
    assert "TMPDIR" in caught.value.hint


def test_a_training_on_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(DeviceFailed, match="no CUDA device"):
        train(CONFIG, tmp_path, device="cuda")
