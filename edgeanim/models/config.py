"""The architecture of an animator as strict TOML: sizes and widths, nothing about training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.errors import BadInput
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import load_toml, parse
from edgeanim.models.shipped_files import ARCHITECTURE

STRIDE = 32
"""The coarsest stride of the networks; a picture's side must be a multiple of it."""
LARGEST, WIDEST = 1024, 1024
"""Of a picture's side, and of a layer's channels: what is allocated for a network is told by its
architecture, which may come from anywhere."""


@dataclass(frozen=True)
class AnimatorConfig:
    """Widths of the three networks. `size` is the side of the pictures that they take.

    `regions`, `encoder` and `generator` give the channels at strides 2, 4, 8, 16, 32 (regions),
    4, 8, 16 (encoder) and 4, 8, 16 (generator). Multiples of 16 fill the lanes of INT8 kernels.
    """

    name: str = "edgeanim-base"
    size: int = 256
    regions: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    encoder: tuple[int, int, int] = (64, 80, 96)
    generator: tuple[int, int, int] = (48, 80, 96)

    def __post_init__(self) -> None:
        if not 2 * STRIDE <= self.size <= LARGEST or self.size % STRIDE:
            raise ValueError(
                f"`size` must be a multiple of {STRIDE} between {2 * STRIDE} and {LARGEST}"
            )
        widths = (*self.regions, *self.encoder, *self.generator)
        if any(not 8 <= width <= WIDEST for width in widths):
            raise ValueError(f"every width must lie between 8 and {WIDEST}")


SIZES: Mapping[str, AnimatorConfig] = {
    "nano": AnimatorConfig(
        "edgeanim-nano",
        regions=(16, 16, 48, 64, 96),
        encoder=(48, 48, 64),
        generator=(32, 64, 64),
    ),
    "base": AnimatorConfig(),
    "small": AnimatorConfig(
        "edgeanim-small",
        regions=(32, 64, 112, 160, 224),
        encoder=(112, 144, 160),
        generator=(80, 144, 160),
    ),
}
"""About half of a frame's multiply-accumulates, those of what ships, and about three times as many:
what a training's file may name in place of widths."""


def load_animator_config(folder: Path) -> AnimatorConfig:
    """Read, strictly, the architecture of the animator that a training wrote into `folder`.

    `BadInput` says where none was written, or not yet.
    """
    must_exist(folder)
    path = folder / ARCHITECTURE
    if folder.is_dir() and not path.exists():
        raise BadInput(
            f"There is no trained animator ({ARCHITECTURE}) here.",
            where=folder,
            hint="Give the folder that `edgeanim train -o` wrote, when it is done.",
        )
    return parse(AnimatorConfig, load_toml(path), where=path)
