"""What watching the machine costs: `python -m edgeanim.benchmarks.figures.sampling_cost SECONDS`.

Runs the watch of a bench with nothing to watch, and counts the CPU time of its process and of the
commands that its sensors run: with this machine's sensors as they are, and once more with looks
made slow, as they are on a board whose firmware is asked by a process for every value. There the
watch must look less often by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgeanim.benchmarks.machine.host import Host
from edgeanim.benchmarks.machine.watch import Watch
from edgeanim.targets.board import LOCAL, load_board

_SECONDS = 30.0
_SLOW_SECONDS = 0.04


@dataclass(frozen=True)
class Cost:
    """`looks` over `seconds`, and the CPU time that they took altogether."""

    looks: int
    seconds: float
    cpu_s: float

    @property
    def core_share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.seconds


class SlowHost(Host):
    """Keeps a core busy for 40 ms more at every look."""

    def advance(self, *, last: bool = False) -> None:
        super().advance(last=last)
        end = time.thread_time() + _SLOW_SECONDS
        while time.thread_time() < end:
            pass


def measure(sensors: Sequence[str], host: Host, seconds: float = _SECONDS) -> Cost:
    """Watch for `seconds` with nothing else to do; the first look, which imports, is left out."""
    with Watch(sensors, host) as watch:
        began, before, looks = time.monotonic(), os.times(), len(watch.readings())
        time.sleep(seconds)
        ended, after, looks = time.monotonic(), os.times(), len(watch.readings()) - looks
        watch.end()
    return Cost(looks, ended - began, sum(after[:4]) - sum(before[:4]))


def main(seconds: float = _SECONDS) -> None:
    """Print both."""
    sensors = load_board(LOCAL).sensors
    hosts = {
        f"this machine ({', '.join(sensors)})": Host(),
        f"the same with looks slower by {_SLOW_SECONDS * 1e3:.0f} ms": SlowHost(),
    }
    for title, host in hosts.items():
        cost = measure(sensors, host, seconds)
        each = 1e3 * cost.cpu_s / max(1, cost.looks)
        print(
            f"{title}: {cost.looks} looks in {cost.seconds:.0f} s, {each:.1f} ms of CPU each, "
            f"{cost.core_share:.2%} of a core"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS)
