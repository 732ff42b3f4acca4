"""Checkpoints: tensors as safetensors, the rest as JSON; no pickles. A resumed training goes on to
the very result that an uninterrupted one would have had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeanim.core.errors import BadInput
from edgeanim.core.files import (
    atomic_folder,
    canonical_json,
    may_become_folder,
    sha256_bytes,
    write_text,
)
from edgeanim.core.parsing import load_json, to_plain
from edgeanim.models.animator import load_weights, read_tensors, save_weights
from edgeanim.models.training.config import TrainConfig

FOLDER = "checkpoint"
_STATE = "state.json"


class Ema:
    """Exponential moving average of a module's state. Young averages follow faster."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.restart(module)

    def restart(self, module: nn.Module) -> None:
        """Forget the past: the average is now what the module holds."""
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():  # detached: no gradient is recorded
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(
    out: Path,
    config: TrainConfig,
    done: int,
    modules: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    ema: Ema,
) -> None:
    """Replace the checkpoint below `out` by one after `done` steps of all stages together."""
    from safetensors.torch import save_file

    with atomic_folder(out / FOLDER) as folder:
        for name, module in modules.items():
            save_weights(module, folder / f"{name}.safetensors")
        for name, optimizer in optimizers.items():
            save_file(_optimizer_tensors(optimizer), folder / f"{name}.optimizer.safetensors")
        save_file({k: v.contiguous() for k, v in ema.state.items()}, folder / "ema.safetensors")
        state = {"done": done, "config": config_digest(config)}
        write_text(folder / _STATE, canonical_json(state))


def load_checkpoint(
    out: Path,
    config: TrainConfig,
    modules: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    ema: Ema,
) -> int:
    """Restore everything; returns the steps done, 0 if there is no checkpoint.

    `BadInput` if it belongs to another configuration, `UsageError` if its place is taken.
    """
    folder = out / FOLDER
    if not (folder / _STATE).is_file():
        may_become_folder(folder, lambda _: False)
        return 0
    state: dict[str, Any] = load_json(folder / _STATE)
    if state.get("config") != config_digest(config):
        raise BadInput(
            "This checkpoint was made with another configuration.",
            where=folder,
            hint="Train into another folder, or remove this one.",
        )
    for name, module in modules.items():
        load_weights(module, folder / f"{name}.safetensors")
    for name, optimizer in optimizers.items():
        _restore(optimizer, read_tensors(folder / f"{name}.optimizer.safetensors"))
    ema.state = read_tensors(folder / "ema.safetensors")
    return int(state["done"])


def config_digest(config: TrainConfig) -> str:
    """Hex SHA-256 of the configuration."""
    plain = to_plain(config)
    if not config.qat:
        # Trainings without this stage are not to depend on how it is set: they began before it was.
        del plain["qat"], plain["losses"]["consistency"]
    return sha256_bytes(canonical_json(plain).encode())


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": value.detach().cpu().contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
