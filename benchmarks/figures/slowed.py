"""A worker that is slower than it ought to be, by a share of each frame's own time.

`python -m edgeanim.benchmarks.figures.slowed 0.1` stands in for the worker's module: a difference
that is known, for the harness to find.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from edgeanim.benchmarks.timing.playback import Playback
from edgeanim.benchmarks.timing.protocol import Job
from edgeanim.benchmarks.timing.worker import Worker, main
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Picture, Scene
from edgeanim.runtime.stills import Stills

MODULE = "edgeanim.benchmarks.figures.slowed"


class SlowedPlayer(Player):
    """After each frame it is busy for `share` of the time that the frame took."""

    share: float = 0.0

    def play(
        self, scene: Scene, overlap: Overlap | None = None, stills: Stills | None = None
    ) -> Iterator[Picture]:
        frames = super().play(scene, overlap, stills)
        while True:
            began = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            now = time.perf_counter()
            end = now + self.share * (now - began)
            while time.perf_counter() < end:
                pass
            yield frame


def slowed_worker(job: Job, share: float) -> Worker:
    """A worker whose every frame takes `1 + share` times as long."""
    worker = Worker(job)
    player = SlowedPlayer(job.contract, worker.sessions)
    player.share = share
    worker.player, worker.playback = player, Playback(player, worker.scene)
    return worker


if __name__ == "__main__":
    main(lambda job: slowed_worker(job, float(sys.argv[1])))
