"""A drawing of a character with its mask and joints, as a folder holds it.

texture.png    the drawing, with its paper
mask.png       white where the character is, of the same size
char_cfg.yaml  width, height and skeleton: name, loc (x, y) and parent of each joint
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.core.files import read_bytes
from edgeanim.core.packages import require
from edgeanim.core.parsing import parse
from edgeanim.models.data.media import flatten, read_still

JOINTS = (
    "root",
    "torso",
    "neck",
    *(
        f"{side}_{joint}"
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "hand", "hip", "knee", "foot")
    ),
)
"""The joints that a drawing must have. Sides are the character's own; `torso` lies between the
shoulders, `neck` inside the head."""
FILES = ("texture.png", "mask.png", "char_cfg.yaml")
_MAX_CONFIG_BYTES = 1 << 16
_LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Drawing:
    """`texture` uint8 [H, W, 3] RGB; `mask` bool [H, W]; `joints` name to pixel (x, y)."""

    name: str
    texture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    joints: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class _Joint:
    name: str
    loc: tuple[float, float]
    parent: str | None = None


@dataclass(frozen=True)
class _Config:
    width: int
    height: int
    skeleton: tuple[_Joint, ...]


def read_drawing(folder: Path) -> Drawing:
    """Read and check a drawing. `BadInput` for files that are missing, damaged or disagree."""
    import cv2

    config = parse(_Config, _load_yaml(folder / FILES[2]), where=folder / FILES[2])
    texture, mask = flatten(read_still(folder / FILES[0])), read_still(folder / FILES[1])[:, :, 0]
    size = (config.height, config.width)
    if texture.shape[:2] != size or mask.shape != size:
        raise BadInput(
            f"Texture {texture.shape[1]}x{texture.shape[0]}, mask {mask.shape[1]}x{mask.shape[0]} "
            f"and configuration {config.width}x{config.height} differ in size.",
            where=folder,
        )
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    if len(stats) < 2 or stats[1:, cv2.CC_STAT_AREA].max() < _LEAST_SHARE * mask.size:
        raise BadInput(
            "The mask shows no character.",
            where=folder / FILES[1],
            hint="It is to be white where the character is, and black elsewhere.",
        )
    # Crumbs apart from the character hang on no joint.
    body = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return Drawing(folder.name, texture, body, _checked_joints(config, folder / FILES[2]))


def is_drawing(folder: Path) -> bool:
    """Whether a folder holds the files of a drawing."""
    return all((folder / name).is_file() for name in FILES)


def _checked_joints(config: _Config, where: Path) -> dict[str, NDArray[np.float64]]:
    joints = {joint.name: np.array(joint.loc) for joint in config.skeleton}
    missing = [name for name in JOINTS if name not in joints]
    if missing:
        raise BadInput(f"The skeleton lacks the joints {', '.join(missing)}.", where=where)
    limit = np.array([config.width, config.height])
    for name in JOINTS:
        if not ((joints[name] >= 0) & (joints[name] < limit)).all():
            raise BadInput(f"The joint {name!r} lies outside the drawing.", where=where)
    return {name: joints[name] for name in JOINTS}


def _load_yaml(path: Path) -> Any:
    """A small YAML document of plain values; aliases, which can grow without bound, are refused."""
    require("Reading a drawing", "yaml", extra="train")
    import yaml

    data = read_bytes(path, _MAX_CONFIG_BYTES, "This configuration")
    try:
        text = data.decode("utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise BadInput("Aliases are not allowed in this file.", where=path)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"This is not valid YAML: {line}", where=path) from error
