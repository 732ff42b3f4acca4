"""Sensors of the machine, one file per source, sampled outside the timed process."""

from __future__ import annotations

import importlib
import pkgutil

from edgeanim.benchmarks.machine.host import Host
from edgeanim.benchmarks.machine.sensors.base import Sensor, Snapshot
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import nearest

__all__ = ["Sensor", "Snapshot", "get_sensor", "sensor_names"]


def sensor_names() -> tuple[str, ...]:
    """The names of all sensors."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base")


def get_sensor(name: str, host: Host | None = None) -> Sensor:
    """A new sensor of this kind on `host` (this machine); `UsageError` names the nearest known."""
    if name not in sensor_names():
        raise UsageError(f"There is no sensor {name!r}.", hint=nearest(name, sensor_names()))
    kind: type[Sensor] = importlib.import_module(f"{__name__}.{name}").SENSOR
    return kind(host)
