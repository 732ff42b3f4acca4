"""The sensors over a run: read by a thread of the process that only waits, never by a timed one."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from edgeanim.benchmarks.machine.circumstances import SensorLog, SensorReading, Validity
from edgeanim.benchmarks.machine.host import Clocks, Host
from edgeanim.benchmarks.machine.recording import open_host
from edgeanim.benchmarks.machine.sensors import Sensor, get_sensor
from edgeanim.benchmarks.machine.validity import judge

# Looks are at least this far apart, and so far that they cost less than 1 % of a core.
PAUSE_SECONDS = 1.0
_PAUSE_PER_COST = 125.0
# A long run keeps a few thousand readings at most: the pauses grow with it.
_PAUSE_PER_ELAPSED = 1 / 300


class Watch:
    """Looks at the machine from `start` to `end`, by itself in between.

    A context manager: leaving it stops the looking, whatever happened.
    """

    def __init__(self, sensors: Sequence[str], host: Host | None = None) -> None:
        self.host = host if host is not None else open_host()
        self._sensors: tuple[Sensor, ...] = tuple(get_sensor(name, self.host) for name in sensors)
        self._readings: dict[str, list[SensorReading]] = {name: [] for name in sensors}
        self._missing: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._warms_from: float | None = None
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        try:
            self.host.advance()
            self.before = self.after = self.host.clocks()
            self._read(0.0)
            self._settings = self._final_settings = self._read_settings()
        except BaseException:  # Ctrl-C among them: the first look may take seconds
            self._close()
            raise

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._pause()
        finally:
            self._close()

    def look(self) -> None:
        """Read every sensor once, now."""
        self._look(last=False)

    def let_it_warm(self) -> None:
        """From now on the machine is meant to warm up: only what heat does to it counts."""
        self._warms_from = self._look(last=False).steady - self.before.steady

    def end(self) -> None:
        """The last look, after which every worker has ended. Raises what a look in between met."""
        self._pause()
        if self._failure is not None:
            raise self._failure
        self.after = self._look(last=True)
        self._final_settings = self._read_settings()

    @property
    def duration_s(self) -> float:
        """From the first look to the last."""
        return self.after.steady - self.before.steady

    def readings(self) -> list[SensorReading]:
        """All sensors' values together, by time."""
        with self._lock:
            return [
                SensorReading(group[0].at_s, {k: v for one in group for k, v in one.values.items()})
                for group in zip(*self._readings.values(), strict=True)
            ]

    def logs(self) -> tuple[SensorLog, ...]:
        """What each sensor said, for the report."""
        return tuple(
            SensorLog(name, tuple(readings), self._missing[name], self._settings[name])
            for name, readings in self._readings.items()
        )

    def validity(self) -> Validity:
        """Whether the circumstances allow to rely on the figures."""
        return judge(
            self.readings(),
            self.before,
            self.after,
            (_flat(self._settings), _flat(self._final_settings)),
            replayed=self.host.replayed,
            warms_from=self._warms_from,
        )

    def _look(self, *, last: bool) -> Clocks:
        with self._lock:
            self.host.advance(last=last)
            clocks = self.host.clocks()
            self._read(clocks.steady - self.before.steady)
        return clocks

    def _read(self, at_s: float) -> None:
        for sensor in self._sensors:
            snapshot = sensor.read()
            self._readings[sensor.name].append(SensorReading(at_s, snapshot.values))
            self._missing[sensor.name] = snapshot.missing

    def _read_settings(self) -> dict[str, dict[str, str]]:
        found = {}
        for sensor in self._sensors:
            found[sensor.name], missing = sensor.read_settings()
            self._missing[sensor.name] += missing
        return found

    def _keep_looking(self) -> None:
        pause = PAUSE_SECONDS
        while not self._stop.wait(pause):
            began, spent = time.monotonic(), _cpu_seconds()
            try:
                self._look(last=False)
            except Exception as error:
                self._failure = error
                return
            # A worker that ended meanwhile counts among the children; the clock bounds that.
            cost = min(time.monotonic() - began, _cpu_seconds() - spent)
            elapsed = time.monotonic() - self.before.steady
            pause = max(PAUSE_SECONDS, _PAUSE_PER_COST * cost, _PAUSE_PER_ELAPSED * elapsed)

    def _close(self) -> None:
        for sensor in self._sensors:
            sensor.close()

    def _pause(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()


def _cpu_seconds() -> float:
    """CPU time of this thread and of all children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def _flat(settings: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: text for one in settings.values() for name, text in one.items()}
