"""Pictures that a program holds or makes itself, checked as those of files are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from edgeanim.core.errors import BadInput, UsageError, first_line
from edgeanim.runtime.media import MAX_PIXELS
from edgeanim.runtime.scene import Picture, Scene, is_picture

ONCE = "An iterator gives its frames only once; they are gone through more than once."
"""Of what would give nothing more the second time."""

_NO_ARRAY = (ValueError, TypeError, RuntimeError)
"""What NumPy and others raise for uneven lists, or what lies in another device's memory."""


def is_named(source: object) -> TypeGuard[str | Path]:
    """Whether `source` is a path or another name, and nothing that a program holds itself."""
    return isinstance(source, (str, Path))


def name_of(source: object, held: str) -> object:
    """What errors call `source`: its path or name, or `held` of what a program holds itself."""
    return source if source is None or is_named(source) else held


def as_picture(item: Any, where: str, hint: str | None = None) -> Picture:
    """`item`, anything that NumPy takes for an array, as a picture: uint8 [H, W, 3 or 4].
    `BadInput` names `where` for anything else, and for more than `MAX_PIXELS`."""
    try:
        picture = np.asarray(item)
    except _NO_ARRAY as error:
        raise BadInput(
            f"NumPy cannot take this for an array: {first_line(error)}", where=where, hint=hint
        ) from error
    if not is_picture(picture):
        raise BadInput(
            f"This is {picture.dtype} of the shape {list(picture.shape)}; a picture is uint8, "
            "[height, width, 3 or 4].",
            where=where,
            hint=hint,
        )
    if not 0 < picture.shape[0] * picture.shape[1] <= MAX_PIXELS:
        raise BadInput(
            f"A picture of {picture.shape[1]}x{picture.shape[0]} pixels is empty or too large.",
            where=where,
        )
    return picture


def moved_by(given: Iterable[Any], *, looped: bool) -> Scene:
    """A scene that moves by what a program gives: a driver's pictures, or motions [K, 6], whichever
    comes first; from the first on again whenever they end if `looped`. `UsageError` for what gives
    nothing, or gives it only once and is looped."""
    if not isinstance(given, Iterable):
        raise UsageError(
            "This is no path and gives no frames.",
            where=f"drive, {type(given).__name__}",
            hint="Give a path, a motion, or an iterable of pictures or motions.",
        )
    if looped and isinstance(given, Iterator):
        raise UsageError(ONCE, where="drive", hint="Give a list, or leave out `loop`.")
    items = _again_and_again(given) if looped else iter(given)
    head = list(itertools.islice(items, 1))
    items = itertools.chain(head, items)
    if head and _is_motion(head[0]):
        return Scene(motions=items)
    return Scene(driver=(as_picture(item, f"drive, frame {i}") for i, item in enumerate(items)))


def _is_motion(item: Any) -> bool:
    try:
        shape = np.shape(item)
    except _NO_ARRAY:
        return False
    return len(shape) == 2 and shape[1] == 6


def _again_and_again(given: Iterable[Any]) -> Iterator[Any]:
    some = True
    while some:
        some = False
        for item in given:
            some = True
            yield item
