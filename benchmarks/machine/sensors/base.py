"""What a sensor is: one class in one file of this folder, read outside the timed process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from edgeanim.benchmarks.machine.host import Host, Unreadable

# What a Jetson reports of a part without power, which is colder than anything.
NO_TEMPERATURE_C = -256.0
Values = dict[str, float]
Texts = dict[str, str]
Found = TypeVar("Found", float, str)


@dataclass(frozen=True)
class Snapshot:
    """One reading: `values` by name, and what is `missing` and why.

    Names end in their unit; flags, 0 or 1, in `_now`, `_since_boot` or `_alarm`. Counters
    (`cpu.busy_s`, `swap.out_pages`) grow; their differences mean something. A value that cannot
    be read is missing, never zero.
    """

    values: Mapping[str, float]
    missing: tuple[str, ...]


class Sensor:
    """A source of readings. Subclasses list what they read, each part under a title.

    A part that raises `Unreadable` is missing with its reason, and the others are still read.
    """

    name: ClassVar[str]

    def __init__(self, host: Host | None = None) -> None:
        self.host = host if host is not None else Host()

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        """What is read at every look: a few milliseconds of work altogether."""
        raise NotImplementedError

    def settings(self) -> Sequence[tuple[str, Callable[[], Texts]]]:
        """What should stay the same over a run: governors, the power mode; read twice."""
        return ()

    def read(self) -> Snapshot:
        """What can be read now. Never raises for a source that is absent or unreadable."""
        values, missing = _gather(self.parts())
        return Snapshot(values, missing)

    def read_settings(self) -> tuple[Texts, tuple[str, ...]]:
        """The settings now, and what is missing of them and why."""
        return _gather(self.settings())

    def close(self) -> None:
        """Let go of what the sensor holds."""


def _gather(
    parts: Sequence[tuple[str, Callable[[], dict[str, Found]]]],
) -> tuple[dict[str, Found], tuple[str, ...]]:
    found: dict[str, Found] = {}
    missing: list[str] = []
    for title, read in parts:
        try:
            found |= read()
        except Unreadable as reason:
            missing.append(f"{title}: {reason}")
    return found, tuple(missing)
