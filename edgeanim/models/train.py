"""Train an animator from a configuration: `edgeanim train CONFIG.toml -o OUT`.

Stage 1 teaches the regions, stage 2 encoder and generator against a discriminator; a third, if it
is asked for, teaches all of them to bear 8 bits (`training.qat`). OUT receives
`animator.safetensors` (the averaged weights), `animator.toml`, `train.toml`, `losses.csv` and
`losses.png` (means since the checkpoint before), sample sheets, a sheet of what
weak labels make of the clips, and the checkpoint from which the
same command goes on after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from edgeanim.core.files import write_text
from edgeanim.core.packages import require
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS
from edgeanim.models.training.config import Phase, TrainConfig

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator
    from edgeanim.models.training.batches import Batch, Material
    from edgeanim.models.training.checkpoint import Ema
    from edgeanim.models.training.stages import Losses, Networks

_WARM_UP = 50
_SHEET_SEED = 999_983
_SHEET_CLIPS = 24
_JOINT_RATE = 0.25
"""The regions' learning rate after stage 1, relative to the generator's."""


Stage = Literal["regions", "generator", "qat"]


@dataclass(frozen=True)
class Step:
    """One step of the whole training. `stage_share` is how much of its stage is done before it."""

    number: int
    stage: Stage
    size: int
    batch: int
    rate: float
    stage_share: float


def schedule(config: TrainConfig) -> Iterator[Step]:
    """All steps of all stages in order."""
    number = 0
    stages: tuple[tuple[Stage, tuple[Phase, ...]], ...] = (
        ("regions", config.regions),
        ("generator", config.generator),
        ("qat", config.qat),
    )
    for stage, phases in stages:
        total, done = sum(phase.steps for phase in phases), 0
        for phase in phases:
            for index in range(phase.steps):
                rise = min(1.0, (index + 1) / min(_WARM_UP, phase.steps))
                fall = 0.55 + 0.45 * math.cos(math.pi * index / phase.steps)
                size = phase.sizes[index % len(phase.sizes)]
                rate = phase.learning_rate * rise * fall
                yield Step(number, stage, size, phase.batch, rate, done / total)
                number, done = number + 1, done + 1


def train(config: TrainConfig, out: Path, progress: Progress = SILENT) -> Path:
    """Train (or go on training) into the folder `out` and return it.

    The result depends on `config` alone, also after a kill and a resume. `BadInput` if `out` holds
    a checkpoint of another configuration; `MissingComponent` without torch.
    """
    require("Training", "torch", extra="train")
    import torch

    from edgeanim.models.training import batches, checkpoint

    torch.set_num_threads(config.threads)
    networks = build_networks(config)
    ema = checkpoint.Ema(networks.animator, config.ema)
    modules = {"animator": networks.animator, "discriminator": networks.discriminator}
    if config.qat:
        modules["rounding"] = networks.rounding
    optimizers = {
        "regions": networks.regions_optimizer,
        "generator": networks.generator_optimizer,
        "discriminator": networks.discriminator_optimizer,
    }
    if config.start is not None:
        start_from(networks, ema, config.start)
    done = checkpoint.load_checkpoint(out, config, modules, optimizers, ema)
    steps = list(schedule(config))
    if done == len(steps):
        # Killed after its last checkpoint, it may have left the weights of the one before.
        _write_weights(out, config, networks, ema.state)
        return out
    material = batches.load_material(config.data, progress)
    write_text(out / "train.toml", _dump(config))
    if config.data.weak_labels and material.clips:
        _write_clip_sheet(out / "sheets" / "clips.png", material)
    progress.stage("training", len(steps))
    progress.step(done)
    recent: list[Losses] = []
    with closing(_drawn_ahead(steps[done:], config, material)) as drawn:
        for step, batch in drawn:
            if step.stage == "qat" and step.stage_share == 0:
                # What the stages before made are the averaged weights: these learn rounding.
                networks.animator.load_state_dict(ema.state)
            losses = _run(step, batch, config, networks)
            recent.append(losses)
            ema.update(networks.animator, step.number)
            note = " ".join(f"{term} {value:.3f}" for term, value in losses.items())
            progress.step(1, f"{step.stage} {note}")
            if (step.number + 1) % config.checkpoint_every == 0 or step.number + 1 == len(steps):
                checkpoint.save_checkpoint(out, config, step.number + 1, modules, optimizers, ema)
                _write_results(out, config, networks, ema.state, material, step, _means(recent))
                recent.clear()
    progress.done()
    return out


def build_networks(config: TrainConfig) -> Networks:
    """Untrained networks and their optimisers, from the seed."""
    import torch

    from edgeanim.models.animator import Animator
    from edgeanim.models.nets.blocks import compute_in
    from edgeanim.models.nets.discriminator import Discriminator
    from edgeanim.models.training.muon import Muon
    from edgeanim.models.training.rounding import Rounding
    from edgeanim.models.training.stages import Networks

    torch.manual_seed(config.seed)
    animator = Animator(config.model).to(memory_format=torch.channels_last)
    discriminator = Discriminator().to(memory_format=torch.channels_last)
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
    rounding = Rounding(animator)
    return Networks(animator.train(), discriminator.train(), finder, maker, judge, rounding)


def start_from(networks: Networks, ema: Ema, folder: Path) -> None:
    """Give the animator the weights in `folder`, widened if they are of a narrower architecture.
    `BadInput` if they are of any other."""
    from edgeanim.models.animator import load_weights, read_tensors
    from edgeanim.models.training.widen import fits, widen

    state = read_tensors(folder / WEIGHTS)
    if fits(state, networks.animator):
        networks.animator.load_state_dict(widen(state, networks.animator))
    else:
        load_weights(networks.animator, folder / WEIGHTS)
    ema.restart(networks.animator)


def _drawn_ahead(
    steps: Sequence[Step], config: TrainConfig, material: Material
) -> Generator[tuple[Step, Batch], None, None]:
    """Each step with its batch, drawn on another core while the step before it is taken. Its thread
    ends when this is closed."""
    from concurrent.futures import Future, ThreadPoolExecutor

    from edgeanim.models.training.batches import draw_batch

    with ThreadPoolExecutor(1) as drawer:

        def draw(step: Step) -> Future[Batch]:
            key = (config.seed, step.number)
            return drawer.submit(draw_batch, material, config.data, step.size, step.batch, key)

        coming = draw(steps[0]) if steps else None
        for index, step in enumerate(steps):
            assert coming is not None
            batch = coming.result()
            if index + 1 < len(steps):
                coming = draw(steps[index + 1])
            yield step, batch


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


def _write_results(
    out: Path,
    config: TrainConfig,
    networks: Networks,
    averaged: dict[str, object],
    material: Material,
    step: Step,
    losses: Losses,
) -> None:
    from edgeanim.models.training.curves import write_curves
    from edgeanim.models.training.sheets import append_losses, sample_sheet, write_sheet

    animator = _write_weights(out, config, networks, averaged)
    append_losses(out / "losses.csv", step.number + 1, losses)
    write_curves([out / "losses.csv"], out / "losses.png")
    sheet = sample_sheet(animator, _sheet_batch(config, material, step.size))
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


def _write_clip_sheet(path: Path, material: Material) -> None:
    """What weak labels make of the clips: the one thing of a training that can be plainly wrong."""
    from edgeanim.models.dataset_sheet import contact_sheet
    from edgeanim.models.training.sheets import write_sheet

    clips = material.clips[:_SHEET_CLIPS]
    none = ": no face found, so no weak labels"
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
