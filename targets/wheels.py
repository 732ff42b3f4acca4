"""For which machines the runtimes publish wheels: pip refuses all others without saying why.

A table of what the packages' own indexes list: the newest release and the last that is made for
older systems. The tags of a wheel (PEP 600, `manylinux_2_28`) name the oldest glibc.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class Wheel:
    """One release: the CPythons from `oldest` to `newest` (both included), and the oldest glibc for
    each architecture."""

    package: str
    version: str
    oldest: Version
    newest: Version
    glibc: Mapping[str, Version]


@dataclass(frozen=True)
class Fit:
    """The newest release of `package` that pip can install there; `reason` says why it is not the
    newest of all, or why there is none."""

    package: str
    version: str | None
    reason: str | None


_OLD = {"x86_64": (2, 27), "aarch64": (2, 27)}
_NEW = {"x86_64": (2, 28), "aarch64": (2, 28)}
# Newest first.
RUNTIMES: tuple[tuple[Wheel, ...], ...] = (
    (
        Wheel("onnxruntime", "1.32.0", (3, 11), (3, 14), _NEW),
        Wheel("onnxruntime", "1.28.0", (3, 11), (3, 14), _OLD),
        Wheel("onnxruntime", "1.23.2", (3, 10), (3, 10), _OLD),
    ),
    (
        Wheel("openvino", "2026.4.1", (3, 10), (3, 14), {"x86_64": (2, 28), "aarch64": (2, 35)}),
        Wheel("openvino", "2025.4.1", (3, 10), (3, 13), {"x86_64": (2, 17)}),
        Wheel("openvino", "2025.2.0", (3, 10), (3, 13), {"aarch64": (2, 31)}),
    ),
    (Wheel("ai-edge-litert", "2.3.0", (3, 10), (3, 14), _OLD),),
)


def numbers(version: str) -> Version:
    """`"2.36"` as (2, 36)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def fitting(wheels: tuple[Wheel, ...], arch: str, glibc: Version | None, python: Version) -> Fit:
    """The first of one package's releases that installs on this machine; no glibc is musl."""
    reasons = [_obstacle(wheel, arch, glibc, python) for wheel in wheels]
    for wheel, obstacle in zip(wheels, reasons, strict=True):
        if obstacle is None:
            return Fit(wheel.package, wheel.version, reasons[0])
    made_for_it = [r for w, r in zip(wheels, reasons, strict=True) if arch in w.glibc]
    # What is too new for the newest release is nearest to that; what is too old, to the oldest.
    nearest = 0 if python > max(wheel.newest for wheel in wheels) else -1
    return Fit(wheels[0].package, None, (made_for_it or reasons)[nearest])


def _obstacle(wheel: Wheel, arch: str, glibc: Version | None, python: Version) -> str | None:
    name = f"{wheel.package} {wheel.version}"
    if arch not in wheel.glibc:
        return f"{name} has no wheel for {arch}"
    if not wheel.oldest <= python <= wheel.newest:
        span = f"CPython {_text(wheel.oldest)} to {_text(wheel.newest)}"
        return f"{name} needs {span}, this is {_text(python)}"
    if glibc is None:
        return f"{name} needs glibc"
    if glibc < wheel.glibc[arch]:
        return f"{name} needs glibc {_text(wheel.glibc[arch])}, this is {_text(glibc)}"
    return None


def _text(version: Version) -> str:
    return ".".join(map(str, version))
