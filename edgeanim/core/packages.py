"""Packages that not everybody installs: asked for where they are needed, never at a file's top."""

from __future__ import annotations

import importlib
import importlib.util

from edgeanim.core import offline
from edgeanim.core.errors import MissingComponent, keep_interruption
from edgeanim.core.quiet import quiet


def require(purpose: str, *modules: str, extra: str) -> None:
    """Import `modules`, silently and with their telemetry off, so that a plain import succeeds.

    `MissingComponent`, a sentence that starts with `purpose`, names the first that is not usable
    and the `extra` that brings it.
    """
    offline.apply()
    for module in modules:
        try:
            with quiet():
                importlib.import_module(module)
        except (ImportError, OSError, AttributeError) as error:
            # What was built for another NumPy or C library fails in its own import in any of these.
            keep_interruption(error)
            raise MissingComponent(
                f"{purpose} needs the package {module.split('.')[0]!r}, "
                f"which cannot be imported ({error}).",
                extra=extra,
            ) from error


def installed(package: str) -> bool:
    """Whether `package` is there, without the seconds that importing it may take."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
