"""The animator as one thing: its three networks, their weights on disk, and their contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.core.files import read_bytes
from edgeanim.core.tensors import write_tensors
from edgeanim.models.config import AnimatorConfig, load_animator_config
from edgeanim.models.nets.encoder import Encoder
from edgeanim.models.nets.generator import Generator
from edgeanim.models.nets.regions import RegionNet
from edgeanim.models.regions import COUNT, MOTION_VALUES, REGIONS, SKELETON
from edgeanim.models.shipped_files import WEIGHTS

_MAX_BYTES = 4 << 30
_UNIT = (0.0, 1.0)
_MISMATCH = "Use the animator.toml that was written with these weights, and the version that did."
_PICKLED = (b"PK\x03\x04", b"\x80\x02")
"""How the files of `torch.save` begin, today's and older ones."""
_CHECKPOINT = (
    "Checkpoints of torch.save are pickles, which are never opened here. Load it yourself with "
    "torch.load(…, weights_only=True), and write it with safetensors.torch.save_file."
)


class Animator(nn.Module):  # type: ignore[misc]
    """The networks `regions`, `encoder` and `generator` of one configuration."""

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        self.config = config
        self.regions = RegionNet(config)
        self.encoder = Encoder(config)
        self.generator = Generator(config)

    def graphs(self) -> dict[str, nn.Module]:
        """The networks by the names of their graphs in the contract."""
        return {"regions": self.regions, "encode": self.encoder, "animate": self.generator}


def contract_of(config: AnimatorConfig) -> Contract:
    """The contract of an animator: `regions`, `encode` and `animate`, batch 1, NCHW."""
    size, quarter = config.size, config.size // 4
    w4, w8, _ = config.generator
    features = (
        _maps("feature_s4", "feature:s4", w4, quarter),
        _maps("feature_s8", "feature:s8", w8, size // 8),
        _maps("backdrop", "feature:backdrop", 3, quarter, _UNIT),
    )
    return Contract(
        name=config.name,
        regions=REGIONS,
        skeleton=SKELETON,
        graphs=(_regions(size), _encode(size, features), _animate(quarter, features)),
    )


def _regions(size: int) -> GraphSpec:
    return GraphSpec(
        "regions",
        "regions.onnx",
        "driver",
        inputs=(
            _maps("driving_frame", "driving_frame", 3, size, _UNIT),
            _maps("cue", "cue", 3, size, (-1.0, 1.0)),
        ),
        outputs=(_maps("mask", "mask", COUNT, size // 4, _UNIT), _motion("motion", "motion")),
    )


def _encode(size: int, features: tuple[TensorSpec, ...]) -> GraphSpec:
    return GraphSpec(
        "encode",
        "encode.onnx",
        "once",
        inputs=(
            _maps("still", "still", 3, size, _UNIT),
            _maps("mask_still", "mask:still", COUNT, size // 4, _UNIT),
        ),
        outputs=features,
    )


def _animate(side: int, features: tuple[TensorSpec, ...]) -> GraphSpec:
    return GraphSpec(
        "animate",
        "animate.onnx",
        "frame",
        inputs=(
            *features,
            _motion("motion_still", "motion:still"),
            _motion("motion_driving", "motion:driving"),
        ),
        outputs=(
            _maps("flow", "flow", 2, side),
            _maps("alpha", "alpha", 1, side, _UNIT),
            _maps("colour", "colour", 3, side, _UNIT),
        ),
    )


def _maps(
    name: str, role: str, channels: int, side: int, values: tuple[float, float] | None = None
) -> TensorSpec:
    return TensorSpec(name, role, (1, channels, side, side), "NCHW", range=values)


def _motion(name: str, role: str) -> TensorSpec:
    return TensorSpec(name, role, (1, COUNT, MOTION_VALUES))


def load_animator(folder: Path) -> Animator:
    """The animator that a training wrote into `folder`, in evaluation mode."""
    animator = Animator(load_animator_config(folder))
    load_weights(animator, folder / WEIGHTS)
    animator.eval()
    return animator


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state as safetensors, whole or not at all."""
    write_tensors(path, module.state_dict())


def load_weights(module: nn.Module, path: Path, *, hint: str = _MISMATCH) -> None:
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


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; `BadInput` if it is not one, or for the first tensor that
    is not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path, _MAX_BYTES, "This file")
    try:
        tensors: dict[str, Any] = load(data)
    except (SafetensorError, ValueError) as error:
        raise BadInput(
            f"This is not a safetensors file: {error}.",
            where=path,
            hint=_CHECKPOINT if data.startswith(_PICKLED) else None,
        ) from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"The tensor {name!r} has values that are not finite.", where=path)
    return tensors
