"""The backends, one file each, found by file name; others' by entry point `edgeanim.backends`."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from functools import cache

from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import nearest
from edgeanim.targets.backends.base import (
    Availability,
    Backend,
    CompilesSlowly,
    ComputesNothing,
    Interface,
    NodeTime,
    OpProfile,
    OpRow,
    Port,
    ReadsForeign,
    Session,
    SessionOptions,
    ThroughTorch,
    TimesNodes,
    WideKernels,
)

__all__ = [
    "Availability",
    "Backend",
    "CompilesSlowly",
    "ComputesNothing",
    "Interface",
    "NodeTime",
    "OpProfile",
    "OpRow",
    "Port",
    "ReadsForeign",
    "Session",
    "SessionOptions",
    "ThroughTorch",
    "TimesNodes",
    "WideKernels",
    "backend_names",
    "get_backend",
]

ENTRY_POINTS = "edgeanim.backends"
_NOT_BACKENDS = {"base"}


@cache
def backend_names() -> tuple[str, ...]:
    """The names of all backends, ours first, installed or not."""
    ours = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_BACKENDS]
    theirs = [entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    return tuple(dict.fromkeys(ours + sorted(theirs)))


@cache
def get_backend(name: str) -> Backend:
    """The backend called `name`; `UsageError` names the nearest known one."""
    if name not in backend_names():
        raise UsageError(f"There is no backend {name!r}.", hint=nearest(name, backend_names()))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            backend: Backend = entry.load()()
            return backend
    module = importlib.import_module(f"{__name__}.{name}")
    built: Backend = module.BACKEND
    return built
