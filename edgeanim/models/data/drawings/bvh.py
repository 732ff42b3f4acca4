"""Motion capture in BVH files: a skeleton, and for each frame the values of its joints' channels.

The format is Biovision's hierarchy: `HIERARCHY`, a tree of `JOINT`s with `OFFSET` and `CHANNELS`,
then `MOTION` with one line of numbers a frame. Files come from anywhere, so the grammar is held
strictly and everything is bounded before it is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, named
from edgeanim.core.files import read_bytes

MAX_BYTES = 16 << 20
MAX_JOINTS = 512
MAX_DEPTH = 64
MAX_FRAMES = 200_000
_LARGEST = 1e6
_AXES = {"X": 0, "Y": 1, "Z": 2}
_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in _AXES)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """`parent` is the index of an earlier joint, -1 for the root; `offset` the place in the
    parent's axes. An end site is a joint without channels, called after its parent with ` end`."""

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Capture:
    """`values` float64 [T, C]: the channels of all joints in file order, degrees and the file's own
    unit of length; `frame_time` in seconds."""

    joints: tuple[Joint, ...]
    values: Values
    frame_time: float

    def positions(self, every: int = 1) -> Values:
        """World positions of all joints in every `every`-th frame [T, J, 3]: forward kinematics.

        Rotations apply in the order of the channels (the first is the outermost). A joint that has
        position channels is placed by them instead of by its offset.
        """
        values = self.values[::every]
        frames = len(values)
        places = np.zeros((frames, len(self.joints), 3))
        turns = np.zeros((frames, len(self.joints), 3, 3))
        column = 0
        for index, joint in enumerate(self.joints):
            local, turn = np.tile(np.array(joint.offset), (frames, 1)), np.eye(3)[None]
            for channel in joint.channels:
                axis, value = _AXES[channel[0]], values[:, column]
                if channel.endswith("position"):
                    local[:, axis] = value
                else:
                    turn = turn @ _rotation(axis, np.radians(value))
                column += 1
            if joint.parent < 0:
                places[:, index], turns[:, index] = local, turn
            else:
                parent = turns[:, joint.parent]
                places[:, index] = places[:, joint.parent] + (parent @ local[:, :, None])[:, :, 0]
                turns[:, index] = parent @ turn
        return places


def read_bvh(path: Path) -> Capture:
    """Read a BVH file. `BadInput` says what is wrong with one that breaks the format or a bound."""
    data = read_bytes(path, MAX_BYTES, "This motion")
    try:
        with named(path):
            return parse_bvh(data.decode("ascii"))
    except UnicodeDecodeError as error:
        raise BadInput("This is not a BVH file: it is not plain text.", where=path) from error


def parse_bvh(text: str) -> Capture:
    """The skeleton and motion that `text` describes; see `read_bvh`."""
    head, separator, tail = text.partition("MOTION")
    if not separator:
        raise BadInput("This is not a BVH file: it has no MOTION.")
    joints = _parse_hierarchy(iter(head.split()))
    width = sum(len(joint.channels) for joint in joints)
    tokens = tail.split()
    if tokens[:1] != ["Frames:"] or tokens[2:4] != ["Frame", "Time:"] or len(tokens) < 5:
        raise BadInput("`Frames: N` and `Frame Time: T` must follow MOTION.")
    frames, frame_time = _count(tokens[1]), _number(tokens[4])
    if not 1e-4 <= frame_time <= 10:
        raise BadInput(f"A frame time of {frame_time} s is not between 0.0001 and 10.")
    body = tokens[5:]
    if len(body) != frames * width:
        raise BadInput(
            f"The motion should have {frames} frames of {width} numbers, {frames * width} in all, "
            f"and has {len(body)}.",
            hint="The file may be cut off.",
        )
    return Capture(joints, _numbers(body).reshape(frames, width), frame_time)


