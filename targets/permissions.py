"""What this user may do on this machine: set the governor, read power, count cycles, ask the board.

None of it keeps a model from running; each makes measurements better or tells more about them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgeanim.targets.fitness import Check
from edgeanim.targets.machine import ROOT, read_machine, special_sensors

_GOVERNORS = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_ENERGY = "sys/class/powercap/intel-rapl:*/energy_uj"
_PARANOID = "proc/sys/kernel/perf_event_paranoid"
# Above this, the kernel refuses to count even one's own processes.
_MOST_PARANOID = 2
_TOOLS = {
    "raspberry_pi": ("vcgencmd",),
    "tegrastats": ("tegrastats",),
    "jetson": ("nvpmodel", "jetson_clocks"),
}
_FIRMWARE_DEVICE = "dev/vcio"


def check_permissions(root: Path = ROOT) -> list[Check]:
    """All checks, of the machine whose files lie below `root`."""
    return [_governor(root), _power(root), _counters(root), *_board_tools(root)]


def _governor(root: Path) -> Check:
    governor = read_machine(root).governor
    if governor is None:
        return Check("governor", "skip", "this machine does not say")
    if governor == "performance":
        return Check("governor", "ok", governor)
    files = list(root.glob(_GOVERNORS))
    allowed = all(os.access(file, os.W_OK) for file in files)
    hint = "Timings vary with the clock: set 'performance' before a benchmark"
    hint += "." if allowed else " (as root: cpupower frequency-set -g performance)."
    return Check("governor", "warn", governor, hint)


def _power(root: Path) -> Check:
    files = list(root.glob(_ENERGY))
    if not files:
        return Check("power (RAPL)", "skip", "this machine has no such counters")
    if all(os.access(file, os.R_OK) for file in files):
        return Check("power (RAPL)", "ok", f"{len(files)} counters")
    return Check(
        "power (RAPL)",
        "warn",
        "only root may read it",
        "Run as root, or: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj (it then "
        "shows every user's load to all).",
    )


def _counters(root: Path) -> Check:
    try:
        level = int((root / _PARANOID).read_text())
    except (OSError, ValueError):
        return Check("perf counters", "skip", "this kernel has none")
    if level <= _MOST_PARANOID:
        return Check("perf counters", "ok", f"perf_event_paranoid is {level}")
    return Check(
        "perf counters",
        "warn",
        f"perf_event_paranoid is {level}: not even one's own processes can be counted",
        f"For `perf`: sudo sysctl kernel.perf_event_paranoid={_MOST_PARANOID}",
    )


def _board_tools(root: Path) -> list[Check]:
    checks = []
    for sensor in special_sensors(root):
        for tool in _TOOLS.get(sensor, ()):
            checks.append(_tool(root, tool))
    return checks


def _tool(root: Path, tool: str) -> Check:
    found = shutil.which(tool)
    if found is None:
        hint = "It comes with the board's own system; without it the report lacks what it tells."
        return Check(tool, "warn", "not installed", hint)
    device = root / _FIRMWARE_DEVICE
    if tool == "vcgencmd" and device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return Check(
            tool, "warn", "not allowed to ask the firmware", "sudo usermod -aG video $USER"
        )
    return Check(tool, "ok", found)
