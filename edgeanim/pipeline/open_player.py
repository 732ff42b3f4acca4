"""`open_player`: a bundle that a program plays, frame by frame, one motion after the other."""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from inspect import GEN_RUNNING, getgeneratorstate
from pathlib import Path
from threading import RLock
from weakref import WeakSet

from edgeanim.core.choices import must_be_side
from edgeanim.core.errors import UsageError, memory_errors, named
from edgeanim.core.overlap import Overlap
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.driving import (
    Drive,
    Still,
    is_of_now,
    less_memory,
    motion_options,
    newest,
    options_beside,
    read_picture,
    refuse_endless,
    scene_of,
)
from edgeanim.pipeline.frames.in_memory import is_named, name_of
from edgeanim.pipeline.playable import to_play
from edgeanim.pipeline.stills import MoreStills, sized, stills_called, with_more_stills
from edgeanim.pipeline.work import Work
from edgeanim.runtime.media import check_rate
from edgeanim.runtime.motion import MAX_FPS, MotionTrack
from edgeanim.runtime.player import Beginning, Player, load_player
from edgeanim.runtime.scene import BadDriver, BadStill, Picture, Scene
from edgeanim.runtime.stills import Stills
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Bundle, open_bundle

MOST_BLENDED_S = 10.0
"""Seconds in which one motion goes over into another."""


class BundlePlayer:
    """Plays motions on the still that it was opened with (see `open_player`), one after the other,
    and gives their frames to a program. Any thread may use it, one after the other, and several may
    be open at once. `UsageError` in another process, to which a fork took it: threads of runtimes
    stay behind.

    `variant` is what is played, and `note` what to know of it on this processor, if anything. `fps`
    is the rate of the motion that was begun last, in frames a second.
    """

    _is_closed = True  # until there is something to close

    def __init__(
        self,
        bundle: Bundle,
        scene: Scene,
        called: object,
        work: Work,
        *,
        variant: str | None,
        threads: int | None,
    ) -> None:
        self._chosen, self.note = to_play(bundle.variants, variant, work)
        self.variant = self._chosen.id
        self.fps = 0.0
        self._bundle, self._scene, self._called = bundle, scene, called
        self._work, self._threads = work, threads
        self._until_closed, self._until_reloaded, self._until_over = (ExitStack() for _ in range(3))
        self._loaded: tuple[SessionOptions, Player] | None = None
        self._stills: Stills | None = None
        self._playing: tuple[Player, Overlap] | None = None
        self._given_now: Generator[Picture] | None = None
        self._turn, self._process = RLock(), os.getpid()
        self._is_closed = False
        _OPEN.add(self)

    def __enter__(self) -> BundlePlayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._is_closed:
            self.close()
            warnings.warn("A player was not closed.", ResourceWarning, stacklevel=2, source=self)

    @property
    def not_found(self) -> tuple[str, ...]:
        """The regions that the motion begun last has moved by themselves so far and that the still
        does not show, so that they rest."""
        return self._playing[0].not_found if self._playing else ()

    @property
    def left_out(self) -> int:
        """How many live frames came while another was followed, since the last motion was begun."""
        return self._playing[1].left_out if self._playing else 0

    def closing(self, held: ExitStack) -> None:
        """Close what is `held`, too, when this is closed."""
        self._until_closed.push(held)

    def stop(self) -> None:
        """End the motion: a camera is let go of. Another may be begun."""
        if os.getpid() == self._process:  # else it ends where it was begun
            with self._next_turn():
                pass

    def close(self) -> None:
        """End the motion, and free memory, threads and files. Nothing can be played any more. A
        frame that another thread is making is waited for; it gets no other."""
        self._is_closed = True
        if os.getpid() == self._process:
            with self._next_turn():
                for held in (self._until_reloaded, self._until_closed):
                    held.close()

    def play(
        self,
        drive: Drive | None = None,
        *,
        fps: float | None = None,
        relative: bool = True,
        smooth: bool | None = None,
        refine: bool = False,
        in_place: bool = False,
        strength: float = 1.0,
        blend: float = 0.0,
        loop: bool = False,
        live: bool = False,
        inputs: Mapping[str, str | Path] | None = None,
    ) -> Iterator[Picture]:
        """Begin to play `drive`, as `animate` does, and give its frames as they are asked for:
        uint8 [H, W, 3] RGB, or [H, W, 4] RGBA of a transparent still, each a fresh array. What was
        begun before ends; for `blend` seconds the motion goes over from what it last showed.

        Clips and cameras are read and followed by threads of their own. A program's own pictures
        are asked for one by one in the thread that asks for the frames, unless they are `live`:
        then another takes them as they come.

        What cannot be played is told at once, what turns out later instead of a frame.
        """
        self._must_be_here()
        with self._next_turn():
            if self._is_closed:
                raise UsageError("This player is closed.", hint="Open another.")
            if loop:
                refuse_endless(drive)
            if fps is not None:
                check_rate(fps, "")
            _check_blend(blend)
            contract, still = self._bundle.contract, self._scene.still
            of_now = is_of_now(drive, live=live)
            scene, self.fps = scene_of(
                self._bundle, still, drive, inputs or {}, fps, MAX_FPS, loop=loop
            )
            scene = replace(scene, more_stills=self._scene.more_stills)
            options = options_beside(
                self._work, self._chosen.backend, self._threads, scene, contract, refine=refine
            )
            motion = motion_options(
                contract,
                scene,
                drive,
                relative=relative,
                smooth=smooth,
                refine=refine,
                in_place=in_place,
                strength=strength,
            )
            with self._named(drive):
                player = self._load(options).heeding(motion)
                if self._playing and (shown := self._playing[0].shown) is not None:
                    player.begins = Beginning(shown, round(blend * self.fps))
                beside = of_now or is_named(drive) or isinstance(drive, MotionTrack)
                frames = self._begun(player, scene, of_now=of_now, beside=beside)
            self._given_now = given = self._given(frames, drive)
            self._until_over.callback(given.close)
        return _Frames(given, self._turn, self._must_be_here)

    def _begun(
        self, player: Player, scene: Scene, *, of_now: bool, beside: bool
    ) -> Iterator[Picture]:
        """The frames of `scene`, after all that can be refused; what moves in it is found `beside`
        them, by another thread, if that is asked for."""
        player.needs.check(scene, self._bundle.contract)
        stills = self._prepared(player, scene)
        overlap = self._until_over.enter_context(Overlap())
        self._playing = player, overlap
        if of_now:
            scene = newest(scene, overlap)
        return player.play(scene, overlap if beside else None, stills)

    @contextmanager
    def _next_turn(self) -> Iterator[None]:
        """A turn for which the motion ends that is played, if any."""
        if self._playing:
            self._playing[1].end()  # who waits for its next frame waits no longer
        with self._turn:
            if self._given_now and getgeneratorstate(self._given_now) == GEN_RUNNING:
                raise UsageError(
                    "A motion cannot be ended by the generator that it asks for pictures.",
                    hint="Return from the generator instead.",
                )
            self._until_over.close()
            yield

    def _must_be_here(self) -> None:
        if os.getpid() != self._process:
            raise UsageError(
                "This player was opened in another process, and its threads are there.",
                hint="Open one in this process.",
            )

    def _load(self, options: SessionOptions) -> Player:
        """A player of sessions with these options: those that are open, unless they have others."""
        if self._loaded is None or self._loaded[0] != options:
            self._until_reloaded.close()
            self._loaded = self._stills = None
            player = load_player(self._bundle.contract, self._chosen, options)
            self._until_reloaded.enter_context(player)
            self._loaded = options, player
        return self._loaded[1]

    def _prepared(self, player: Player, scene: Scene) -> Stills:
        """The stills, prepared once for all scenes without inputs of their own."""
        if scene.conditions:
            return player.prepare(scene)
        if self._stills is None:
            self._stills = player.prepare(scene)
        return self._stills

    def _given(self, frames: Iterator[Picture], drive: Drive | None) -> Generator[Picture]:
        with self._named(drive):
            yield from frames

    @contextmanager
    def _named(self, drive: Drive | None) -> Iterator[None]:
        """Let errors name what the program gave."""
        with (
            memory_errors("Out of memory.", less_memory(self._scene)),
            named(name_of(drive, "drive"), BadDriver),
            named(self._called, BadStill),
        ):
            yield


