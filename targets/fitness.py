"""Is the machine itself fit: processor, C library, Python, wheels for them, memory, disk?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeanim.core.errors import UsageError
from edgeanim.core.store import default_root
from edgeanim.targets.board import ARCHES
from edgeanim.targets.machine import ROOT, Machine, read_machine, telling_features
from edgeanim.targets.wheels import RUNTIMES, fitting, numbers

Status = Literal["ok", "warn", "fail", "skip"]
_LOW_MEMORY_MB = 512
_LOW_DISK_MB = 2048


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `hint` says what to do about it."""

    name: str
    status: Status
    detail: str
    hint: str | None = None


def check_machine(root: Path = ROOT) -> list[Check]:
    """All that concerns the machine whose `/proc` and `/sys` lie below `root`."""
    machine = read_machine(root)
    return [
        _processor(machine),
        _libc(),
        _python(),
        _wheels(machine),
        _memory(machine),
        _disk(),
    ]


def _processor(machine: Machine) -> Check:
    telling = telling_features(machine.cpu_features)
    detail = f"{machine.model or 'unnamed'}, {machine.arch}, {machine.cores} usable cores"
    detail += f", {' '.join(telling)}" if telling else ""
    if machine.arch not in ARCHES:
        return Check("processor", "fail", detail, f"The runtimes need {' or '.join(ARCHES)}.")
    if machine.saturates_u8s8:
        return Check(
            "processor",
            "warn",
            detail,
            "Without VNNI, 8-bit multiply-add saturates: keep INT8 weights to 7 bits.",
        )
    return Check("processor", "ok", detail)


def _libc() -> Check:
    name, version = platform.libc_ver()
    if name != "glibc":
        hint = "The runtimes' wheels are built for glibc."
        return Check("C library", "warn", name or "unknown", hint)
    return Check("C library", "ok", f"glibc {version}")


def _python() -> Check:
    abi = sysconfig.get_config_var("SOABI") or "unknown ABI"
    detail = f"{platform.python_implementation()} {platform.python_version()} ({abi})"
    if sys.maxsize < 1 << 32:
        return Check("Python", "fail", f"{detail}, 32 bits", "The runtimes need 64 bits.")
    return Check("Python", "ok", detail)


def _wheels(machine: Machine) -> Check:
    name, version = platform.libc_ver()
    glibc = numbers(version) if name == "glibc" else None
    found = [fitting(wheels, machine.arch, glibc, sys.version_info[:2]) for wheels in RUNTIMES]
    fit = [f"{one.package} {one.version}" for one in found if one.version]
    reasons = [one.reason for one in found if one.reason]
    hint = "; ".join(reasons) or None
    if not fit:
        return Check("wheels", "fail", "no runtime has a wheel for this machine", hint)
    return Check("wheels", "warn" if reasons else "ok", ", ".join(fit), hint)


def _memory(machine: Machine) -> Check:
    import psutil

    free = min(psutil.virtual_memory().available >> 20, machine.memory_mb)
    detail = f"{machine.memory_mb} MB usable, {free} MB free"
    if free < _LOW_MEMORY_MB:
        return Check("memory", "warn", detail, "Close other programs before measuring.")
    return Check("memory", "ok", detail)


def _disk() -> Check:
    try:
        store = default_root()
    except UsageError as error:
        return Check("disk", "fail", "no home for the artifact store", error.hint)
    # `Path.exists` raises where a folder above may not be looked into.
    there = next(p for p in (store, *store.absolute().parents) if os.access(p, os.F_OK))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        detail = f"the artifact store in {store} cannot be written to"
        return Check("disk", "fail", detail, "Set EDGEANIM_STORE to a folder of your own.")
    free = shutil.disk_usage(there).free >> 20
    detail = f"{free} MB free for the artifact store in {store}"
    if free < _LOW_DISK_MB:
        return Check("disk", "warn", detail, "Free some space, or set EDGEANIM_STORE elsewhere.")
    return Check("disk", "ok", detail)