def _parse_hierarchy(tokens: Iterator[str]) -> tuple[Joint, ...]:
    """The joints, parents first. Walks the braces with a stack, so depth cannot exhaust ours."""
    _expect(tokens, "HIERARCHY")
    _expect(tokens, "ROOT")
    joints = [_parse_joint(tokens, -1, _name(tokens))]
    stack = [0]
    while stack:
        word = next(tokens, None)
        if word == "}":
            stack.pop()
            continue
        if word not in ("JOINT", "End"):
            raise BadInput(f"JOINT, End Site or }} is needed, not {_shown(word)}.")
        if len(joints) >= MAX_JOINTS or len(stack) >= MAX_DEPTH:
            raise BadInput(f"More than {MAX_JOINTS} joints, or nested over {MAX_DEPTH} deep.")
        parent = stack[-1]
        if word == "JOINT":
            joints.append(_parse_joint(tokens, parent, _name(tokens)))
            stack.append(len(joints) - 1)
        else:
            joints.append(_parse_end(tokens, parent, f"{joints[parent].name} end"))
    if (word := next(tokens, None)) is not None:
        raise BadInput(f"MOTION is needed after the skeleton, not {_shown(word)}.")
    names = [joint.name for joint in joints if joint.channels]
    if len(set(names)) != len(names):
        raise BadInput("Two joints have the same name.")
    return tuple(joints)


def _parse_joint(tokens: Iterator[str], parent: int, name: str) -> Joint:
    _expect(tokens, "{")
    offset = _parse_offset(tokens)
    _expect(tokens, "CHANNELS")
    count = _count(next(tokens, ""))
    if count > len(_CHANNELS):
        raise BadInput(f"The joint {name!r} has {count} channels; 6 are the most.")
    channels = tuple(next(tokens, "") for _ in range(count))
    unknown = [channel for channel in channels if channel not in _CHANNELS]
    if unknown or len(set(channels)) != count:
        raise BadInput(f"The channels of the joint {name!r} are not {count} different known ones.")
    return Joint(name, parent, offset, channels)


def _parse_end(tokens: Iterator[str], parent: int, name: str) -> Joint:
    _expect(tokens, "Site")
    _expect(tokens, "{")
    offset = _parse_offset(tokens)
    _expect(tokens, "}")
    return Joint(name, parent, offset, ())


def _parse_offset(tokens: Iterator[str]) -> tuple[float, float, float]:
    _expect(tokens, "OFFSET")
    x, y, z = (_number(next(tokens, "")) for _ in range(3))
    return x, y, z


def _expect(tokens: Iterator[str], wanted: str) -> None:
    word = next(tokens, None)
    if word != wanted:
        raise BadInput(f"{wanted} is needed, not {_shown(word)}.")


def _name(tokens: Iterator[str]) -> str:
    name = next(tokens, "")
    if not name or name in "{}" or len(name) > 80:
        raise BadInput(f"{_shown(name)} is not the name of a joint.")
    return name


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 9 and int(word) >= 1):
        raise BadInput(f"A count is needed, not {_shown(word)}.")
    if int(word) > MAX_FRAMES:
        raise BadInput(f"{word} are too many; {MAX_FRAMES} are the most.")
    return int(word)


def _number(word: str) -> float:
    return float(_numbers([word])[0])


def _numbers(words: list[str]) -> Values:
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise BadInput(f"A number is needed: {error}.") from error
    if len(values) and not np.abs(values).max() <= _LARGEST:
        raise BadInput(f"A number is not finite, or beyond {_LARGEST:g}.")
    return values


def _shown(word: str | None) -> str:
    return "the end" if word is None else repr(word[:40])


def _rotation(axis: int, angles: Values) -> Values:
    """Matrices [T, 3, 3] that turn by `angles` [T] about an axis."""
    cos, sin = np.cos(angles), np.sin(angles)
    turn = np.zeros((len(angles), 3, 3))
    turn[:, axis, axis] = 1
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[:, i, i], turn[:, j, j] = cos, cos
    turn[:, i, j], turn[:, j, i] = -sin, sin
    return turn
