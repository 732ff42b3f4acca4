"""The frequency governor of the cores, set for a run as the board asks, and put back after it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_CORES = "sys/devices/system/cpu"
_FILE = "cpufreq/scaling_governor"


@contextmanager
def governed(wanted: str | None, root: Path = Path("/")) -> Iterator[tuple[str, ...]]:
    """Set every core's governor to `wanted` within the block; yields what could not be set.

    It takes root. Nothing is touched for `None`, nor are cores that are switched off.
    """
    files = sorted((root / _CORES).glob(f"cpu[0-9]*/{_FILE}")) if wanted else []
    if wanted and not files:
        yield (f"the governor could not be set to {wanted}: this machine has none",)
        return
    before: dict[Path, str] = {}
    try:
        yield _set(files, wanted, before)
    finally:
        for file, governor in before.items():
            with suppress(OSError):
                file.write_text(f"{governor}\n")


def _set(files: Sequence[Path], wanted: str | None, before: dict[Path, str]) -> tuple[str, ...]:
    """Set the governor of each file, whose own goes into `before` first; what could not be set."""
    try:
        for file in files:
            found = _governor(file)
            if found is not None and found != wanted:
                before[file] = found
                file.write_text(f"{wanted}\n")
    except OSError as error:
        kept = ", ".join(sorted(set(before.values()))) or "unknown"
        return (f"the governor could not be set to {wanted} ({error.strerror}): it stayed {kept}",)
    return ()


def _governor(file: Path) -> str | None:
    """`None` for a core that is off with its whole cluster."""
    try:
        return file.read_text().strip()
    except OSError as error:
        if error.errno == errno.EBUSY:
            return None
        raise
