"""Where a distillation stands, kept on disk so that a killed one goes on: safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from edgeanim.core.errors import BadInput
from edgeanim.core.files import sha256_bytes, write_bytes, write_text
from edgeanim.core.parsing import load_json, parse, to_plain

_RECORD, _TENSORS = "state.json", "state.safetensors"
_WEIGHTS, _ADAM = ("now", "best"), ("step", "exp_avg", "exp_avg_sq")
Parameters = Mapping[str, nn.Parameter]


@dataclass(frozen=True)
class TrainingHistory:
    """The held-out losses so far, the one before the first step first, `every` steps apart.

    `tensors` is the SHA-256 of the file beside.
    """

    step: int
    every: int
    held_out: tuple[float, ...]
    tensors: str = ""
    schema: Literal[1] = 1

    def __post_init__(self) -> None:
        if self.step < 0 or self.every < 1 or not self.held_out:
            raise ValueError("`step` and `every` must be counts, and there must be a loss")

    @property
    def best(self) -> float:
        """The lowest held-out loss."""
        return min(self.held_out)

    @property
    def stale(self) -> int:
        """How many measurements have passed since the best one."""
        return len(self.held_out) - 1 - self.held_out.index(self.best)


def save_state(
    folder: Path,
    history: TrainingHistory,
    parameters: Parameters,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, torch.Tensor],
) -> None:
    """Write the state; the record last, so that it never speaks of tensors that are not there."""
    from safetensors.torch import save

    tensors = {f"now/{name}": p.detach() for name, p in parameters.items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for name, p in parameters.items():
        for key, value in optimiser.state.get(p, {}).items():
            tensors[f"{key}/{name}"] = value.detach()
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    write_bytes(folder / _TENSORS, data)
    record = to_plain(history) | {"tensors": sha256_bytes(data)}
    write_text(folder / _RECORD, json.dumps(record, indent=1) + "\n")


def load_state(
    folder: Path, parameters: Parameters, optimiser: torch.optim.Optimizer
) -> tuple[TrainingHistory, dict[str, torch.Tensor]] | None:
    """Take up a saved state: parameters and optimiser in place; the history and the best weights.

    `None` if there is no whole state in `folder`, or it is of other parameters.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        history = parse(TrainingHistory, load_json(folder / _RECORD), where=folder / _RECORD)
        data = (folder / _TENSORS).read_bytes()
        if sha256_bytes(data) != history.tensors:  # killed between the two files
            return None
        tensors = load(data)
    except (BadInput, OSError, SafetensorError, ValueError):
        return None
    if not all(_is_whole(tensors, name, p) for name, p in parameters.items()):
        return None
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(tensors[f"now/{name}"])
            state: dict[str, Any] = {
                key: tensors[f"{key}/{name}"] for key in _ADAM if f"{key}/{name}" in tensors
            }
            if state:
                optimiser.state[p] = state
    return history, {name: tensors[f"best/{name}"] for name in parameters}


def _is_whole(tensors: Mapping[str, torch.Tensor], name: str, parameter: nn.Parameter) -> bool:
    """Whether all of a parameter is there, in its shape and finite; the optimiser has nothing of
    one that never had a gradient."""
    adam = _ADAM if any(f"{kind}/{name}" in tensors for kind in _ADAM) else ()
    for kind in (*_WEIGHTS, *adam):
        stored = tensors.get(f"{kind}/{name}")
        shape = () if kind == "step" else parameter.shape
        if stored is None or stored.shape != shape or stored.dtype != parameter.dtype:
            return False
        if not bool(stored.isfinite().all()):
            return False
    return True
