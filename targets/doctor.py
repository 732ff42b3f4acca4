"""Is this machine fit, and does every backend really run on it?"""

from __future__ import annotations

import json
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

from edgeanim.core.store import default_root
from edgeanim.targets.backends import Backend, backend_names, get_backend
from edgeanim.targets.board import ARCHES
from edgeanim.targets.machine import ROOT, Machine, read_machine
from edgeanim.targets.smoke import TOLERANCE

Status = Literal["ok", "warn", "fail", "skip"]
_TELLING = ("asimddp", "asimdhp", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "i8mm")
_LOW_MEMORY_MB = 512
_LOW_DISK_MB = 2048
# The oldest C library that the runtimes' current wheels are built for.
_GLIBC = (2, 28)
_SMOKE_SECONDS = 180


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `hint` says what to do about it."""

    name: str
    status: Status
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All checks. `usable` if at least one runtime passed its smoke test."""

    checks: tuple[Check, ...]
    usable: bool


def diagnose(root: Path = ROOT) -> Diagnosis:
    """Look at the machine whose `/proc` and `/sys` lie below `root`, and smoke-test each backend.

    Takes some seconds: every backend runs in a process of its own, so that one which dies (of an
    instruction that the processor lacks, say) becomes a finding and not a crash.
    """
    machine = read_machine(root)
    checks = [
        _processor(machine),
        _libc(),
        _python(),
        _memory(machine),
        _disk(),
        _governor(machine),
    ]
    usable = False
    for name in backend_names():
        backend = get_backend(name)
        check = check_backend(backend)
        checks.append(check)
        # A backend without an extra has no runtime behind it.
        usable |= check.status in ("ok", "warn") and bool(backend.extra)
    return Diagnosis(tuple(checks), usable)


def check_backend(backend: Backend) -> Check:
    """Whether `backend` is installed, and what its smoke test says."""
    name = f"backend {backend.name}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgeanim.targets.smoke", backend.name],
            capture_output=True,
            text=True,
            timeout=_SMOKE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(name, "fail", f"its smoke test did not end within {_SMOKE_SECONDS} s")
    except OSError as error:
        return Check(name, "warn", f"no process could be started for its smoke test: {error}")
    if done.returncode < 0:
        return _died(name, -done.returncode)
    return _judge(name, backend, done)


def _died(name: str, number: int) -> Check:
    """A runtime that a signal ended. It may not even be imported here to ask for its version."""
    known = {member.value: member.name for member in signal.Signals}
    hint = "Reinstall it; if it dies again, install another version."
    if number == signal.SIGILL:
        hint = "It was built for another processor: install an older or a newer version."
    return Check(name, "fail", f"its smoke test died of {known.get(number, number)}", hint)


def _judge(name: str, backend: Backend, done: subprocess.CompletedProcess[str]) -> Check:
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return Check(name, "fail", f"its smoke test ended with {done.returncode}: {said[:200]}")
    # It survived in its own process, so asking it here is safe.
    found = backend.available()
    if not found:
        install = f"pip install 'edgeanim[{backend.extra}]'"
        return Check(name, "skip", f"not installed: {found.reason}", install)
    if "refused" in answer:
        return Check(name, "fail", f"{found.version}; {answer['refused']}")
    errors: dict[str, float] = answer["errors"]
    wrong = [p for p, e in errors.items() if not (isfinite(e) and e <= TOLERANCE[p])]
    shown = ", ".join(f"{p} off by {e:.1g}" for p, e in errors.items()) or "no smoke test for it"
    if wrong:
        hint = "Do not trust its results here; install another version."
        return Check(name, "fail", f"{found.version}; wrong results: {shown}", hint)
    return Check(
        name,
        "warn" if found.note and backend.extra else "ok",
        f"{found.version}; {shown}",
        found.note,
    )


def _processor(machine: Machine) -> Check:
    telling = [flag for flag in _TELLING if flag in machine.cpu_features]
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
    number = tuple(int(part) for part in version.split(".") if part.isdecimal())
    if name != "glibc":
        return Check(
            "C library", "warn", name or "unknown", "The runtimes' wheels are built for glibc."
        )
    if number < _GLIBC:
        wanted = ".".join(map(str, _GLIBC))
        return Check("C library", "warn", f"glibc {version}", f"Wheels need {wanted} or later.")
    return Check("C library", "ok", f"glibc {version}")


def _python() -> Check:
    abi = sysconfig.get_config_var("SOABI") or "unknown ABI"
    detail = f"{platform.python_implementation()} {platform.python_version()} ({abi})"
    if sys.maxsize < 1 << 32:
        return Check("Python", "fail", f"{detail}, 32 bits", "The runtimes need 64 bits.")
    return Check("Python", "ok", detail)


def _memory(machine: Machine) -> Check:
    import psutil

    free = min(psutil.virtual_memory().available >> 20, machine.memory_mb)
    detail = f"{machine.memory_mb} MB usable, {free} MB free"
    if free < _LOW_MEMORY_MB:
        return Check("memory", "warn", detail, "Close other programs before measuring.")
    return Check("memory", "ok", detail)


def _disk() -> Check:
    store = default_root()
    there = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free >> 20
    detail = f"{free} MB free for the artifact store in {store}"
    if free < _LOW_DISK_MB:
        return Check("disk", "warn", detail, "Free some space, or set EDGEANIM_STORE elsewhere.")
    return Check("disk", "ok", detail)


def _governor(machine: Machine) -> Check:
    if machine.governor is None:
        return Check("governor", "skip", "this machine does not say")
    if machine.governor != "performance":
        return Check(
            "governor",
            "warn",
            machine.governor,
            "Timings vary with the clock: set 'performance' before a benchmark.",
        )
    return Check("governor", "ok", machine.governor)
