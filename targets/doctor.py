"""Is this machine fit, and does every backend really run on it?"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

from edgeanim.core.errors import DeviceFailed, MissingComponent
from edgeanim.core.requirements import install_line
from edgeanim.targets.backends import backend_names
from edgeanim.targets.board import LOCAL, load_board
from edgeanim.targets.fitness import Check, Status, check_machine
from edgeanim.targets.permissions import check_permissions
from edgeanim.targets.smoke import TOLERANCE

__all__ = ["Check", "Diagnosis", "check_backend", "diagnose", "none_works"]

_SMOKE_SECONDS = 180
_BACKEND = "backend "


@dataclass(frozen=True)
class Diagnosis:
    """All checks. `usable` if at least one runtime passed its smoke test."""

    checks: tuple[Check, ...]
    usable: bool


def diagnose() -> Diagnosis:
    """Look at this machine, and smoke-test each backend.

    Takes some seconds: every backend runs in a process of its own, so that one which dies (of an
    instruction that the processor lacks, say) becomes a finding and not a crash.
    """
    checks = [*check_machine(), *check_permissions()]
    usable = False
    for backend in _in_order():
        check, runs = check_backend(backend)
        checks.append(check)
        usable |= runs
    return Diagnosis(tuple(checks), usable)


def none_works(diagnosis: Diagnosis) -> MissingComponent:
    """What to do where no runtime is usable: install the first that is missing."""
    error = MissingComponent("No backend works there.", extra="")
    missing = (c for c in diagnosis.checks if c.name.startswith(_BACKEND) and c.status == "skip")
    install = next((check.hint for check in missing if check.hint), None)
    error.hint = None if install is None else f"Install it with: {install}"
    return error


def _in_order() -> list[str]:
    """All backends, those first that this machine plays a bundle by first."""
    try:
        return load_board(LOCAL).in_order(backend_names())
    except DeviceFailed:  # of no board's architecture, as `check_machine` says
        return [*backend_names()]


def check_backend(backend: str) -> tuple[Check, bool]:
    """Whether `backend` is installed, what its smoke test says, and whether it can run a model.

    It is imported in a process of its own only: a runtime may die while it is loaded.
    """
    name = f"{_BACKEND}{backend}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgeanim.targets.smoke", backend],
            capture_output=True,
            text=True,
            timeout=_SMOKE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        slow = f"its smoke test did not end within {_SMOKE_SECONDS} s"
        return Check(name, "fail", slow), False
    except OSError as error:
        unknown = f"no process could be started for its smoke test: {error}"
        return Check(name, "warn", unknown), False
    if done.returncode < 0:
        return _died(name, -done.returncode), False
    return _judge(name, done)


def _died(name: str, number: int) -> Check:
    """A runtime that a signal ended."""
    known = {member.value: member.name for member in signal.Signals}
    hint = "Reinstall it; if it dies again, install another version."
    if number == signal.SIGILL:
        hint = "It was built for another processor: install an older or a newer version."
    return Check(name, "fail", f"its smoke test died of {known.get(number, number)}", hint)


def _last_answer(said: str) -> dict[str, Any] | None:
    """What the smoke test printed last; a runtime may say something of its own when it ends."""
    for line in reversed(said.splitlines()):
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return None


def _judge(name: str, done: subprocess.CompletedProcess[str]) -> tuple[Check, bool]:
    answer = _last_answer(done.stdout)
    if answer is None:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        failed = f"its smoke test ended with {done.returncode}: {said[:200]}"
        return Check(name, "fail", failed), False
    if "refused" in answer:
        return Check(name, "fail", answer["refused"]), False
    if answer["version"] is None:
        missing = f"not installed: {answer['reason']}"
        if answer["note"]:  # it is none that this machine lacks
            return Check(name, "skip", f"{missing} {answer['note']}"), False
        return Check(name, "skip", missing, install_line(answer["extra"])), False
    errors: dict[str, float] = answer["errors"]
    wrong = [p for p, e in errors.items() if not (isfinite(e) and e <= TOLERANCE[p])]
    shown = ", ".join(f"{p} off by {e:.1g}" for p, e in errors.items()) or "no smoke test for it"
    if wrong:
        hint = "Do not trust its results here; install another version."
        return Check(name, "fail", f"{answer['version']}; wrong results: {shown}", hint), False
    # A backend without an extra has no runtime behind it.
    real = bool(answer["extra"])
    # The note of what has no smoke test says what it is for, and warns of nothing.
    status: Status = "warn" if answer["note"] and errors else "ok"
    return Check(name, status, f"{answer['version']}; {shown}", answer["note"]), real
