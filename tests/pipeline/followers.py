"""Models of a few ops that follow a driver, and what drives them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgeanim import api
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.runtime.media import read_frames, write_animation
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, write_bundle
from tests.convnets import save_onnx

SIDE = 16
STEP = 8
REGIONS = ("upper", "lower")
Pictures = np.ndarray


def picture(role: str) -> TensorSpec:
    return TensorSpec(role, role, (1, 3, SIDE, SIDE), "NCHW", range=(0.0, 1.0))


def moved_by(role: str) -> TensorSpec:
    return TensorSpec(role.replace(":", "_"), role, (1, 2, 6))


def bundle_of(
    path: Path, parts: Sequence[tuple[GraphSpec, Sequence[Any]]], weights: Mapping[str, np.ndarray]
) -> Path:
    contract = Contract(path.stem, tuple(spec for spec, _ in parts), regions=REGIONS)
    compiled = []
    for spec, nodes in parts:
        folder = path.parent / spec.name
        folder.mkdir()
        artifact = GraphArtifact(spec, save_onnx(folder / spec.file, spec, nodes, weights))
        compiled.append(
            get_backend("onnxruntime").compile(artifact, load_board("local"), folder / "compiled")
        )
    variant = Variant("onnxruntime", "float32", tuple(compiled))
    write_bundle(path, contract=contract, variants=[variant], golden=None, tracks={}, provenance={})
    return path


def shade(level: int) -> Pictures:
    """A picture with the value `STEP` times the level everywhere."""
    return np.full((SIDE, SIDE, 3), STEP * level, np.uint8)


def levels(frames: Iterator[Pictures]) -> list[int]:
    """The values of such pictures, in units of `STEP`."""
    return [round(float(frame.mean()) / STEP) for frame in frames]


def clip_of(path: Path, count: int, fps: float = 25) -> Path:
    """A clip of `count` frames; frame i has the value `STEP` i everywhere."""
    write_animation(path, map(shade, range(count)), fps)
    return path


def animated(follower: Path, drive: Path | str, folder: Path, **options: Any) -> list[int]:
    """The values of the frames that are written, in units of `STEP`."""
    still, out = folder / "still.png", folder / "frames"
    Image.new("RGB", (SIDE, SIDE)).save(still)
    plain = {"relative": False, "smooth": False}
    done = api.animate(follower, still=still, drive=drive, out=out, **plain | options)
    values = [float(frame.mean()) / STEP for frame in read_frames(out)]
    assert done.frames == len(values)
    assert done.fps == options.get("fps", 25)
    return [round(value) for value in values]


class Camera:
    """A capture device as OpenCV gives it, which only one can have at a time."""

    in_use = False

    def __init__(self, _number: int) -> None:
        self._mine = not Camera.in_use
        Camera.in_use = True
        self._shown = 0

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return self._mine

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(0.02)
        self._shown += 1
        return True, np.full((SIDE, SIDE, 3), min(STEP * self._shown, 255), np.uint8)

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        if self._mine:
            Camera.in_use = False
