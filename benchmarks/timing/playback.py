"""A scene played for the clock: over and over, without an end, or offline from file to file."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.timing.scenarios import DECODE, ENCODE, BatchRun
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.runtime.media import DEFAULT_FPS, read_frames, write_animation
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Picture, Scene

# As many frames of a scene go by, at the most, until one does per-frame work only.
OPENING_FRAMES = 2
_CLIP, _RENDERED = "driver.mp4", "rendered.mp4"


class Playback:
    """A scene played over and over, one frame at a time."""

    def __init__(self, player: Player, scene: Scene) -> None:
        self.first_frame_ms: float | None = None
        self._player = player
        self._scene = scene
        self._frames: Iterator[NDArray[np.uint8]] = iter(())
        self._opening = False

    def reopen(self) -> None:
        """Begin the scene anew, up to and with its first frame that does per-frame work only."""
        self._frames = iter(())
        self.steady_frame()

    def steady_frame(self) -> tuple[float, Mapping[str, float]]:
        """Play the next frame that does per-frame work only; its seconds, and those by stage.

        The frame that opens a play is passed over where it includes work done once per still.
        """
        for _ in range(3):
            began = time.perf_counter_ns()
            frame = next(self._frames, None)
            took = (time.perf_counter_ns() - began) / 1e9
            if frame is None:
                self._frames = self._player.play(self._scene)
                self._opening = True
                continue
            if self.first_frame_ms is None:
                self.first_frame_ms = took * 1e3
            opening, self._opening = self._opening, False
            if not (opening and self._player.still_timings):
                return took, self._player.timings
        raise BadInput(
            "The scene has only the one frame that includes the work done once per still.",
            hint="Bench with a driver or a motion of at least two frames.",
        )


def lengthened(scene: Scene, frames: int) -> Scene:
    """`scene` going to and fro for `frames` frames, so that it neither ends nor jumps; as it is
    where nothing in it moves."""
    if scene.track is not None:
        track = _LengthenedTrack(**vars(scene.track), count=frames)
        return replace(scene, track=track)
    if scene.driver is not None:
        return replace(scene, driver=_Lengthened(np.asarray(scene.driver), frames))
    return scene


class _Lengthened:
    """A driver's frames to and fro: they are not copied, and can be played many times."""

    def __init__(self, frames: NDArray[np.uint8], count: int) -> None:
        self._frames, self._count = frames, count

    def __iter__(self) -> Iterator[Picture]:
        for index in itertools.islice(_to_and_fro(len(self._frames)), self._count):
            yield self._frames[index]


@dataclass(frozen=True, eq=False)
class _LengthenedTrack(MotionTrack):
    """A track's motions to and fro: as for a driver, they are not copied, however many are asked
    for."""

    count: int = 0

    def __len__(self) -> int:
        return self.count

    def motions(self) -> Iterator[Array]:
        order = itertools.islice(_to_and_fro(len(self.values)), self.count)
        return (self.values[index] for index in order)


def _to_and_fro(length: int) -> Iterator[int]:
    return itertools.cycle([*range(length), *range(length - 2, 0, -1)])


def stream(playback: Playback, rate_fps: float, frames: int) -> tuple[float, ...]:
    """Play `frames` at a fixed rate; the ms from each one's *scheduled* start to its end.

    Between frames it sleeps, as an application would, so that what waking up and a clock that has
    slowed down cost is part of the answer. The scene is begun anew before: its opening, with what
    is done once per still, belongs to no frame of the stream.
    """
    playback.reopen()
    period = 1 / rate_fps
    responses = []
    start = time.perf_counter() + period
    for index in range(frames):
        due = start + index * period
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        playback.steady_frame()
        responses.append((time.perf_counter() - due) * 1e3)
    return tuple(responses)


def render_clip(player: Player, scene: Scene, frames: int, folder: Path) -> BatchRun:
    """Render `scene`, `frames` long, from a clip in `folder` to an mp4 beside it.

    The clip that is decoded is written here first, untimed. A stored motion needs no decoding.
    """
    long = lengthened(scene, frames)
    stages: dict[str, list[float]] = {}
    if long.driver is not None:
        write_animation(folder / _CLIP, long.driver, DEFAULT_FPS)
        long = replace(long, driver=_decoded(folder / _CLIP, stages))
    began = time.perf_counter()
    count = write_animation(folder / _RENDERED, _rendered(player, long, stages), DEFAULT_FPS)
    total = time.perf_counter() - began
    return BatchRun(count, total, {stage: tuple(times) for stage, times in stages.items()})


def _decoded(clip: Path, stages: dict[str, list[float]]) -> Iterator[Picture]:
    frames = read_frames(clip)
    while True:
        began = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        stages.setdefault(DECODE, []).append((time.perf_counter() - began) * 1e3)
        yield frame


def _rendered(player: Player, scene: Scene, stages: dict[str, list[float]]) -> Iterator[Picture]:
    """The frames, with the player's stages as they come and the time until the next is asked for,
    which is the encoder's."""
    for frame in player.play(scene):
        for stage, seconds in player.timings.items():
            stages.setdefault(stage, []).append(seconds * 1e3)
        handed_over = time.perf_counter()
        yield frame
        stages.setdefault(ENCODE, []).append((time.perf_counter() - handed_over) * 1e3)
