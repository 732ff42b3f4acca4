"""What a sensor is: one class in one file of this folder, read outside the timed process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Snapshot:
    """One reading: `values` by name, each name ending in its unit, and what is `missing` and why.

    Counters (`cpu.busy_s`, `swap.out_pages`) grow since boot; their differences mean something.
    A value that cannot be read is missing, never zero.
    """

    values: Mapping[str, float]
    missing: tuple[str, ...]


class Sensor(Protocol):
    """A source of readings."""

    name: ClassVar[str]

    def read(self) -> Snapshot:
        """What can be read now. Takes no more than a few milliseconds and never raises for a
        source that is absent or unreadable."""
