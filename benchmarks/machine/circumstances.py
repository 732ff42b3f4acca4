"""Under which circumstances a report was made: the records of machine, sensors and validity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """The machine and its software. `machine` is a digest of the hardware's description; two
    reports with the same one come from the same kind of machine. `governor` is null where the
    kernel has none, `load_1m` the load average just before the run."""

    machine: str
    cpu_model: str | None
    arch: str
    cpu_features: tuple[str, ...]
    cores: int
    memory_mb: int
    governor: str | None
    kernel: str
    libc: str | None
    python: str
    packages: Mapping[str, str]
    load_1m: float | None


@dataclass(frozen=True)
class SensorReading:
    """What a sensor said at `at_s` seconds into the run. Each name ends in its unit."""

    at_s: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class SensorLog:
    """One sensor over the run. `missing` says what it could not tell here, and why; `settings` are
    what should stay the same (governor, power mode), as they were at the start."""

    sensor: str
    readings: tuple[SensorReading, ...]
    missing: tuple[str, ...]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Validity:
    """Whether the circumstances allow to rely on the figures; `reasons` if they do not. `discarded`
    has the reasons of each run before this one that was measured again because of them."""

    valid: bool
    reasons: tuple[str, ...]
    discarded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.valid == bool(self.reasons):
            raise ValueError("a run is invalid exactly when there are reasons")
