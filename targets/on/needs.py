"""What a Python elsewhere must have to run edgeanim, and the line that installs what it lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgeanim.core.errors import DeviceFailed, EdgeanimError, MissingComponent
from edgeanim.core.requirements import BASE, EXTRAS, MODULES, quoted
from edgeanim.targets.backends import get_backend
from edgeanim.targets.wheels import numbers

OLDEST = (3, 10)
_BEFORE_3_11 = {"tomli": "tomli"}
VENV = "~/.edgeanim/venv"


@dataclass(frozen=True)
class Found:
    """A Python elsewhere: its path there, its version, the modules of ours that it has, and all
    its distributions by lower-case name. `libc` is the C library with its version."""

    python: str
    version: str
    machine: str
    libc: str
    modules: tuple[str, ...]
    packages: Mapping[str, str]
    home: str


def asked_modules() -> list[str]:
    """The modules to ask a Python for."""
    return [*MODULES.values(), *_BEFORE_3_11.values()]


def lacking(found: Found, backends: Sequence[str], *, where: str) -> EdgeanimError | None:
    """Why `found` cannot run a bundle for any of `backends`, with what to do; `None` if it can.

    One runtime is enough: variants of the others are then reported as failed.
    """
    version = numbers(found.version)
    if version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return DeviceFailed(
            f"Its Python is {found.version}; {wanted} or later is needed.",
            where=where,
            hint=f"Install one and make the environment {VENV} with it.",
        )
    wanted_modules = MODULES | (_BEFORE_3_11 if version < (3, 11) else {})
    absent = [name for name, module in wanted_modules.items() if module not in found.modules]
    runtimes = [requirement_of_extra(get_backend(name).extra) for name in backends]
    known = [name for name in runtimes if name]
    none = bool(known) and not any(_has(name, found.packages) for name in known)
    if not absent and not none:
        return None
    lines = [requirement_of_base(name) for name in absent] + (known[:1] if none else [])
    names = absent + ([distribution_of(known[0])] if none else [])
    error = MissingComponent(
        f"{found.python} there lacks {', '.join(names)}.",
        extra="",
        where=where,
    )
    make = "" if VENV.lstrip("~") in found.python else f"python3 -m venv {VENV} && "
    error.hint = f"Install it there with: {make}{VENV}/bin/pip install {quoted(tuple(lines))}"
    return error


def requirement_of_extra(extra: str) -> str | None:
    """What the extra of a backend installs first, as pip takes it."""
    return next(iter(EXTRAS.get(extra, ())), None)


def requirement_of_base(distribution: str) -> str:
    """The base requirement on `distribution`, as pip takes it."""
    return next(line for line in BASE if distribution_of(line) == distribution)


def distribution_of(requirement: str) -> str:
    """The distribution's name in a line as pip takes it, in lower case."""
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()


def _has(requirement: str, packages: Collection[str]) -> bool:
    # A Jetson's own build of ONNX Runtime is a distribution of another name.
    name = distribution_of(requirement)
    return name in packages or f"{name}-gpu" in packages
