"""How what a program plays ends: stopped or closed by any thread, lost, forked, or with Python."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim.api import BundlePlayer, open_player
from edgeanim.core.errors import UsageError
from tests.pipeline.followers import Pictures, levels, shade


def test_closing_leaves_nothing_behind(
    small_bundle: Path, still: Pictures, moving_clip: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = threading.active_count()
    player = open_player(small_bundle, still=still)
    frames = player.play(moving_clip, loop=True)
    next(frames)
    assert list(tmp_path.iterdir())
    player.close()
    player.close()
    assert list(frames) == []
    assert threading.active_count() == before
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="closed"):
        player.play("wave")


def test_several_play_at_the_same_time(small_bundle: Path, still: Pictures) -> None:
    made: dict[str, list[Pictures]] = {}

    def work(motion: str, count: Callable[[], int]) -> None:
        with open_player(small_bundle, still=still) as player:
            made[f"{motion}{count()}"] = list(player.play(motion))

    number = itertools.count()
    threads = [
        threading.Thread(target=work, args=(motion, lambda: next(number)))
        for motion in ("wave", "nod", "wave")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    waves = [frames for name, frames in made.items() if name.startswith("wave")]
    assert len(made) == 3
    assert np.array_equal(np.stack(waves[0]), np.stack(waves[1]))


def test_a_motion_is_stopped_and_another_begun(played: BundlePlayer, moving_clip: Path) -> None:
    before = threading.active_count()
    frames = played.play(moving_clip, loop=True)
    next(frames)
    played.stop()
    played.stop()
    assert list(frames) == []
    assert threading.active_count() == before
    assert len(list(played.play("nod"))) > 2


def test_another_thread_may_close_it_while_a_frame_is_made(follower: Path) -> None:
    """It got a `ValueError` of Python's generators, and the player was left half closed."""
    asked, goes_on = threading.Event(), threading.Event()

    def camera() -> Iterator[Pictures]:
        yield from (shade(0), shade(1))
        asked.set()
        assert goes_on.wait(10)
        yield from (shade(2), shade(3))

    player = open_player(follower, still=shade(0))
    for end in (lambda: player.play([shade(0), shade(1)]), player.stop, player.close):
        asked.clear()
        goes_on.clear()
        frames = player.play(camera(), smooth=False, relative=False)
        with ThreadPoolExecutor(2) as pool:
            shown = pool.submit(lambda frames=frames: levels(frames))
            assert asked.wait(10)
            ended = pool.submit(end)
            assert not wait([ended], 0.05).done
            goes_on.set()
            ended.result(10)
            assert shown.result(10)[:2] == [0, 1]
        assert list(frames) == []


def test_a_generator_cannot_end_the_motion_that_asks_it(follower: Path) -> None:
    def camera(end: Callable[[], object]) -> Iterator[Pictures]:
        yield from (shade(0), shade(1))
        end()

    with open_player(follower, still=shade(0)) as player:
        for end in (player.stop, lambda: player.play([shade(0), shade(1)])):
            with pytest.raises(UsageError, match="Return from the generator"):
                list(player.play(camera(end), smooth=False))
        assert len(list(player.play([shade(0), shade(1)]))) == 2


def test_one_that_is_lost_frees_what_it_held_and_says_so(
    small_bundle: Path, still: Pictures, moving_clip: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Each left a thread behind that kept its sessions, tens of megabytes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = threading.active_count()
    player = open_player(small_bundle, still=still)
    next(player.play(moving_clip, loop=True))
    del player
    with pytest.warns(ResourceWarning, match="player was not closed"):
        gc.collect()
    assert threading.active_count() == before
    assert not list(tmp_path.iterdir())


_LOSES = """
import os, sys
from edgeanim.api import UsageError, open_player
bundle, still, clip, folder = sys.argv[1:]
player = open_player(bundle, still=still)
frames = player.play(clip, loop=True)
next(frames)
if not (child := os.fork()):
    for asks in (lambda: next(frames), lambda: player.play("wave")):
        try:
            asks()
        except UsageError as error:
            print(error, flush=True)
    player.close()
    sys.exit()
os.waitpid(child, 0)
assert len(os.listdir(folder)) == 1, os.listdir(folder)
next(frames)
"""


def test_a_fork_cannot_use_it_nor_do_harm_and_the_end_of_python_closes_it(
    small_bundle: Path, still: Pictures, moving_clip: Path, tmp_path: Path
) -> None:
    """A fork waited for frames of threads that it did not have, and its end removed the bundle's
    files under the process that plays; at whose own end a thread was killed in native code."""
    file, folder = tmp_path / "still.png", tmp_path / "temporary"
    Image.fromarray(still).save(file)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LOSES, small_bundle, file, moving_clip, folder],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("opened in another process") == 2
    assert not list(folder.iterdir())
