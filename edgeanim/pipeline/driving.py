"""What moves a still: the frames, or the stored motion, that `--drive` means, and their rate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract
from edgeanim.core.errors import UsageError, disk_errors
from edgeanim.core.files import must_exist
from edgeanim.core.overlap import Overlap
from edgeanim.core.parsing import nearest
from edgeanim.pipeline.frames.in_memory import as_picture, is_named, moved_by
from edgeanim.pipeline.frames.material import read_conditions
from edgeanim.pipeline.work import Work
from edgeanim.runtime.input_scenes import moved_by_inputs
from edgeanim.runtime.media import (
    DEFAULT_FPS,
    is_camera,
    is_live,
    read_still,
    steady_frames,
    steady_numbers,
    within,
)
from edgeanim.runtime.moments import conditions_at
from edgeanim.runtime.motion import MotionTrack, load_track
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.scene import Picture, Scene
from edgeanim.runtime.transfer import TransferRule
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Bundle

TRACK = ".npz"
"""The suffix of stored motions."""
Still = str | Path | Picture
"""A picture to animate: its file, or uint8 [H, W, 3 or 4] (RGB or RGBA)."""
Drive = str | Path | MotionTrack | Iterable[Picture] | Iterable[Array]
"""What moves a still: a path or a name as `--drive` takes it, a motion, or what a program makes
itself: frames, uint8 [H, W, 3 or 4] of one size, or motions, float32 [K, 6]."""


def scene_of(
    bundle: Bundle,
    still: Still | None,
    drive: Drive | None,
    inputs: Mapping[str, str | Path],
    fps: float | None,
    most: float,
    *,
    loop: bool,
    side: int | None = None,
) -> tuple[Scene, float]:
    """What is played, and how many frames of it are a second (see `_moved_by`); the still may be
    read for a `side` of so many pixels (see `read_still`)."""
    if drive is None:
        picture = None if still is None else read_picture(still, side)
        conditions = read_conditions(bundle.contract, inputs)
        scene = moved_by_inputs(bundle.contract, picture, conditions, looped=loop)
        return scene, fps or within(DEFAULT_FPS, most)
    if still is not None and not Needs.of(bundle.contract).still:
        raise UsageError(
            f"The model {bundle.contract.name!r} changes each picture of --drive as it is, and "
            "animates no still.",
            hint="Leave out --still, or --drive if an --input has a value for each frame.",
        )
    picture = None if still is None else read_picture(still, side)
    conditions = read_conditions(bundle.contract, inputs)
    scene, rate = _moved_by(bundle, drive, fps, most, loop=loop)
    several = any(len(values) > 1 for values in conditions.values())
    if several and isinstance(drive, (str, Path)) and scene.track is None and not is_live(drive):
        # Of another rate than the clip's own not every frame is played, or some more than once.
        numbers, count = steady_numbers(drive, fps, most=most)
        played = np.array(numbers, np.intp)
        conditions = conditions_at(conditions, played, count, bundle.contract)
    return replace(scene, still=picture, conditions=conditions, looped=loop), rate


def read_picture(still: Still, side: int | None) -> Picture:
    """The still; that of a file may be read for a `side` of so many pixels (see `read_still`)."""
    return read_still(Path(still), side=side) if is_named(still) else as_picture(still, "still")


def options_beside(
    work: Work,
    backend: str,
    threads: int | None,
    scene: Scene,
    contract: Contract,
    *,
    refine: bool,
) -> SessionOptions:
    """How graphs are loaded that work beside each other. Where one follows the driver of `scene`
    while another makes a frame, each has half of the board's threads, rounded up, unless `threads`
    are given, or motion is refined, beside which following takes hardly any time."""
    follows = scene.driver is not None and Needs.of(contract).moves_alone and not refine
    if threads is None and follows:
        threads = -(-work.board.threads // 2)
    return replace(work.options(backend, threads), beside_others=True)


def motion_options(
    contract: Contract,
    scene: Scene,
    drive: Drive | None,
    *,
    relative: bool,
    smooth: bool | None,
    refine: bool,
    in_place: bool,
    strength: float,
) -> MotionOptions:
    """What is done with the motion of `drive`, which moves `scene`: unless told otherwise, frames
    that are followed are `smooth`ed. `UsageError` for what the model cannot heed."""
    if not relative and not Needs.of(contract).motion:
        raise UsageError(
            f"The model {contract.name!r} transfers no motion to a still.",
            hint="Leave out --absolute.",
        )
    if smooth is None:
        followed = drive is not None and scene.driver is not None
        smooth = followed and Needs.of(contract).moves_alone
    rule: TransferRule | None = None if relative else "pose"
    return MotionOptions(rule, smooth=smooth, refine=refine, in_place=in_place, strength=strength)


def is_of_now(drive: Drive | None, *, live: bool) -> bool:
    """Whether frames of `drive` that come while another is followed are left out: a camera's are,
    and those of a pipe or of a program that are said to be `live`. `UsageError` where all wait to
    be read."""
    if drive is not None and not is_named(drive) and not isinstance(drive, MotionTrack):
        return live
    if live and not (is_named(drive) and is_live(drive)):
        raise UsageError(
            "Only what is piped in or comes from a camera is live.",
            where="--live",
            hint="Clips and stored motions wait: with --fps they keep their speed in fewer frames.",
        )
    return live or (is_named(drive) and is_camera(drive))


def newest(scene: Scene, overlap: Overlap) -> Scene:
    """`scene`, of whose frames, or motions, those are left out that come while another is shown."""
    if scene.driver is not None:
        return replace(scene, driver=overlap.newest(scene.driver))
    return scene if scene.motions is None else replace(scene, motions=overlap.newest(scene.motions))


def refuse_endless(drive: Drive | None) -> None:
    """`UsageError` for what never ends, and so cannot begin again."""
    if is_named(drive) and is_live(drive):
        what = "A camera" if is_camera(drive) else "What comes through a pipe"
        raise UsageError(
            f"{what} has no end after which it could begin again.",
            where="--loop",
            hint="Leave it out.",
        )


def refuse_few_frames(limit: int | None, least: int = 1) -> None:
    """`UsageError` for a `limit` of frames that leaves less than the `least`."""
    if limit is not None and limit < least:
        raise UsageError(
            f"A limit of {limit} leaves too few frames: {least} or more can be asked for.",
            where="--frames",
        )


def less_memory(scene: Scene) -> str:
    """What to do where memory does not suffice."""
    if scene.still is None:
        return "End other programs, or use a machine with more memory."
    height, width = scene.still.shape[:2]
    return f"The still has {width}x{height} pixels: with a smaller --size it takes less."


def _moved_by(
    bundle: Bundle, drive: Drive, fps: float | None, most: float, *, loop: bool
) -> tuple[Scene, float]:
    """A scene without a still that moves by the frames that `drive` means, or the motion, at `fps`,
    or at its own rate within `most`; and the rate that they then have. With `loop` the frames never
    end."""
    if isinstance(drive, MotionTrack):
        track = drive
    elif not isinstance(drive, (str, Path)):
        return moved_by(drive, looped=loop), fps or within(DEFAULT_FPS, most)
    elif (found := _track(bundle, str(drive))) is not None:
        track = found
    else:
        frames, rate = steady_frames(drive, fps, most=most)
        if loop:
            further = (steady_frames(drive, fps, most=most)[0] for _ in itertools.count())
            frames = itertools.chain(frames, itertools.chain.from_iterable(further))
        return Scene(driver=frames), rate
    rate = fps or within(track.fps, most)
    return Scene(track=track if rate == track.fps else _at_rate(track, rate, looped=loop)), rate


def _at_rate(track: MotionTrack, fps: float, *, looped: bool) -> MotionTrack:
    try:
        return track.resampled(fps, looped=looped)
    except ValueError as error:
        raise UsageError(f"The stored motion is too long: {error}.", where="--fps") from error


def _track(bundle: Bundle, drive: str) -> MotionTrack | None:
    """The stored motion that `drive` means, or `None` if it is a clip or camera. `BadInput` for a
    file that is not there, `UsageError` for an unknown name."""
    path = Path(drive)
    if path.suffix == TRACK:
        return load_track(path)
    with disk_errors(path):
        is_file = path.exists()
    if is_file or is_live(drive):
        return None
    if drive in bundle.tracks:
        return load_track(bundle.tracks[drive])
    from edgeanim.models.shipped_files import shipped, shipped_tracks

    if drive in shipped_tracks():
        with shipped(drive + TRACK) as file:
            return load_track(file)
    if path.suffix or len(path.parts) > 1:
        must_exist(path)
    known = sorted({*bundle.tracks, *shipped_tracks()})
    meant = drive.partition(":")[0] == "camera"
    raise UsageError(
        f"There is no clip and no stored motion {drive!r}.",
        where="--drive",
        hint="Cameras have numbers, like camera:0." if meant else nearest(drive, known),
    )
