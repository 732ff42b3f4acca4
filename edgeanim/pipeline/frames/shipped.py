"""What the shipped animator is calibrated and judged on: seeded puppets, and the shipped still."""

from __future__ import annotations

import numpy as np

from edgeanim.models.data.puppets.actions import make_action
from edgeanim.models.data.puppets.puppet import make_puppet, render
from edgeanim.models.shipped_files import STILL, shipped
from edgeanim.pipeline.frames.material import GOLDEN_FRAMES, Material
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.runtime.media import read_still
from edgeanim.runtime.motion import MotionTrack, load_track
from edgeanim.runtime.scene import Picture, Scene

DEMO_TRACK = "sway"
JUDGED_TRACKS = (DEMO_TRACK, "wave")
"""One moves all of the body a little, the other a hand as far as a hand goes."""
# Seeds of puppets that are in no training set.
_FIRST_SEED = 9_000_000
_PUPPETS = 24
_FRAMES = 4


def shipped_material(frames: int | None = None) -> Material:
    """Puppets to calibrate on, with at least so many `frames` if that is given, each drawn anew;
    the shipped still, moved by shipped tracks, to judge by."""
    puppets = max(_PUPPETS, -(-(frames or 0) // _FRAMES))
    scenes = [_puppet_scene(_FIRST_SEED + i) for i in range(puppets)]
    tracks = [_shipped_track(name) for name in JUDGED_TRACKS]
    share = GOLDEN_FRAMES // len(tracks)
    moments = np.concatenate([track.values[evenly(len(track), share)] for track in tracks])
    judged = Scene(demo_still(), None, MotionTrack(moments, tracks[0].fps))
    return Material(tuple(scenes), judged, separate=True)


def demo_still() -> Picture:
    """The shipped still, uint8 [256, 256, 3]."""
    with shipped(STILL) as path:
        return read_still(path)


def _shipped_track(name: str) -> MotionTrack:
    with shipped(f"{name}.npz") as path:
        return load_track(path)


def _puppet_scene(seed: int) -> Scene:
    puppet = make_puppet(seed)
    action = make_action(seed, puppet.kind)
    times = np.linspace(0, 0.5, _FRAMES + 1)[1:]
    still = render(puppet, action.pose(0.0)).picture
    return Scene(still, np.stack([render(puppet, action.pose(t)).picture for t in times]))
