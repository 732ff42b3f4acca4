"""Train an animator from a configuration: `edgeanim train CONFIG.toml -o OUT`.

Stage 1 teaches the regions, stage 2 encoder and generator against a discriminator; a third, if it
is asked for, teaches all of them to bear 8 bits (`training.qat`). OUT receives
`animator.safetensors` (the averaged weights), `animator.toml`, `train.toml`, `losses.csv` and
`losses.png` (means since the checkpoint before), sample sheets, a sheet of what weak labels make of
the clips, and the checkpoint from which the same command goes on after a kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.errors import DeviceFailed, EdgeanimError, UsageError
from edgeanim.core.files import write_text
from edgeanim.core.locks import exclusive
from edgeanim.core.packages import require
from edgeanim.core.parsing import to_toml
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.threads import torch_threads
from edgeanim.models.training.config import (
    CONFIG_FILE,
    Device,
    TrainConfig,
    load_train_config,
)
from edgeanim.models.training.schedule import schedule

if TYPE_CHECKING:
    from edgeanim.models.data.sequences import FrameSequence
    from edgeanim.models.training.batches import Material

LOCK = ".lock"
"""Held while a training runs."""
_SHEET_CLIPS = 24


def train(
    config: TrainConfig,
    out: Path,
    progress: Progress = SILENT,
    *,
    device: Device = "cpu",
    workers: int = 0,
) -> Path:
    """Train (or go on training) into the folder `out` and return it.

    On a CPU the result depends on `config` and the clips and datasets that it names alone, also
    after a kill and a resume; CUDA adds up in no fixed order. `workers` processes draw the batches
    (0: a thread), the same ones whatever their number. `BadInput` if `out` holds a checkpoint of
    another configuration or of other clips or datasets, or a `losses.csv` that no training wrote;
    `UsageError` for workers that cannot be forked, or while another training runs there;
    `MissingComponent` without torch, `DeviceFailed` without the device or if a process is killed.
    """
    require("Training", "torch", extra="train")
    import torch

    from edgeanim.models.training import ahead

    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceFailed(
            "This machine's PyTorch finds no CUDA device.",
            hint="Train with --device cpu, or install PyTorch's CUDA build and its driver.",
        )
    if workers:
        ahead.refuse_processes()
    with _alone_in(out), torch_threads(config.threads):
        return _train(config, out, progress, device, workers)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """`UsageError` while another training writes into this folder. It is made, and removed if
    nothing comes of it."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(out / LOCK, wait=False) as alone:
            # Where the system has no locks, as on some network drives, no file is left of it.
            if not alone and (out / LOCK).exists():
                raise UsageError(
                    "Another training is writing into this folder.",
                    where=out,
                    hint="Wait until it ends, or give another folder with -o.",
                )
            yield
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()


def _train(
    config: TrainConfig, out: Path, progress: Progress, device: Device, workers: int
) -> Path:
    from edgeanim.models.training.ahead import drawn_ahead
    from edgeanim.models.training.run import LOSSES, Training, start_from

    training = Training.of(config, out, device)
    done = training.checkpoint.load()
    if not done and config.start is not None:
        start_from(training.networks, training.ema, config.start)
    steps = list(schedule(config))
    if done == len(steps):
        # Killed after its last checkpoint, it may have left the weights of the one before.
        training.write_weights()
        progress.stage("training", len(steps))
        progress.done("was done already")
        return out
    if not done:
        _begin_losses(out / LOSSES)
    material = _load_material(config, out, progress, workers)
    progress.stage("training", len(steps))
    progress.step(done)
    coming = drawn_ahead(steps[done:], config, material, workers, pinned=device != "cpu")
    with closing(coming) as drawn:
        for step, batch in drawn:
            losses = training.take(step, batch.to(training.device))
            note = " ".join(f"{term} {value:.3f}" for term, value in losses.items())
            progress.step(1, f"{step.stage} {note}")
            if (step.number + 1) % config.checkpoint_every == 0 or step.number + 1 == len(steps):
                training.keep(step, material)
    progress.done()
    return out


def _load_material(config: TrainConfig, out: Path, progress: Progress, workers: int) -> Material:
    """What is trained on. That it is, and what weak labels make of it, is written into `out`."""
    from edgeanim.models.training.batches import load_material

    material = load_material(config.data, progress, workers)
    _write_config(out / CONFIG_FILE, config)
    # What datasets hold comes after the clips, and is not searched for faces and hands.
    searched = material.clips[: material.scenes]
    if config.data.weak_labels and searched:
        _write_clip_sheet(out / "sheets" / "clips.png", searched)
    return material


def _write_config(path: Path, config: TrainConfig) -> None:
    """Write what this training does, unless that is there already: in the user's own words,
    perhaps, with comments."""
    with suppress(EdgeanimError):
        if load_train_config(path) == config:
            return
    write_text(path, to_toml(config))


def _begin_losses(path: Path) -> None:
    """Remove the losses of a training whose checkpoint was removed, to begin another one in its
    place: its steps would stand before those of the new one."""
    from edgeanim.models.training.curves import read_losses

    if path.exists():
        read_losses(path)  # what is none is not ours to remove
        path.unlink()


def _write_clip_sheet(path: Path, clips: Sequence[FrameSequence]) -> None:
    """What weak labels make of the clips: the one thing of a training that can be plainly wrong."""
    from edgeanim.models.dataset.sheet import contact_sheet
    from edgeanim.models.training.sheets import write_sheet

    clips = clips[:_SHEET_CLIPS]
    none = ": no face with hands that move found, so no weak labels"
    captions = [clip.name + ("" if clip.weak_labels is not None else none) for clip in clips]
    write_sheet(path, contact_sheet(clips, captions))
