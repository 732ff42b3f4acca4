"""`edgeanim animate`: play a bundle on a still, offline, and write the animation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.choices import must_be_side
from edgeanim.core.errors import memory_errors, named
from edgeanim.core.files import must_spare
from edgeanim.core.overlap import Overlap
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.driving import (
    Drive,
    Still,
    is_of_now,
    less_memory,
    motion_options,
    newest,
    options_beside,
    refuse_endless,
    refuse_few_frames,
    scene_of,
)
from edgeanim.pipeline.frames.in_memory import is_named, name_of
from edgeanim.pipeline.playable import to_play
from edgeanim.pipeline.stills import MoreStills, sized, stills_called, with_more_stills
from edgeanim.pipeline.work import Work
from edgeanim.report.words import telling
from edgeanim.runtime.media import (
    STANDARD_OUTPUT,
    Paced,
    UntilItFails,
    as_they_come,
    check_rate,
    files_read,
    most_fps,
    standard_output,
    write_animation,
    write_stream,
)
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import BadDriver, BadStill, Picture, Scene
from edgeanim.targets.bundle import open_bundle


@dataclass(frozen=True)
class Animated:
    """What was written: `ms_per_frame` is the mean time to make a frame, without decoding the
    driver or writing the file, `frames_per_s` how many came out in a second, with both, as what can
    be done at the same time is. `reference_s` is the moment of a stored motion from which it was
    carried over to the still: its beginning, unless its pose is nearer to the still's later. `note`
    is what to know of the variant on this processor, if anything. `not_found` are the regions that
    the driver moves and that the model does not find in the still, so that they rest. `body_way` is
    how far a clip or a camera that is followed moves its body, as a share of the picture's larger
    side; 0 if it is kept in place, or the motion is stored. `left_out` are the frames of a live
    driver that came while another was followed. Frames for a player are `behind` if it had to wait
    for them, and got fewer than the `fps` that it shows; those of a live driver never are."""

    path: Path
    variant: str
    frames: int
    fps: float
    ms_per_frame: float
    frames_per_s: float
    reference_s: float = 0.0
    note: str | None = None
    not_found: tuple[str, ...] = ()
    body_way: float = 0.0
    left_out: int = 0
    behind: bool = False


def animate(
    bundle: str | Path,
    *,
    drive: Drive | None = None,
    out: str | Path,
    still: Still | None = None,
    more_stills: MoreStills | None = None,
    size: int | None = None,
    variant: str | None = None,
    fps: float | None = None,
    limit: int | None = None,
    relative: bool = True,
    smooth: bool | None = None,
    refine: bool = False,
    in_place: bool = False,
    strength: float = 1.0,
    loop: bool = False,
    live: bool = False,
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
    or that ships with edgeanim. A program may give a `MotionTrack` or pictures instead, and the
    still as a picture, too. Without `drive`, `inputs` that list a value for each frame (poses,
    sound) move the still, in a model that takes it so. The variant is the board's first choice that
    runs here.

    `more_stills` show the same character from the same place in other poses: a clip, a folder of
    pictures, a picture, or pictures that a program holds. Each frame is made of the still that is
    nearest to its pose, so that hands, say, are as sharp as they are there (see `pipeline.stills`
    and `runtime.nearest_still`). Without `still` the first of them is it.

    A still whose longer side has more than `size` pixels is scaled down to it: what is written has
    the still's size, and time and memory grow with its pixels. `UsageError` for a model that paints
    frames of a size of its own.

    `relative` motion carries the driver's change over to the still's own pose; without it the still
    takes the driver's pose, on its own body if the model has a skeleton (see `runtime.transfer`).
    `smooth` takes the tremble out of the motion (see `runtime.smoothing`): unless told otherwise
    that of clips and cameras, but not of a stored motion. To `refine` the motion of a clip or a
    camera, it is held against the driver's own frames (see `runtime.refining`): `UsageError` for a
    stored one, or a model whose frames do not tell how good it is. `in_place` keeps the still's
    body where it is while the driver's walks about or sways: its head and limbs still move. With a
    `strength` of 2 it turns and goes twice as far from its own pose, with 0.5 half as far.

    What is written has `fps` frames a second, by default as many as the driver, and at most `limit`
    in all. The motion keeps its speed: a stored one is interpolated, of a clip the nearest frames
    are played, and what it holds still is repeated. A folder, which has no rate of its own, is
    played whole, at `fps` or 25; of a camera that many a second of the time that passes are written
    to a file, of less time where writing them takes longer, and a player gets each as it comes. Of
    a driver that is faster than a GIF can be, a whole fraction is played there. Of `inputs` that
    list as many values as a clip or folder has frames, each stays with its frame.

    What comes faster than it can be followed is left out of a camera's frames, and of those that
    come through standard input or from a program if they are `live`, as of a camera behind a pipe:
    what is shown is of now. Otherwise all frames of a pipe are followed, and whoever writes into it
    has to wait.

    With `loop` a clip or a stored motion begins again whenever it ends. It ends, as a camera does,
    after `limit` frames or when `stop`, which is asked before each and while one is waited for,
    says so; what was made until then is written. So it is, before `DeviceFailed` is raised, where a
    camera fails meanwhile.
    """
    read = (bundle, still, drive, more_stills, *(inputs or {}).values())
    given = [path for path in read if is_named(path)]
    if size is not None:
        must_be_side(size)
    _check_request(bundle, drive, out, given, fps, limit, loop=loop)
    live = is_of_now(drive, live=live)
    shown = str(out) == STANDARD_OUTPUT
    work = Work.on(board, progress=progress)
    with open_bundle(Path(bundle)) as opened:
        chosen, note = to_play(opened.variants, variant, work)
        scene, rate = scene_of(
            opened, still, drive, inputs or {}, fps, most_fps(out), loop=loop, side=size
        )
        if size is not None:
            scene = sized(scene, size, opened.contract)
        if more_stills is not None:
            scene = with_more_stills(scene, more_stills, opened.contract, progress, side=size)
        options = options_beside(
            work, chosen.backend, threads, scene, opened.contract, refine=refine
        )
        motion = motion_options(
            opened.contract,
            scene,
            drive,
            relative=relative,
            smooth=smooth,
            refine=refine,
            in_place=in_place,
            strength=strength,
        )
        with (
            memory_errors("Out of memory.", less_memory(scene)),
            load_player(opened.contract, chosen, options, motion=motion) as player,
            Overlap() as overlap,
        ):
            progress.stage(f"Animate with {chosen.id}", _length(scene, limit))
            if live:
                scene = newest(scene, overlap)
            clock = _Clock(player, scene, progress)
            made = UntilItFails(paced := Paced(clock.frames(overlap, stop)))
            frames = as_they_come(made, rate) if live and not shown else made
            stills = stills_called(still, more_stills)
            with named(name_of(drive, "drive"), BadDriver), named(stills, BadStill):
                # Of a clip more is read than is written: motion needs two frames for one.
                until = itertools.takewhile(lambda _: not stop(), frames)
                written = itertools.islice(until, limit)
                count = _show(written, rate) if shown else write_animation(out, written, rate)
            frames_per_s = clock.per_second(count)
            progress.done(f"{telling(frames_per_s)} frames/s")
    made.tell("the animation" if shown else out)
    return Animated(
        path=Path(out),
        variant=chosen.id,
        frames=count,
        fps=rate,
        ms_per_frame=clock.mean_ms,
        frames_per_s=frames_per_s,
        reference_s=player.reference / rate,
        note=note,
        not_found=player.not_found,
        body_way=0.0 if in_place or scene.driver is None else player.body_way,
        left_out=overlap.left_out,
        behind=shown and not live and paced.is_behind(rate),
    )


