"""`edgeanim motion`: extract a clip's motion into a track, list the shipped ones."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, UsageError, named
from edgeanim.core.files import may_become_file, must_end_in, must_spare
from edgeanim.core.overlap import Overlap
from edgeanim.core.parsing import nearest
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.shipped_files import shipped, shipped_tracks
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.driving import TRACK, is_of_now, newest, options_beside, refuse_few_frames
from edgeanim.pipeline.playable import to_play
from edgeanim.pipeline.work import Work
from edgeanim.runtime.execution import Record
from edgeanim.runtime.media import (
    UntilItFails,
    as_they_come,
    files_read,
    is_live,
    probe_length,
    steady_frames,
)
from edgeanim.runtime.motion import MAX_FRAMES, MotionTrack, load_track, save_track
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.player import load_player
from edgeanim.runtime.scene import BadDriver, BadStill, Picture, Scene
from edgeanim.targets.bundle import open_bundle


@dataclass(frozen=True)
class StoredMotion:
    """A track that ships with edgeanim or travels in a bundle."""

    name: str
    frames: int
    fps: float

    @classmethod
    def of(cls, name: str, path: Path) -> StoredMotion:
        """The track in the file `path`, called `name`."""
        track = load_track(path)
        return cls(name, len(track), track.fps)


def motions() -> tuple[StoredMotion, ...]:
    """The stored motions that ship with edgeanim."""
    rows = []
    for name in shipped_tracks():
        with shipped(f"{name}.npz") as path:
            rows.append(StoredMotion.of(name, path))
    return tuple(rows)


def load_motion(name: str | Path) -> MotionTrack:
    """The motion in the .npz `name`, or the one of that name that ships with edgeanim: float32
    `values` [frames, regions, 6], see `runtime.motion`. `UsageError` for an unknown name,
    `BadInput` for a file that holds none."""
    if Path(name).suffix == TRACK:
        return load_track(Path(name))
    if str(name) not in shipped_tracks():
        raise UsageError(
            f"There is no stored motion {str(name)!r}.", hint=nearest(str(name), shipped_tracks())
        )
    with shipped(f"{name}{TRACK}") as path:
        return load_track(path)


def recording_motion(
    contract: Contract, keep: Callable[[Array], object], where: object = None
) -> Record:
    """What a player is given to `keep` the motion, float32 [K, 6], that it makes each frame of;
    `UsageError` if its model makes none of motion."""
    for graph in contract.per_frame:
        if (spec := graph.input("motion:driving")) is not None:
            break
    else:
        raise UsageError(
            "This bundle's model follows no motion.",
            where=where,
            hint="Give the bundle of a model that animates a still by the motion of a clip.",
        )
    taker, taken = graph.name, spec.name

    def record(name: str, inputs: Mapping[str, Array]) -> None:
        if name == taker:
            keep(np.array(inputs[taken][0], np.float32))

    return record


def extract_motion(
    clip: str | Path,
    *,
    bundle: str | Path,
    out: str | Path,
    variant: str | None = None,
    limit: int | None = None,
    smooth: bool = True,
    refine: bool = False,
    live: bool = False,
    stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
    board: str | Path = "local",
    progress: Progress = SILENT,
) -> MotionTrack:
    """Follow `clip` with a bundle's regions and store its motion in `out` (.npz), without its
    tremble if `smooth` (see `runtime.smoothing`) and the model makes its frames of motion alone.
    To `refine` it, what the model makes of each motion is held against the clip's own frame (see
    `runtime.refining`), which takes several times as long. Of a camera, and of a pipe that is
    `live`, what comes faster than it can be followed is left out. It ends with the clip, after
    `limit` frames or when `stop`, which is asked before each and while one is waited for, says so;
    a camera also where a track is full. The `variant` is by default the board's first choice that
    runs here.

    `UsageError` if `out` is no .npz, `limit` is less than two frames, the bundle's model does not
    find motion in a driver, the clip is longer than a track can be, or it cannot be refined: some
    models make their frames of more than motion.
    """
    _check_request(clip, bundle, out, limit)
    live = is_of_now(clip, live=live)
    work = Work.on(board, progress=progress)
    latest: deque[Array] = deque(maxlen=1)
    with open_bundle(Path(bundle)) as opened:
        chosen, note = to_play(opened.variants, variant, work)
        record = recording_motion(opened.contract, latest.append, bundle)
        if note is not None:
            progress.stage("Choose the variant")
            progress.done(note)

        every, fps = steady_frames(clip)
        scene = _drives_itself(every if live else itertools.islice(every, limit), clip)
        options = options_beside(
            work, chosen.backend, threads, scene, opened.contract, refine=refine
        )
        progress.stage(f"Follow with {chosen.id}", limit)
        smooth = smooth and Needs.of(opened.contract).moves_alone
        motion = MotionOptions("raw", smooth=smooth, refine=refine)
        player = load_player(opened.contract, chosen, options, record, motion=motion)
        with player, Overlap() as overlap, named(clip, BadDriver), named(clip, BadStill):
            if live:
                scene = newest(scene, overlap)
            followed = (latest[0] for _ in player.play(scene, overlap))
            made = UntilItFails(overlap.ahead(followed, stop))
            found = as_they_come(made, fps) if live else made
            until = itertools.takewhile(lambda _: not stop(), found)
            values = _gathered(itertools.islice(until, limit), clip, progress, overlap)
    track = _track(values, fps, opened.contract.regions, clip)
    save_track(Path(out), track)
    made.tell(out)
    return track


def _check_request(
    clip: str | Path, bundle: str | Path, out: str | Path, limit: int | None
) -> None:
    """Refuse before anything is opened what cannot end well."""
    refuse_few_frames(limit, least=2)  # one does not move
    must_end_in(TRACK, out, "A stored motion")
    may_become_file(Path(out))
    must_spare(Path(out), [bundle, *files_read(clip)])
    lengths = [length for length in (limit, probe_length(clip)) if length is not None]
    if lengths and min(lengths) > MAX_FRAMES:
        raise _too_long(clip)
    require_bundle(bundle)


def _drives_itself(frames: Iterator[Picture], clip: str | Path) -> Scene:
    """The scene in which a clip's first frame is the still and all of them drive it. They are read
    once: a camera cannot be opened a second time, and would show something else."""
    still: Picture | None = next(frames, None)
    if still is None:
        raise BadInput("The clip has no frames.", where=clip)
    return Scene(still, itertools.chain([still], frames))


def _track(
    values: Sequence[Array], fps: float, regions: tuple[str, ...] | None, clip: str | Path
) -> MotionTrack:
    """The track of a clip from its frames' motion, float32 [K, 6] each."""
    if not values:
        raise BadInput("It was stopped before the first frame.", where=clip)
    try:
        return MotionTrack(np.stack(values), fps, regions)
    except ValueError as error:
        raise BadInput(f"The motion found in it cannot be stored: {error}.", where=clip) from error


def _gathered(
    motions: Iterable[Array], clip: str | Path, progress: Progress, overlap: Overlap
) -> list[Array]:
    """All of them, of a camera as many as a stored motion has room for."""
    values: list[Array] = []
    for motion in motions:
        if len(values) == MAX_FRAMES:
            if is_live(clip):
                break
            raise _too_long(clip)
        values.append(motion)
        progress.step()
    told = [f"{overlap.left_out} frames left out"] if overlap.left_out else []
    if len(values) == MAX_FRAMES:
        told.append("a stored motion has no room for more")
    progress.done(", ".join(told))
    return values


def _too_long(clip: str | Path) -> UsageError:
    return UsageError(
        f"A stored motion cannot have more than {MAX_FRAMES} frames.",
        where=clip,
        hint="Say with --frames how many to follow.",
    )
