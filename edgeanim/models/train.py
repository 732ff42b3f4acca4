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
from statistics import fmean
from typing import TYPE_CHECKING

from edgeanim.core.errors import DeviceFailed, EdgeanimError, UsageError
from edgeanim.core.files import write_text
from edgeanim.core.locks import exclusive
from edgeanim.core.packages import require
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.threads import torch_threads
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS
from edgeanim.models.training.config import (
    CONFIG_FILE,
    Device,
    TrainConfig,
    load_train_config,
)
from edgeanim.models.training.schedule import Step, schedule

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator
    from edgeanim.models.data.sequences import FrameSequence
    from edgeanim.models.training.batches import Batch, Material
    from edgeanim.models.training.checkpoint import Ema
    from edgeanim.models.training.stages import Losses, Networks

LOSSES = "losses.csv"
LOCK = ".lock"
"""Held while a training runs."""
_SHEET_SEED = 999_983
_SHEET_CLIPS = 24
_JOINT_RATE = 0.25
"""The regions' learning rate after stage 1, relative to the generator's."""


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
    import torch

    from edgeanim.models.training import ahead, batches, checkpoint
    from edgeanim.models.training.sheets import append_losses

    networks = build_networks(config, device)
    ema = checkpoint.Ema(networks.animator, config.ema)
    modules = {"animator": networks.animator, "discriminator": networks.discriminator}
    if config.qat:
        modules["rounding"] = networks.rounding
    optimizers = {
        "regions": networks.regions_optimizer,
        "generator": networks.generator_optimizer,
        "discriminator": networks.discriminator_optimizer,
    }
    digest = checkpoint.material_digest(config)
    done = checkpoint.load_checkpoint(out, config, digest, modules, optimizers, ema)
    if not done and config.start is not None:
        start_from(networks, ema, config.start)
    steps = list(schedule(config))
    if done == len(steps):
        # Killed after its last checkpoint, it may have left the weights of the one before.
        _write_weights(out, config, networks, ema.state)
        progress.stage("training", len(steps))
        progress.done("was done already")
        return out
    if not done:
        _begin_losses(out / LOSSES)
    material = batches.load_material(config.data, progress, workers)
    _write_config(out / CONFIG_FILE, config)
    # What datasets hold comes after the clips, and is not searched for faces and hands.
    searched = material.clips[: len(config.data.clip_names)]
    if config.data.weak_labels and searched:
        _write_clip_sheet(out / "sheets" / "clips.png", searched)
    progress.stage("training", len(steps))
    progress.step(done)
    recent: list[Losses] = []
    pinned = device != "cpu"
    coming = ahead.drawn_ahead(steps[done:], config, material, workers, pinned=pinned)
    with closing(coming) as drawn:
        for step, batch in drawn:
            if step.stage == "qat" and step.stage_share == 0:
                # What the stages before made are the averaged weights: these learn rounding.
                networks.animator.load_state_dict(ema.state)
            losses = _run(step, batch.to(torch.device(device)), config, networks)
            recent.append(losses)
            ema.update(networks.animator, step.number)
            note = " ".join(f"{term} {value:.3f}" for term, value in losses.items())
            progress.step(1, f"{step.stage} {note}")
            if (step.number + 1) % config.checkpoint_every == 0 or step.number + 1 == len(steps):
                # Before the checkpoint: killed after it, these steps are not taken again.
                append_losses(out / LOSSES, step.number + 1, _means(recent))
                recent.clear()
                checkpoint.save_checkpoint(
                    out, config, digest, step.number + 1, modules, optimizers, ema
                )
                _write_results(out, config, networks, ema.state, material, step)
    progress.done()
    return out


def build_networks(config: TrainConfig, device: Device = "cpu") -> Networks:
    """Untrained networks on `device` and their optimisers, from the seed."""
    import torch

    from edgeanim.models.animator import Animator
    from edgeanim.models.nets.blocks import compute_in
    from edgeanim.models.nets.discriminator import Discriminator
    from edgeanim.models.training.muon import Muon
    from edgeanim.models.training.rounding import Rounding
    from edgeanim.models.training.stages import Networks

    torch.manual_seed(config.seed)
    animator, discriminator = (
        module.to(torch.device(device), memory_format=torch.channels_last)
        for module in (Animator(config.model), Discriminator())
    )
    if config.precision == "bfloat16":
        compute_in(animator, torch.bfloat16)
        compute_in(discriminator, torch.bfloat16)
    finding = list(animator.regions.parameters())
    making = [*animator.encoder.parameters(), *animator.generator.parameters()]
    finder: torch.optim.Optimizer
    maker: torch.optim.Optimizer
    if config.optimizer == "muon":
        finder, maker = Muon(finding), Muon(making)
    else:
        finder = torch.optim.AdamW(finding, weight_decay=1e-4)
        maker = torch.optim.AdamW(making, weight_decay=1e-4, betas=(0.9, 0.99))
    judge = torch.optim.AdamW(discriminator.parameters(), weight_decay=0.0, betas=(0.5, 0.99))
    rounding = Rounding(animator).to(torch.device(device))
    return Networks(animator.train(), discriminator.train(), finder, maker, judge, rounding)


