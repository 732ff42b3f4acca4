"""What it brings to read, follow, make and write frames at the same time, as `animate` does:
`python -m edgeanim.benchmarks.figures.overlapping net.eab --still me.png --drive clip.mp4`.

Renders the clip from file to file, one step after the other and with the steps at the same time, by
turns, and prints the time of a frame, all included, and the ratio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.timing.stats import Ratio, median, paired_ratio
from edgeanim.core.choices import must_be_threads
from edgeanim.core.errors import UsageError, reports_errors
from edgeanim.core.overlap import Overlap
from edgeanim.core.scratch import scratch_folder
from edgeanim.core.threads import opencv_threads
from edgeanim.runtime.media import DEFAULT_FPS, read_frames, read_still, write_animation
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Bundle, open_bundle
from edgeanim.targets.manifest import variant_called

_WARM_UP = 1


@dataclass(frozen=True)
class Compared:
    """Median milliseconds of a frame, and how many times as fast frames come at the same time."""

    apart_ms: float
    overlapping_ms: float
    gain: Ratio


def compare(
    bundle: Bundle,
    variant: str,
    still: Path | None,
    clip: Path,
    suffix: str,
    threads: int,
    rounds: int,
) -> Compared:
    """Render `clip` by turns, each way `rounds` times and once to warm up, with `threads` threads
    for each graph."""
    must_be_threads(threads)
    if rounds < 2:
        raise UsageError("A ratio takes 2 rounds or more.", where="--rounds")
    chosen = variant_called(variant, bundle.variants)
    picture = None if still is None else read_still(still)
    motion = MotionOptions(smooth=Needs.of(bundle.contract).moves_alone)
    times: dict[bool, list[list[float]]] = {False: [], True: []}
    with ExitStack() as stack:
        stack.enter_context(opencv_threads(threads))
        out = stack.enter_context(scratch_folder("overlapping")) / f"out{suffix}"
        players: dict[bool, Player] = {}
        for way in times:
            options = SessionOptions(threads=threads, beside_others=way)
            player = load_player(bundle.contract, chosen, options, motion=motion)
            players[way] = stack.enter_context(player)
        for number in range(_WARM_UP + rounds):
            for way in (False, True) if number % 2 else (True, False):
                scene = Scene(picture, read_frames(clip))
                took = _render(players[way], scene, out, overlapping=way)
                if number >= _WARM_UP:
                    times[way].append([took])
    apart, overlapping = (median([took for (took,) in times[way]]) for way in (False, True))
    return Compared(apart, overlapping, paired_ratio([times[False]], [times[True]]))


def _render(player: Player, scene: Scene, out: Path, *, overlapping: bool) -> float:
    """Milliseconds a frame."""
    with Overlap() if overlapping else nullcontext() as overlap:
        began = time.perf_counter()
        frames = player.play(scene, overlap)
        frames = frames if overlap is None else overlap.ahead(frames)
        count = write_animation(out, frames, DEFAULT_FPS)
        return (time.perf_counter() - began) * 1e3 / count


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.benchmarks.figures.overlapping",
        description=(__doc__ or "").split(":\n")[0],
    )
    parser.add_argument("bundle", type=Path, help="a bundle (.eab)")
    parser.add_argument("--still", type=Path, help="for a model that animates one")
    parser.add_argument("--drive", type=Path, required=True, help="a clip")
    parser.add_argument("--variant", default="openvino-int8")
    parser.add_argument("--to", default=".webm", help="the suffix of what is written")
    parser.add_argument("--threads", type=int, default=1, help="of each graph")
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args(arguments)
    with open_bundle(asked.bundle) as bundle:
        found = compare(
            bundle, asked.variant, asked.still, asked.drive, asked.to, asked.threads, asked.rounds
        )
    print(
        f"{asked.variant} to {asked.to}: {found.apart_ms:.2f} ms a frame one after the other, "
        f"{found.overlapping_ms:.2f} at the same time: {found.gain.times}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
