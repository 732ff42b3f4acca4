"""Drift over a long run: `python -m edgeanim.benchmarks.figures.drift_long net.eab --frames 10000`.

A variant and its float32 play the bundle's scene side by side, to and fro without an end and
without starting anew, so that whatever builds up (a state, a rounding error, memory) has time to.
Frames are compared as they are made and let go; what is kept is a line for each window. All are
played; `--compare-every 5` compares two successive ones of every ten, since comparing takes ten
times as long as playing. Exit code 1 if drift or memory has grown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift, DriftMeter
from edgeanim.benchmarks.timing.playback import lengthened
from edgeanim.core.errors import GateFailed, UsageError, reports_errors
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.motion import MAX_FRAMES
from edgeanim.runtime.player import load_player
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Bundle, open_bundle
from edgeanim.targets.manifest import variant_called

MAX_GROWTH = 0.002
"""By how much the mean drift of the last window may exceed that of the first."""
MAX_GROWTH_MB = 2.0
_WINDOWS = 10


@dataclass(frozen=True)
class Window:
    """A tenth of the run: its drift, and the process's resident memory after it in MiB."""

    first_frame: int
    drift: Drift
    rss_mb: float


def windows_of(
    bundle: Bundle, variant: str, against: str, frames: int, *, every: int = 1
) -> Iterator[Window]:
    """Play `frames` frames of two variants of a bundle in lockstep; a window for each tenth. Of the
    pairs of successive frames, each `every`-th is compared."""
    least = 2 * _WINDOWS  # a change is between two frames
    if not least <= frames <= MAX_FRAMES:
        raise UsageError(f"A long run has {least} to {MAX_FRAMES} frames.", where="--frames")
    scene = lengthened(load_golden(bundle.must_have_golden()).scene, frames)
    with ExitStack() as stack:
        plays = []
        for name in (variant, against):
            player = load_player(
                bundle.contract, variant_called(name, bundle.variants), SessionOptions()
            )
            plays.append(stack.enter_context(player).play(scene))
        meter = DriftMeter()
        began = 0
        ends = {frames * tenth // _WINDOWS for tenth in range(1, _WINDOWS + 1)}
        for number, (ours, theirs) in enumerate(zip(*plays, strict=True), start=1):
            if (number - 1 - began) // 2 % every == 0:
                meter.add(ours, theirs)
            else:
                meter.skip()
            if number in ends:
                yield Window(began, meter.result(), _resident_mb())
                began, meter = number, DriftMeter()


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Print each window and the verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m edgeanim.benchmarks.figures.drift_long",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("bundle", type=Path, help="a bundle (.eab) with golden frames")
    parser.add_argument("--variant", default="onnxruntime-int8")
    parser.add_argument("--against", default="onnxruntime-float32")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--compare-every", type=int, default=1, metavar="N", choices=range(1, 101))
    options = parser.parse_args(arguments)
    windows: list[Window] = []
    with open_bundle(options.bundle) as bundle:
        print("  from  drift mean  worst SSIM    flow  flicker  resident MB")
        names = options.variant, options.against
        found = windows_of(bundle, *names, options.frames, every=options.compare_every)
        for window in found:
            windows.append(window)
            print(_line(window), flush=True)
    growth = windows[-1].drift.drift_mean - windows[0].drift.drift_mean
    grown_mb = windows[-1].rss_mb - windows[0].rss_mb
    steady = growth <= MAX_GROWTH and grown_mb < MAX_GROWTH_MB
    print(
        f"Drift {growth:+.5f} and memory {grown_mb:+.2f} MB from the first tenth to the last: "
        + ("no growth." if steady else "it grows.")
    )
    return 0 if steady else GateFailed.exit_code


def _line(window: Window) -> str:
    drift = window.drift
    flow, flicker = (f"{s.mean:.3f}" if s else "-" for s in (drift.flow, drift.flicker))
    return (
        f"{window.first_frame:6}  {drift.drift_mean:10.5f}  {drift.ssim_worst:10.4f}  {flow:>6}  "
        f"{flicker:>7}  {window.rss_mb:11.1f}"
    )


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