def start_from(networks: Networks, ema: Ema, folder: Path) -> None:
    """Give the animator the weights in `folder`, or the shipped ones, widened if they are of a
    narrower architecture. `BadInput` if they are of any other."""
    from edgeanim.models.animator import load_weights, read_tensors
    from edgeanim.models.export import animator_folder
    from edgeanim.models.training.widen import fits, widen

    folder = animator_folder(folder)
    state = read_tensors(folder / WEIGHTS)
    if fits(state, networks.animator):
        networks.animator.load_state_dict(widen(state, networks.animator))
    else:
        load_weights(networks.animator, folder / WEIGHTS)
    ema.restart(networks.animator)


def _run(step: Step, batch: Batch, config: TrainConfig, networks: Networks) -> Losses:
    from edgeanim.models.training.qat import qat_step
    from edgeanim.models.training.stages import generator_step, regions_step

    if step.stage == "regions":
        _set_rate(networks.regions_optimizer, step.rate)
        return regions_step(networks, batch)
    _set_rate(networks.regions_optimizer, step.rate * _JOINT_RATE)
    _set_rate(networks.generator_optimizer, step.rate)
    if step.stage == "qat":
        return qat_step(networks, batch, config.losses)
    _set_rate(networks.discriminator_optimizer, step.rate)
    adversarial = config.losses.adversarial > 0 and step.stage_share >= config.gan_from
    return generator_step(
        networks, batch, config.losses, joint=config.joint, adversarial=adversarial
    )


def _set_rate(optimizer: object, rate: float) -> None:
    for group in optimizer.param_groups:  # type: ignore[attr-defined]
        group["lr"] = rate


def _write_config(path: Path, config: TrainConfig) -> None:
    """Write what this training does, unless that is there already: in the user's own words,
    perhaps, with comments."""
    with suppress(EdgeanimError):
        if load_train_config(path) == config:
            return
    write_text(path, _dump(config))


def _begin_losses(path: Path) -> None:
    """Remove the losses of a training whose checkpoint was removed, to begin another one in its
    place: its steps would stand before those of the new one."""
    from edgeanim.models.training.curves import read_losses

    if path.exists():
        read_losses(path)  # what is none is not ours to remove
        path.unlink()


def _write_results(
    out: Path,
    config: TrainConfig,
    networks: Networks,
    averaged: dict[str, object],
    material: Material,
    step: Step,
) -> None:
    from edgeanim.models.training.curves import write_curves
    from edgeanim.models.training.sheets import sample_sheet, write_sheet

    animator = _write_weights(out, config, networks, averaged)
    write_curves([out / LOSSES], out / "losses.png")
    batch = _sheet_batch(config, material, step.size)
    sheet = sample_sheet(animator, batch.to(next(animator.parameters()).device))
    write_sheet(out / "sheets" / f"{step.number + 1:06d}.png", sheet)


def _write_weights(
    out: Path, config: TrainConfig, networks: Networks, averaged: dict[str, object]
) -> Animator:
    """What the training is for: the averaged weights. Returns the animator that has them."""
    from copy import deepcopy

    from edgeanim.models.animator import save_weights

    animator = deepcopy(networks.animator)
    animator.load_state_dict(averaged)
    save_weights(animator, out / WEIGHTS)
    write_text(out / ARCHITECTURE, _dump(config.model))
    return animator


def _write_clip_sheet(path: Path, clips: Sequence[FrameSequence]) -> None:
    """What weak labels make of the clips: the one thing of a training that can be plainly wrong."""
    from edgeanim.models.dataset.sheet import contact_sheet
    from edgeanim.models.training.sheets import write_sheet

    clips = clips[:_SHEET_CLIPS]
    none = ": no face with hands that move found, so no weak labels"
    captions = [clip.name + ("" if clip.weak_labels is not None else none) for clip in clips]
    write_sheet(path, contact_sheet(clips, captions))


def _means(recent: list[Losses]) -> Losses:
    """Each term's mean over the steps that had it."""
    terms = dict.fromkeys(term for losses in recent for term in losses)
    return {term: fmean(one[term] for one in recent if term in one) for term in terms}


def _sheet_batch(config: TrainConfig, material: Material, size: int) -> Batch:
    from edgeanim.models.training.batches import draw_batch

    return draw_batch(material, config.data, size, 8, (config.seed, _SHEET_SEED))


def _dump(value: object) -> str:
    import tomli_w

    return tomli_w.dumps(to_plain(value))
