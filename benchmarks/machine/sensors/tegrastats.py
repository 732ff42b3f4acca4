"""NVIDIA Jetson: the line that `tegrastats` prints, in every form from JetPack 4 to 7.

Source of the fields: NVIDIA's L4T guides, "tegrastats Utility". What the line holds differs by
board, release and rights (without root there is no memory-controller load and no GPU clock), so it
is read token by token: each field by its own form, and what has none is named as not understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Host, Stream, Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import NO_TEMPERATURE_C, Sensor, Values

# Its own sampling costs time on the board, so it is asked to be slow.
_INTERVAL_MS = "2000"
_NUMBER = r"-?\d+(?:\.\d+)?"
_FIELDS: tuple[tuple[str, str], ...] = (
    ("date", r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d"),
    ("memory", r"(RAM|SWAP|IRAM) (\d+)/(\d+)([kM])B(?: ?\((?:lfb|cached) [^)]*\))?"),
    ("cores", r"CPU \[([^\]]*)\](?:@(\d+))?"),
    ("clock", r"(\w+)_FREQ (?:(\d+)%)?(?:@?\[([\d,]+)\]|@(\d+)(?:\[[\d,]+\])?|@\[([\d,]+)\])?"),
    ("threads", r"MTS fg \d+% bg \d+%"),
    ("heat", rf"([\w.-]+)@({_NUMBER})C(?:/{_NUMBER}C?)?"),
    ("rail", r"([A-Za-z][\w.+-]*) (\d+)(?:mW)?/(\d+)(?:mW)?(?:/\d+(?:mW)?)?"),
    ("engine", r"([A-Za-z]\w*) (off|(?:@?(\d+)(?:%(?:@\d+)?)?))"),
)
_FORMS = tuple((kind, re.compile(form + r"(?=\s|$)")) for kind, form in _FIELDS)
_KILOBYTES = {"k": 1 / 1024, "M": 1.0}
_NAMES = {"GR3D": "gpu"}


class TegrastatsSensor(Sensor):
    """Values named `tegra.…` from the newest line of a `tegrastats` that runs along."""

    name: ClassVar[str] = "tegrastats"

    def __init__(self, host: Host | None = None) -> None:
        super().__init__(host)
        self._stream: Stream | None = None
        self._strange: tuple[str, ...] = ()

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("tegrastats", self._line), ("further fields of tegrastats", self._rest))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _line(self) -> Values:
        if self._stream is None:
            self._stream = self.host.follow("tegrastats", "--interval", _INTERVAL_MS)
        values, self._strange = read_line(self._stream.latest())
        return values

    def _rest(self) -> Values:
        if self._strange:
            raise Unreadable(f"not understood: {' '.join(self._strange)[:80]}")
        return {}


def read_line(line: str) -> tuple[Values, tuple[str, ...]]:
    """The values of one line, and the words in it that no known form explains.

    Power is in watts, the present value, not the average over tegrastats' own run; a rail's name
    that occurs twice gets a number. `Unreadable` if nothing in the line is understood.
    """
    values: Values = {}
    strange: list[str] = []
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
            continue
        for kind, form in _FORMS:
            match = form.match(line, place)
            if match is not None:
                _READERS[kind](match, values)
                place = match.end()
                break
        else:
            word = line[place:].split(maxsplit=1)[0]
            strange.append(word)
            place += len(word)
    if not values:
        raise Unreadable(f"{line.strip()[:40]!r} is no line of tegrastats")
    return values, tuple(strange)


def _memory(match: re.Match[str], values: Values) -> None:
    scale = _KILOBYTES[match[4]]
    name = f"tegra.{match[1].lower()}"
    values[f"{name}_used_mb"] = number(match[2]) * scale
    values[f"{name}_total_mb"] = number(match[3]) * scale


def _cores(match: re.Match[str], values: Values) -> None:
    online = 0
    for index, text in enumerate(match[1].split(",")):
        # "12%@1420", "12%" with one clock for all after the bracket, or "off".
        core = re.fullmatch(r"\s*(\d+)%(?:@(\d+))?\s*", text)
        if core is None:
            continue
        online += 1
        values[f"tegra.cpu{index}.load_percent"] = number(core[1])
        if clock := core[2] or match[2]:
            values[f"tegra.cpu{index}.freq_mhz"] = number(clock)
    values["tegra.cpus_online"] = float(online)


def _clock(match: re.Match[str], values: Values) -> None:
    name = f"tegra.{_NAMES.get(match[1], match[1].lower())}"
    if match[2] is not None:
        values[f"{name}.load_percent"] = number(match[2])
    clocks = [clock for clock in (match[3] or match[4] or match[5] or "").split(",") if clock]
    for index, clock in enumerate(clocks):
        values[f"{name}.freq{index or ''}_mhz"] = number(clock)


def _heat(match: re.Match[str], values: Values) -> None:
    if number(match[2]) != NO_TEMPERATURE_C:
        values[f"tegra.{match[1].lower()}.temp_c"] = number(match[2])


def _rail(match: re.Match[str], values: Values) -> None:
    name = f"tegra.{match[1].lower()}"
    copy = 1
    while (key := f"{name}{f'#{copy}' if copy > 1 else ''}.power_w") in values:
        copy += 1
    values[key] = number(match[2]) / 1e3


def _engine(match: re.Match[str], values: Values) -> None:
    if match[3] is not None and "%" not in match[2]:
        values[f"tegra.{match[1].lower()}.freq_mhz"] = number(match[3])


def _nothing(match: re.Match[str], values: Values) -> None:
    """A field that says nothing of use here."""


_READERS: dict[str, Callable[[re.Match[str], Values], None]] = {
    "date": _nothing,
    "memory": _memory,
    "cores": _cores,
    "clock": _clock,
    "threads": _nothing,
    "heat": _heat,
    "rail": _rail,
    "engine": _engine,
}
SENSOR = TegrastatsSensor