class _Frames(Iterator[Picture]):
    """The frames of a motion, whichever thread asks, in its `turn`."""

    def __init__(
        self, frames: Iterator[Picture], turn: RLock, must_be_here: Callable[[], None]
    ) -> None:
        self._frames, self._turn, self._must_be_here = frames, turn, must_be_here

    def __next__(self) -> Picture:
        self._must_be_here()
        with self._turn:
            return next(self._frames)


_OPEN = WeakSet[BundlePlayer]()


@atexit.register
def _close_all() -> None:
    """A thread that is still in native code when Python ends takes the process down with it."""
    for player in list(_OPEN):
        player.close()


def _check_blend(seconds: float) -> None:
    if not 0 <= seconds <= MOST_BLENDED_S:
        raise UsageError(
            f"A motion cannot go over into another for {seconds:g} s.",
            where="blend",
            hint=f"Give 0 to {MOST_BLENDED_S:g} seconds.",
        )


def open_player(
    bundle: str | Path,
    *,
    still: Still | None = None,
    more_stills: MoreStills | None = None,
    size: int | None = None,
    variant: str | None = None,
    threads: int | None = None,
    board: str | Path = "local",
) -> BundlePlayer:
    """Open a bundle for a program that shows the frames itself, in a window, a game or a stream:

        with open_player("net.eab", still="me.png") as player:
            for frame in player.play("wave"):
                show(frame)

    `still`, `more_stills`, `size` and `variant` are those of `animate`, and so are the errors. The
    still is prepared once, for all motions. Close the player, or use it in a `with` block: one that
    is lost is closed when Python comes upon it, with a `ResourceWarning`.
    """
    if size is not None:
        must_be_side(size)
    require_bundle(bundle)
    work = Work.on(board)
    with ExitStack() as held:
        opened = held.enter_context(open_bundle(Path(bundle)))
        scene = Scene(None if still is None else read_picture(still, size))
        if size is not None:
            scene = sized(scene, size, opened.contract)
        if more_stills is not None:
            scene = with_more_stills(scene, more_stills, opened.contract, side=size)
        called = stills_called(still, more_stills)
        player = BundlePlayer(opened, scene, called, work, variant=variant, threads=threads)
        player.closing(held.pop_all())
    return player
