"""Which cores the timed processes of a round share, so that no variant gets a better one.

Left to the scheduler, two processes that take turns settle on two cores for their whole life. One
of these may be of a slower kind, share its physical core with another program, or lie on a part of
the host that is busy; the ratio of the two variants is then one of cores. So all processes of a
round keep to the same ones, those that are least busy when it begins. Among equals every round
moves on to the next: how these differ goes into the interval over rounds.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edgeanim.benchmarks.machine.sensors.base import Snapshot
from edgeanim.benchmarks.machine.sensors.linux import LinuxSensor
from edgeanim.targets.machine import ROOT

_SYSFS = "sys/devices/system/cpu"
# Favoured cores of one kind differ by some percent; another kind by a quarter or more.
_SAME_KIND = 0.9
# The kernel counts in hundredths of a second.
_LOOK_S = 0.3
_PER_CORE = re.compile(r"cpu(\d+)\.(?:busy|steal)_s")


def cores_of_round(
    fit: Sequence[int], threads: int, number: int, busy: Mapping[int, float]
) -> tuple[int, ...]:
    """The cores for processes of `threads` threads in the round `number`: the least busy of `fit`,
    and among equals others than in the round before. All, if there are no more.

    `busy` has the share of each core's time that others take; one that is missing counts as idle.
    """
    count = min(threads, len(fit))
    first = number * count % len(fit)
    turned = (*fit[first:], *fit[:first])
    return tuple(sorted(sorted(turned, key=lambda core: round(busy.get(core, 0.0), 1))[:count]))


def busy_shares(
    seconds: float = _LOOK_S, read: Callable[[], Snapshot] | None = None
) -> Mapping[int, float]:
    """How busy each core is with others' work, theft by the host included, over `seconds` in which
    nothing of ours runs; empty where the kernel does not tell."""
    look = read or LinuxSensor().read
    before, began = look().values, time.monotonic()
    time.sleep(seconds)
    after, passed = look().values, time.monotonic() - began
    shares: dict[int, float] = defaultdict(float)
    for name in before.keys() & after.keys():
        if match := _PER_CORE.fullmatch(name):
            shares[int(match[1])] += (after[name] - before[name]) / passed
    return shares


def fit_cores(wanted: Iterable[int], allowed: Iterable[int], root: Path = ROOT) -> tuple[int, ...]:
    """Those of the `wanted` cores that are `allowed` and of the fastest kind, each physical core's
    first thread before the second ones. Where none is left, those of all that are allowed.

    The kind is the kernel's `cpu_capacity` (Arm) or the highest clock that `cpufreq` allows; cores
    of which neither is known count as fast.
    """
    allowed = set(allowed)
    cores = sorted(allowed & set(wanted) or allowed)
    speeds = {core: _speed(core, root) for core in cores}
    known = [speed for speed in speeds.values() if speed is not None]
    least = _SAME_KIND * max(known, default=0.0)
    fast = [core for core, speed in speeds.items() if speed is None or speed >= least]
    return tuple(sorted(fast, key=lambda core: (_sibling_number(core, root), core)))


def _speed(core: int, root: Path) -> float | None:
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return float((root / _SYSFS / f"cpu{core}" / name).read_text())
        except (OSError, ValueError):
            continue
    return None


def _sibling_number(core: int, root: Path) -> int:
    """0 for the first hardware thread of its physical core, 1 for the second; 0 if unknown."""
    try:
        text = (root / _SYSFS / f"cpu{core}" / "topology/thread_siblings_list").read_text()
        ends = [[int(word) for word in part.split("-")] for part in text.split(",")]
    except (OSError, ValueError):
        return 0
    # A list of single cores and of ranges, "0,8" or "0-3".
    siblings = [sibling for end in ends for sibling in range(end[0], end[-1] + 1)]
    return siblings.index(core) if core in siblings else 0
