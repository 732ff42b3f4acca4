"""Takes: what the graphs of a model were given while scenes were played, call by call.

Samples say what one graph was given; a take says how the graphs hang together. Whoever plays a take
again with changed graphs hands their own outputs on from graph to graph, and takes from the record
only what came from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeanim.core.artifact import Array
from edgeanim.core.files import canonical_json, sha256_bytes
from edgeanim.core.parsing import to_plain

# The graph's name, and its inputs by name, in the contract's layout and shape.
Call = tuple[str, Mapping[str, Array]]

# Frames of a take: as many as share the work done once for their still, in bounded memory.
_FRAMES = 4


class Recorded(Protocol):
    """Samples of one graph, any of which can be read."""

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Script:
    """Which graphs ran in a scene, in order: those of `still` once, those of `frame` for each of
    its `frames`."""

    still: tuple[str, ...]
    frame: tuple[str, ...]
    frames: int


@dataclass(frozen=True)
class Take:
    """Some successive frames of a scene: the calls for its still, and those for each frame.

    `first` are the calls of the scene's first frame, which relative motion is counted from; it is
    empty where that is among the `frames`.
    """

    still: tuple[Call, ...]
    first: tuple[Call, ...]
    frames: tuple[tuple[Call, ...], ...]


@dataclass(frozen=True)
class _Place:
    """Where a take lies: its scene, the first calls of each graph there, and its frames."""

    script: Script
    starts: Mapping[str, int]
    frames: range


class Takes(Sequence[Take]):
    """The takes of all scenes, read from the graphs' samples as they are asked for."""

    def __init__(self, samples: Mapping[str, Recorded], scripts: Sequence[Script]) -> None:
        self.samples = samples
        self._scripts = tuple(scripts)
        self._places = list(_places(scripts))

    @property
    def digest(self) -> str:
        """Hex SHA-256 over all that the graphs were given, and their order."""
        samples = {name: recorded.digest for name, recorded in self.samples.items()}
        plain = {"samples": samples, "scripts": [to_plain(script) for script in self._scripts]}
        return sha256_bytes(canonical_json(plain).encode())

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Take:  # type: ignore[override]
        place = self._places[index]
        still = self._calls(place, None)
        first = self._calls(place, 0) if place.frames.start else ()
        return Take(still, first, tuple(self._calls(place, frame) for frame in place.frames))

    def _calls(self, place: _Place, frame: int | None) -> tuple[Call, ...]:
        """The calls of a frame, or those of the still."""
        script = place.script
        names = script.still if frame is None else script.frame
        calls = []
        for position, name in enumerate(names):
            index = place.starts[name] + names[:position].count(name)
            if frame is not None:
                index += script.still.count(name) + frame * script.frame.count(name)
            calls.append((name, self.samples[name][index]))
        return tuple(calls)


def _places(scripts: Sequence[Script]) -> Iterator[_Place]:
    starts: dict[str, int] = {}
    for script in scripts:
        names = {*script.still, *script.frame}
        here = {name: starts.get(name, 0) for name in names}
        for begin in range(0, script.frames, _FRAMES):
            yield _Place(script, here, range(begin, min(begin + _FRAMES, script.frames)))
        for name in names:
            ran = script.still.count(name) + script.frames * script.frame.count(name)
            starts[name] = here[name] + ran
