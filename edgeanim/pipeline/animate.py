"""`edgeanim animate`: play a bundle on a still, offline, and write the animation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeanim.core.errors import UsageError, named
from edgeanim.core.files import must_exist, must_spare
from edgeanim.core.parsing import nearest
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.frames.material import read_conditions
from edgeanim.pipeline.playable import choose_variant, note_on
from edgeanim.pipeline.work import Work
from edgeanim.report.words import telling
from edgeanim.runtime.input_scenes import moved_by_inputs
from edgeanim.runtime.media import (
    DEFAULT_FPS,
    STANDARD_OUTPUT,
    UntilItFails,
    as_they_come,
    check_rate,
    files_read,
    is_camera,
    is_live,
    most_fps,
    read_still,
    standard_output,
    steady_frames,
    steady_numbers,
    within,
    write_animation,
    write_stream,
)
from edgeanim.runtime.motion import MotionTrack, load_track
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import BadDriver, BadStill, Picture, Scene
from edgeanim.runtime.transfer import TransferRule
from edgeanim.runtime.wiring import Needs, conditions_at
from edgeanim.targets.bundle import Bundle, open_bundle

TRACK = ".npz"
"""The suffix of stored motions."""


@dataclass(frozen=True)
class Animated:
    """What was written: `ms_per_frame` is the mean time to make a frame, without decoding the
    driver or writing the file. `reference_s` is the moment of a stored motion from which it was
    carried over to the still: its beginning, unless its pose is nearer to the still's later. `note`
    is what to know of the variant on this processor, if anything. `not_found` are the regions that
    the driver moves and that the model does not find in the still, so that they rest."""

    path: Path
    variant: str
    frames: int
    fps: float
    ms_per_frame: float
    reference_s: float = 0.0
    note: str | None = None
    not_found: tuple[str, ...] = ()


def animate(
    bundle: str | Path,
    *,
    drive: str | Path | None = None,
    out: str | Path,
    still: str | Path | None = None,
    variant: str | None = None,
    fps: float | None = None,
    limit: int | None = None,
    relative: bool = True,
    smooth: bool | None = None,
    in_place: bool = False,
    strength: float = 1.0,
    loop: bool = False,
    stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
    board: str | Path = "local",
    inputs: Mapping[str, str | Path] | None = None,
    progress: Progress = SILENT,
) -> Animated:
    """Animate `still` with a bundle, moved by `drive`, and write `out` (.gif, .mp4, .webm, .webp,
    .png, or a folder; `-` for standard output, each frame as soon as it is made, as YUV4MPEG2).

    `drive` is a clip, a GIF, a folder of frames, `camera:N`, `-` for frames that come through
    standard input, as YUV4MPEG2, a stored motion (.npz), or the name of one that the bundle carries
    or that ships with edgeanim. `relative` motion carries the driver's
    change over to the still's own pose; without it the still takes the driver's pose, on its own
    body if the model has a skeleton (see `runtime.transfer`). `smooth` takes the tremble out of the
    motion (see `runtime.smoothing`): unless told otherwise that of clips and cameras, but not of a
    stored motion. `in_place` keeps the still's body where it is while the driver's walks about or
    sways: its head and limbs still move. With a `strength` of 2 it turns and goes twice as far from
    its own pose, with 0.5 half as far. The variant is the board's first choice that runs here.
    Without `drive`, `inputs` that list a value for each frame (poses, sound) move the still, in a
    model that takes it so.

    What is written has `fps` frames a second, by default as many as the driver, and at most `limit`
    in all. The motion keeps its speed: a stored one is interpolated, of a clip the nearest frames
    are played, and what it holds still is repeated. A folder, which has no rate of its own, is
    played whole, at `fps` or 25; of a camera that many a second of the time that passes are written
    to a file, and a player gets each as it comes. Of a driver that is faster than a GIF can be, a
    whole fraction is played there. Of `inputs` that list as many values as a clip or folder has
    frames, each stays with its frame.

    With `loop` a clip or a stored motion begins again whenever it ends. It ends, as a camera does,
    after `limit` frames or when `stop`, which is asked before each, says so; what was made until
    then is written. So it is, before `DeviceFailed` is raised, where a camera fails meanwhile.
    """
    refuse_no_frames(limit)
    if fps is not None:
        check_rate(fps, out)
    camera = drive is not None and is_camera(drive)
    if loop and drive is not None and is_live(drive):
        what = "A camera" if camera else "What comes through a pipe"
        raise UsageError(f"{what} has no end after which it could begin again.", where="--loop")
    live = str(out) == STANDARD_OUTPUT
    if not live:
        stills = () if still is None else (still,)
        driven = () if drive is None else files_read(drive)
        must_spare(Path(out), [bundle, *stills, *driven, *(inputs or {}).values()])
    require_bundle(bundle)
    work = Work.on(board, progress=progress)
    with open_bundle(Path(bundle)) as opened:
        chosen = choose_variant(opened.variants, variant, work)
        note = note_on(chosen, () if variant else opened.variants, work)
        scene, rate = _scene(opened, still, drive, inputs or {}, fps, most_fps(out), loop=loop)
        options = work.options(chosen.backend, threads)
        transfer: TransferRule | None = None if relative else "pose"
        if not relative and not Needs.of(opened.contract).motion:
            raise UsageError(
                f"The model {opened.contract.name!r} carries no motion over to a still.",
                hint="Leave out --absolute.",
            )
        if smooth is None:
            followed = drive is not None and scene.driver is not None
            smooth = followed and Needs.of(opened.contract).moves_alone
        with load_player(
            opened.contract,
            chosen,
            options,
            transfer=transfer,
            smooth=smooth,
            in_place=in_place,
            strength=strength,
        ) as player:
            progress.stage(f"Animate with {chosen.id}", _length(scene, limit))
            clock = _Clock(player, scene, progress)
            made = UntilItFails(clock.frames())
            frames = as_they_come(made, rate) if camera and not live else made
            with named(drive, BadDriver), named(still, BadStill):
                # Of a clip more is read than is written: motion needs two frames for one.
                until = itertools.takewhile(lambda _: not stop(), frames)
                written = itertools.islice(until, limit)
                count = _show(written, rate) if live else write_animation(out, written, rate)
            progress.done(f"{clock.mean_ms:.1f} ms a frame")
    made.tell("the animation" if live else out)
    reference = player.reference / rate
    return Animated(
        Path(out), chosen.id, count, rate, clock.mean_ms, reference, note, player.not_found
    )


def _scene(
    bundle: Bundle,
    still: str | Path | None,
    drive: str | Path | None,
    inputs: Mapping[str, str | Path],
    fps: float | None,
    most: float,
    *,
    loop: bool,
) -> tuple[Scene, float]:
    """What is played, and how many frames of it are a second (see `_moved_by`)."""
    if drive is None:
        picture = None if still is None else read_still(Path(still))
        conditions = read_conditions(bundle.contract, inputs)
        scene = moved_by_inputs(bundle.contract, picture, conditions, looped=loop)
        return scene, fps or within(DEFAULT_FPS, most)
    if still is not None and not Needs.of(bundle.contract).still:
        raise UsageError(
            f"The model {bundle.contract.name!r} changes each picture of --drive as it is, and "
            "animates no still.",
            hint="Leave out --still, or --drive if an --input has a value for each frame.",
        )
    picture = None if still is None else read_still(Path(still))
    conditions = read_conditions(bundle.contract, inputs)
    driver, track, rate = _moved_by(bundle, drive, fps, most, loop=loop)
    if track is None and not is_live(drive) and any(len(v) > 1 for v in conditions.values()):
        # Of another rate than the clip's own not every frame is played, or some more than once.
        numbers, count = steady_numbers(drive, fps, most=most)
        played = np.array(numbers, np.intp)
        conditions = conditions_at(conditions, played, count, bundle.contract)
    return Scene(picture, driver, track, conditions, looped=loop), rate


def refuse_no_frames(limit: int | None) -> None:
    """`UsageError` for a `limit` of frames that leaves none."""
    if limit is not None and limit < 1:
        raise UsageError(
            f"A limit of {limit} leaves no frame: 1 frame or more can be asked for.",
            where="--frames",
        )


def _length(scene: Scene, limit: int | None) -> int | None:
    """How many frames will be made; `None` if that is not known before."""
    if scene.track is None or scene.looped:
        return limit
    return min(len(scene.track), limit or len(scene.track))


def _show(frames: Iterator[Picture], rate: float) -> int:
    with standard_output() as stream:
        return write_stream(stream, frames, rate)


class _Clock:
    """Plays a scene and counts the time that the player itself takes."""

    def __init__(self, player: Player, scene: Scene, progress: Progress) -> None:
        self._player, self._scene, self._progress = player, scene, progress
        self._seconds, self._count = 0.0, 0  # it may play for days

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds per frame so far."""
        return 1e3 * self._seconds / max(1, self._count)

    def frames(self) -> Iterator[Picture]:
        """The scene's frames; each one's stages are added up as it passes."""
        started = time.perf_counter()
        for frame in self._player.play(self._scene):
            self._seconds += sum(self._player.timings.values())
            self._count += 1
            rate = self._count / (time.perf_counter() - started)
            self._progress.step(note=f"{telling(rate)} frames/s")
            yield frame


def _moved_by(
    bundle: Bundle, drive: str | Path, fps: float | None, most: float, *, loop: bool
) -> tuple[Iterator[Picture] | None, MotionTrack | None, float]:
    """The frames that `drive` means, or the stored motion, at `fps`, or at its own rate within
    `most`; and the rate that they then have. With `loop` the frames never end."""
    track = _track(bundle, str(drive))
    if track is not None:
        rate = fps or within(track.fps, most)
        track = track if rate == track.fps else _at_rate(track, rate, looped=loop)
        return None, track, rate
    frames, rate = steady_frames(drive, fps, most=most)
    if loop:
        further = (steady_frames(drive, fps, most=most)[0] for _ in itertools.count())
        frames = itertools.chain(frames, itertools.chain.from_iterable(further))
    return frames, None, rate


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
    if path.exists() or is_live(drive):
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
