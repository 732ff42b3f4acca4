"""A drawing on the canvas lies where its joints do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeanim.models.data.drawings.drawing import Drawing, read_drawing
from edgeanim.models.data.drawings.rigs import SHARPNESS, make_rig


@pytest.mark.parametrize("times", [1, 4], ids=["enlarged", "shrunk"])
def test_what_is_drawn_at_a_joint_lies_there_on_the_canvas(drawing: Path, times: int) -> None:
    small = read_drawing(drawing)
    mask = small.mask.repeat(times, 0).repeat(times, 1)
    joints = {name: times * xy for name, xy in small.joints.items()}
    texture = np.zeros((*mask.shape, 3), np.uint8)
    elbow = joints["left_elbow"].astype(int).tolist()
    cv2.circle(texture, elbow, 5 * times, (255, 0, 0), -1)
    rig = make_rig(Drawing("dotted", texture, mask, joints), np.random.default_rng(0))
    red = rig.picture[:, :, 0].astype(float)
    rows, columns = np.indices(red.shape)
    middle = np.array([(red * columns).sum(), (red * rows).sum()]) / red.sum()
    (forearm,) = (bone for bone in rig.bones if bone.name == "forearm left")
    # Middles of pixels are at whole numbers, on the canvas and on the finer picture.
    np.testing.assert_allclose((middle + 0.5) / SHARPNESS - 0.5, forearm.start, atol=0.06)
