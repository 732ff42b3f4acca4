"""The animator as one thing: its three networks, their weights on disk, and their contract."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.graph.pytorch.module_weights import load_weights
from edgeanim.models.config import AnimatorConfig, load_animator_config
from edgeanim.models.nets.encoder import Encoder
from edgeanim.models.nets.generator import Generator
from edgeanim.models.nets.regions import RegionNet
from edgeanim.models.regions import COUNT, MOTION_VALUES, REGIONS, SKELETON
from edgeanim.models.shipped_files import WEIGHTS

_UNIT = (0.0, 1.0)
MISMATCH = "Use the animator.toml that was written with these weights, and the version that did."
"""What to do about weights of another architecture."""


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
    load_weights(animator, folder / WEIGHTS, hint=MISMATCH)
    animator.eval()
    return animator
