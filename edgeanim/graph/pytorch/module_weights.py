"""Weights of PyTorch modules of any maker, in files of safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from edgeanim.core.errors import BadInput
from edgeanim.core.tensors import read_tensors, write_tensors

_ANOTHER = "These are the weights of another module."


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state as safetensors, whole or not at all."""
    write_tensors(path, module.state_dict())


def load_weights(module: nn.Module, path: Path, *, hint: str = _ANOTHER) -> None:
    """Fill a module from safetensors. What it holds under several names may be there under one.
    `BadInput` names the first tensor that is not finite, is missing, unknown or of another shape,
    and gives the `hint`; the module is then unchanged."""
    expected = module.state_dict()
    state = _with_shared(read_tensors(path), expected)
    for name, value in expected.items():
        if isinstance(value, (UninitializedParameter, UninitializedBuffer)):
            raise BadInput(
                f"The tensor {name!r} of the module has no shape yet.",
                where=path,
                hint="Run a lazy module once before it gets its weights.",
            )
        if not isinstance(value, Tensor):
            continue
        if name not in state:
            raise _missing(name, expected, state, path, hint)
        if state[name].shape != value.shape:
            raise BadInput(
                f"The tensor {name!r} has shape {list(state[name].shape)}, "
                f"but the architecture has {list(value.shape)}.",
                where=path,
                hint=hint,
            )
    for name in state:
        if name not in expected:
            raise BadInput(f"The tensor {name!r} is not known.", where=path, hint=hint)
    others = {name: value for name, value in expected.items() if not isinstance(value, Tensor)}
    module.load_state_dict(state | others)


def _with_shared(state: Mapping[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """`state` with what a module shares, `expected` to lie in one place, under all its names."""
    places = {
        name: (value.data_ptr(), value.shape, value.stride())
        for name, value in expected.items()
        if type(value) is Tensor and value.numel()
    }
    held = {places[name]: value for name, value in state.items() if name in places}
    shared = {name: held[place] for name, place in places.items() if place in held}
    return shared | dict(state)


def _missing(
    name: str, expected: Mapping[str, Any], state: Mapping[str, Tensor], path: Path, hint: str
) -> BadInput:
    """The error for a tensor that the file lacks, or has as a part of something larger: what
    `DataParallel` wraps is called `module.` before its own name."""
    wanted = {key: value.shape for key, value in expected.items() if isinstance(value, Tensor)}
    for other in state:
        prefix = other.removesuffix(name)
        held = {key: state[prefix + key].shape for key in wanted if prefix + key in state}
        if other.endswith(f".{name}") and held == wanted:
            return BadInput(
                f"The tensor {name!r} is missing; there is {other!r}.",
                where=path,
                hint=f"Write the tensors whose names begin with {prefix!r} to a file of their own, "
                "under names without that.",
            )
    return BadInput(f"The tensor {name!r} is missing.", where=path, hint=hint)
