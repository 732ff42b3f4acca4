"""A training as it runs: what learns, its steps, and what is written down of them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import torch

from edgeanim.core.files import write_text
from edgeanim.core.parsing import to_toml
from edgeanim.core.tensors import read_tensors
from edgeanim.graph.pytorch.module_weights import load_weights, save_weights
from edgeanim.models.animator import MISMATCH, Animator
from edgeanim.models.export import animator_folder
from edgeanim.models.nets.blocks import compute_in
from edgeanim.models.nets.discriminator import Discriminator
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS
from edgeanim.models.training.batches import Batch, Material, draw_batch
from edgeanim.models.training.checkpoint import Checkpoint, Ema, material_digest
from edgeanim.models.training.config import Device, TrainConfig
from edgeanim.models.training.curves import write_curves
from edgeanim.models.training.fake_quant import FakeQuant
from edgeanim.models.training.muon import Muon
from edgeanim.models.training.qat import qat_step
from edgeanim.models.training.schedule import Step
from edgeanim.models.training.sheets import append_losses, sample_sheet, write_sheet
from edgeanim.models.training.stages import Losses, Networks, generator_step, regions_step
from edgeanim.models.training.widen import fits, widen

LOSSES = "losses.csv"
_SHEET_SEED = 999_983
_JOINT_RATE = 0.25
"""The regions' learning rate after stage 1, relative to the generator's."""


@dataclass(frozen=True)
class Training:
    """A training into the folder `out`: what learns, and the losses since the last checkpoint."""

    config: TrainConfig
    out: Path
    device: torch.device
    networks: Networks
    ema: Ema
    checkpoint: Checkpoint
    recent: list[Losses] = field(default_factory=list)

    @classmethod
    def of(cls, config: TrainConfig, out: Path, device: Device) -> Training:
        """With untrained networks."""
        networks = build_networks(config, device)
        ema = Ema(networks.animator, config.ema)
        modules = {"animator": networks.animator, "discriminator": networks.discriminator}
        if config.qat:
            modules["rounding"] = networks.fake_quant
        optimizers = {
            "regions": networks.regions_optimizer,
            "generator": networks.generator_optimizer,
            "discriminator": networks.discriminator_optimizer,
        }
        kept = Checkpoint(out, config, material_digest(config), modules, optimizers, ema)
        return cls(config, out, torch.device(device), networks, ema, kept)

    def take(self, step: Step, batch: Batch) -> Losses:
        """Take a step, which the averaged weights follow."""
        if step.stage == "qat" and step.stage_share == 0:
            # What the stages before made are the averaged weights: these learn rounding.
            self.networks.animator.load_state_dict(self.ema.state)
        losses = _run(step, batch, self.config, self.networks)
        self.recent.append(losses)
        self.ema.update(self.networks.animator, step.number)
        return losses

    def keep(self, step: Step, material: Material) -> None:
        """Write down all that there is after a step."""
        # Before the checkpoint: killed after it, these steps are not taken again.
        append_losses(self.out / LOSSES, step.number + 1, _means(self.recent))
        self.recent.clear()
        self.checkpoint.save(step.number + 1)
        self.write_results(step, material)

    def write_results(self, step: Step, material: Material) -> None:
        """The weights, the curves of the losses, and a sheet of what the animator now makes."""
        animator = self.write_weights()
        seed = (self.config.seed, _SHEET_SEED)
        batch = draw_batch(material, self.config.data, step.size, 8, seed)
        sheet = sample_sheet(animator, batch.to(self.device))
        write_sheet(self.out / "sheets" / f"{step.number + 1:06d}.png", sheet)

    def write_weights(self) -> Animator:
        """What the training is for, the averaged weights, and the curves of the losses. Returns the
        animator that has them."""
        animator = deepcopy(self.networks.animator)
        animator.load_state_dict(self.ema.state)
        save_weights(animator, self.out / WEIGHTS)
        write_text(self.out / ARCHITECTURE, to_toml(self.config.model))
        write_curves([self.out / LOSSES], self.out / "losses.png")
        return animator


def build_networks(config: TrainConfig, device: Device = "cpu") -> Networks:
    """Untrained networks on `device` and their optimisers, from the seed."""
    torch.manual_seed(config.seed)
    animator, discriminator = (
        module.to(torch.device(device), memory_format=torch.channels_last)
        for module in (Animator(config.model), Discriminator())
    )
    if config.precision == "bfloat16":
        compute_in(animator, torch.bfloat16)
        compute_in(discriminator, torch.bfloat16)
    regions = list(animator.regions.parameters())
    generator = [*animator.encoder.parameters(), *animator.generator.parameters()]
    of_regions: torch.optim.Optimizer
    of_generator: torch.optim.Optimizer
    if config.optimizer == "muon":
        of_regions, of_generator = Muon(regions), Muon(generator)
    else:
        of_regions = torch.optim.AdamW(regions, weight_decay=1e-4)
        of_generator = torch.optim.AdamW(generator, weight_decay=1e-4, betas=(0.9, 0.99))
    return Networks(
        animator=animator.train(),
        discriminator=discriminator.train(),
        regions_optimizer=of_regions,
        generator_optimizer=of_generator,
        discriminator_optimizer=torch.optim.AdamW(
            discriminator.parameters(), weight_decay=0.0, betas=(0.5, 0.99)
        ),
        fake_quant=FakeQuant(animator).to(torch.device(device)),
    )


def start_from(networks: Networks, ema: Ema, folder: Path) -> None:
    """Give the animator the weights in `folder`, or the shipped ones, widened if they are of a
    narrower architecture. `BadInput` if they are of any other."""
    folder = animator_folder(folder)
    state = read_tensors(folder / WEIGHTS)
    if fits(state, networks.animator):
        networks.animator.load_state_dict(widen(state, networks.animator))
    else:
        load_weights(networks.animator, folder / WEIGHTS, hint=MISMATCH)
    ema.restart(networks.animator)


def _run(step: Step, batch: Batch, config: TrainConfig, networks: Networks) -> Losses:
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


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _means(recent: list[Losses]) -> Losses:
    """Each term's mean over the steps that had it."""
    terms = dict.fromkeys(term for losses in recent for term in losses)
    return {term: fmean(one[term] for one in recent if term in one) for term in terms}
