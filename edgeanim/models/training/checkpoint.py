"""Checkpoints: tensors as safetensors, the rest as JSON; no pickles. A resumed training goes on to
the very result that an uninterrupted one would have had."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeanim.core.errors import BadInput
from edgeanim.core.files import (
    atomic_folder,
    canonical_json,
    finish_replacing,
    may_become_folder,
    sha256_bytes,
    sha256_file,
    sha256_files,
    write_text,
)
from edgeanim.core.interruption import note_kept
from edgeanim.core.parsing import load_json, parse_written, to_plain
from edgeanim.core.tensors import read_tensors, write_tensors
from edgeanim.graph.pytorch.module_weights import load_weights, save_weights
from edgeanim.models.animator import MISMATCH
from edgeanim.models.dataset.form import MANIFEST
from edgeanim.models.export import shipped_folder
from edgeanim.models.shipped_files import SHIPPED, is_shipped
from edgeanim.models.training.batches import clip_files
from edgeanim.models.training.config import CONFIG_FILE, TrainConfig, load_train_config

FOLDER = "checkpoint"
_STATE = "state.json"
_HINT = "Train into another folder, or remove this one."


@dataclass(frozen=True)
class _State:
    """What `state.json` says: `done` steps by the configuration, on the `material`, of these
    hashes; `tensors` is the hash over all files of tensors. Older ones do not say the last two."""

    done: int
    config: str
    material: str | None = None
    tensors: str | None = None

    def __post_init__(self) -> None:
        if self.done < 0:
            raise ValueError("`done` cannot be negative")


class Ema:
    """Exponential moving average of a module's state. Young averages follow faster."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.restart(module)

    def restart(self, module: nn.Module) -> None:
        """Forget the past: the average is now what the module holds."""
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a stored average, on the device of this one."""
        device = next(iter(self.state.values())).device
        self.state = {name: value.to(device) for name, value in state.items()}

    def update(self, module: nn.Module, step: int) -> None:
        """Follow what the module holds after the step with the number `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = module.state_dict()  # detached: no gradient is recorded
        moving = [name for name, value in now.items() if value.is_floating_point()]
        averages, values = ([state[name] for name in moving] for state in (self.state, now))
        # All in one call: one by one, an accelerator would wait for the calls.
        torch._foreach_lerp_(averages, values, 1 - decay)
        for name in now.keys() - set(moving):
            self.state[name].copy_(now[name])


@dataclass(frozen=True)
class Checkpoint:
    """What is kept of a training into the folder `out`, to go on with: its modules, optimisers and
    averaged weights. It is made from `material` (see `material_digest`)."""

    out: Path
    config: TrainConfig
    material: str
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    ema: Ema

    def save(self, done: int) -> None:
        """Replace the one in the folder by one after `done` steps of all stages together."""
        with atomic_folder(self.out / FOLDER) as folder:
            for name, module in self.modules.items():
                save_weights(module, folder / f"{name}.safetensors")
            for name, optimizer in self.optimizers.items():
                tensors = _optimizer_tensors(optimizer)
                write_tensors(folder / f"{name}.optimizer.safetensors", tensors)
            write_tensors(folder / "ema.safetensors", self.ema.state)
            digest = _tensors_digest(folder)
            state = _State(done, config_digest(self.config), self.material, digest)
            write_text(folder / _STATE, canonical_json(to_plain(state)))
        note_kept()

    def load(self) -> int:
        """Restore everything; returns the steps done, 0 if there is no checkpoint.

        `BadInput` if it is damaged, or belongs to another configuration or other material,
        `UsageError` if its place is taken.
        """
        folder = self.out / FOLDER
        finish_replacing(folder)
        if not (folder / _STATE).is_file():
            may_become_folder(folder, lambda _: False)
            return 0
        state = parse_written(_State, load_json(folder / _STATE), where=folder / _STATE)
        self._check(state, folder)
        for name, module in self.modules.items():
            load_weights(module, folder / f"{name}.safetensors", hint=MISMATCH)
        for name, optimizer in self.optimizers.items():
            _restore(optimizer, read_tensors(folder / f"{name}.optimizer.safetensors"))
        self.ema.restore(read_tensors(folder / "ema.safetensors"))
        note_kept()
        return state.done

    def _check(self, state: _State, folder: Path) -> None:
        if not _made_with(self.config, state):
            raise BadInput(
                "This checkpoint was made with another configuration.",
                where=folder,
                hint=_way_on(self.out / CONFIG_FILE, state),
            )
        if state.material not in (None, self.material):
            raise BadInput(
                "The clips or datasets that this checkpoint was made from have changed.",
                where=folder,
                hint=_HINT,
            )
        if state.tensors not in (None, _tensors_digest(folder)):
            raise BadInput("This checkpoint is damaged.", where=folder, hint=_HINT)


def _made_with(config: TrainConfig, state: _State) -> bool:
    return state.config in (config_digest(config), _digest_with_places(config))


def _way_on(written: Path, state: _State) -> str:
    """How to go on from a checkpoint of another configuration: with the one that lies beside it,
    unless that was changed since."""
    with suppress(BadInput):
        if _made_with(load_train_config(written), state):
            return f"Go on with {written}, or train into another folder."
    return _HINT


def config_digest(config: TrainConfig) -> str:
    """Hex SHA-256 of the configuration, wherever what it names lies: of clips and datasets,
    `material_digest` tells what is in them, and a folder to start from may be given in two ways."""
    plain = _counted(config)
    for name in ("clips", "clip_names", "datasets"):
        plain["data"].pop(name, None)
    if config.start is not None:
        ships = is_shipped(config.start) or config.start == shipped_folder()
        plain["start"] = SHIPPED if ships else str(config.start.resolve())
    return _digest(plain)


def _digest_with_places(config: TrainConfig) -> str:
    """What older checkpoints have in its place: it differs for a path that is written otherwise."""
    return _digest(_counted(config))


def _counted(config: TrainConfig) -> dict[str, Any]:
    """The settings that a training depends on."""
    plain: dict[str, Any] = to_plain(config)
    if not config.qat:
        # Trainings without this stage are not to depend on how it is set: they began before it was.
        del plain["qat"], plain["losses"]["consistency"]
    if not config.data.bend_clips:
        del plain["data"]["bend_clips"]  # nor on this
    return plain


def _digest(plain: dict[str, Any]) -> str:
    return sha256_bytes(canonical_json(plain).encode())


def material_digest(config: TrainConfig) -> str:
    """Hex SHA-256 over what the configuration only names: clips, and datasets, whose manifests have
    the hashes of all that is in them."""
    files = clip_files(config.data)
    files += [folder / MANIFEST for folder in config.data.datasets or ()]
    return sha256_bytes("\n".join(map(sha256_file, files)).encode())


def _tensors_digest(folder: Path) -> str:
    return sha256_files(sorted(folder.glob("*.safetensors")))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
