"""A training of seconds, a motion, a drawing, and a small dataset of them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeanim.api import make_dataset
from edgeanim.models.train import train
from tests.models.tiny_training import CONFIG

BVH = """HIERARCHY
ROOT Hips
{{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Neck
  {{
    OFFSET 0 5 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Head
    {{
      OFFSET 0 1 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {{
        OFFSET 0 1 0
      }}
    }}
{arms}  }}
{legs}}}
MOTION
Frames: {frames}
Frame Time: 0.04
{values}
"""


def _chain(names: tuple[str, ...], offsets: tuple[str, ...]) -> str:
    body = f"End Site {{ OFFSET {offsets[-1]} }}"
    for name, offset in reversed(list(zip(names, offsets, strict=True))):
        body = f"JOINT {name} {{ OFFSET {offset} CHANNELS 3 Zrotation Xrotation Yrotation {body} }}"
    return body + "\n"


def bvh_text(turns: dict[str, list[float]], frames: int = 9) -> str:
    """A person in a T-pose, y up and facing +z, whose named joints turn about z (degrees)."""
    arms = "".join(
        _chain(
            (f"{side}Arm", f"{side}ForeArm", f"{side}Hand"),
            (f"{x} 0 0", f"{2 * x} 0 0", f"{2 * x} 0 0"),
        )
        for side, x in (("Left", 1), ("Right", -1))
    )
    legs = "".join(
        _chain((f"{side}UpLeg", f"{side}Leg", f"{side}Foot"), (f"{x} 0 0", "0 -3 0", "0 -3 0"))
        for side, x in (("Left", 1), ("Right", -1))
    )
    names = ["Hips", "Neck", "Head"]
    names += [f"{s}{j}" for s in ("Left", "Right") for j in ("Arm", "ForeArm", "Hand")]
    names += [f"{s}{j}" for s in ("Left", "Right") for j in ("UpLeg", "Leg", "Foot")]
    rows = []
    for frame in range(frames):
        row = [0.0, 6.0, 0.0]
        for name in names:
            row += [turns[name][frame] if name in turns else 0.0, 0.0, 0.0]
        rows.append(" ".join(f"{value:g}" for value in row))
    return BVH.format(arms=arms, legs=legs, frames=frames, values="\n".join(rows))


@pytest.fixture(scope="session")
def trained(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The result of the training of seconds. Nobody writes there."""
    return made_once("trained", lambda folder: train(CONFIG, folder))


@pytest.fixture(scope="session")
def bvh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A motion that raises the left arm to straight up and lowers it again."""
    lift = [90 * (1 - abs(frame - 4) / 4) for frame in range(9)]
    path = tmp_path_factory.mktemp("motion") / "lift.bvh"
    path.write_text(bvh_text({"LeftArm": lift}))
    return path


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A figure of coloured sticks on striped paper, 200x240, facing us with its arms out."""
    joints = {
        "root": (100, 140), "torso": (100, 80), "neck": (100, 40),
        "right_shoulder": (82, 80), "right_elbow": (55, 80), "right_hand": (25, 80),
        "left_shoulder": (118, 80), "left_elbow": (145, 80), "left_hand": (175, 80),
        "right_hip": (90, 140), "right_knee": (88, 175), "right_foot": (86, 215),
        "left_hip": (110, 140), "left_knee": (112, 175), "left_foot": (114, 215),
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("drawings") / "stick"
    folder.mkdir()
    picture = np.full((240, 200, 3), 235, np.uint8)
    picture[::12] = 200
    mask = np.zeros((240, 200), np.uint8)
    lines = [("root", "torso", 40, (200, 60, 60)), ("torso", "neck", 14, (230, 190, 160))]
    for side, tone in (("left", (60, 160, 60)), ("right", (60, 60, 200))):
        for a, b in (("shoulder", "elbow"), ("elbow", "hand"), ("hip", "knee"), ("knee", "foot")):
            lines.append((f"{side}_{a}", f"{side}_{b}", 14, tone))
    for a, b, width, tone in lines:
        for target, colour in ((picture, tone), (mask, 255)):
            cv2.line(target, joints[a], joints[b], colour, width)
    for target, colour in ((picture, (230, 190, 160)), (mask, 255)):
        cv2.circle(target, joints["neck"], 24, colour, -1)
    cv2.circle(picture, (92, 36), 4, (20, 20, 20), -1)
    skeleton = "".join(
        f"- loc:\n  - {x}\n  - {y}\n  name: {name}\n  parent: null\n"
        for name, (x, y) in joints.items()
    )
    cv2.imwrite(str(folder / "texture.png"), picture[:, :, ::-1])
    cv2.imwrite(str(folder / "mask.png"), mask)
    (folder / "char_cfg.yaml").write_text(f"width: 200\nheight: 240\nskeleton:\n{skeleton}")
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, drawing: Path, bvh: Path) -> Path:
    """A small dataset of everything that can be made."""
    folder = tmp_path_factory.mktemp("data") / "made"
    drawn = {"drawings": drawing, "motions": bvh}
    make_dataset(folder, puppets=2, scenes=1, people=1, sketches=1, moments=2, **drawn)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The small dataset, to be damaged."""
    return shutil.copytree(made, tmp_path / "copy")