def _check_request(
    bundle: str | Path,
    drive: Drive | None,
    out: str | Path,
    read: Sequence[str | Path],
    fps: float | None,
    limit: int | None,
    *,
    loop: bool,
) -> None:
    """Refuse before anything is opened, of what is `read`, what cannot end well."""
    refuse_few_frames(limit)
    if fps is not None:
        check_rate(fps, out)
    if loop:
        refuse_endless(drive)
    if str(out) != STANDARD_OUTPUT:
        must_spare(Path(out), [file for source in read for file in files_read(source)])
    require_bundle(bundle)


def _length(scene: Scene, limit: int | None) -> int | None:
    """How many frames will be made; `None` if that is not known before."""
    if scene.track is None or scene.looped:
        return limit
    return min(len(scene.track), limit or len(scene.track))


def _show(frames: Iterator[Picture], rate: float) -> int:
    with standard_output() as stream:
        return write_stream(stream, frames, rate)


class _Clock:
    """Plays a scene and counts its frames, and the time that the player itself takes for them."""

    def __init__(self, player: Player, scene: Scene, progress: Progress) -> None:
        self._player, self._scene, self._progress = player, scene, progress
        self._seconds, self._count = 0.0, 0  # it may play for days
        self._started = time.perf_counter()

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds per frame so far."""
        return 1e3 * self._seconds / max(1, self._count)

    def per_second(self, count: int) -> float:
        """So many frames until now, in each second of them."""
        return count / (time.perf_counter() - self._started)

    def frames(self, overlap: Overlap, stop: Callable[[], bool]) -> Iterator[Picture]:
        """The scene's frames; each one's stages are added up as it passes. The next is made while
        one is written; it is not waited for when `stop` says so."""
        for frame, seconds in overlap.ahead(self._timed_frames(overlap), stop):
            self._seconds += seconds
            self._count += 1
            left_out = f", {overlap.left_out} left out" if overlap.left_out else ""
            self._progress.step(note=f"{telling(self.per_second(self._count))} frames/s{left_out}")
            yield frame

    def _timed_frames(self, overlap: Overlap) -> Iterator[tuple[Picture, float]]:
        for frame in self._player.play(self._scene, overlap):
            yield frame, sum(self._player.timings.values())
