"""Code of the user's own that an option names: PACKAGE.MODULE:NAME."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from edgeanim.core.errors import BadInput, UsageError, first_line, foreign_errors

if TYPE_CHECKING:
    from edgeanim.pipeline.frames.given import Frames

_NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_FILE = ".py"


@contextmanager
def users_code() -> Iterator[None]:
    """Modules in the working folder can be imported, and what they print is kept out of ours."""
    sys.path.insert(0, "")
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(ValueError):
            sys.path.remove("")


def is_name(text: str) -> bool:
    """Whether this is written as the name of something in a module."""
    return _NAME.fullmatch(text) is not None


def named_object(name: str) -> Any:
    """What `name` leads to, inside `users_code`. `BadInput` says what went wrong on the way."""
    place, _, attribute = name.partition(":")
    if not place.strip() or place.startswith(".") or not attribute.strip():
        raise UsageError(
            f"{name!r} names no module.", hint="Write it as PACKAGE.MODULE:NAME, say mynet:UNet."
        )
    with foreign_errors(lambda error: failed(error, name)):
        found: Any = importlib.import_module(place)
        for part in attribute.split("."):
            found = getattr(found, part)
    return found


def named_frames(name: str) -> Frames:
    """The frames that the function or list `name` gives."""
    with users_code():
        found = named_object(name)
    if isinstance(found, Iterator):  # which is said to be useless where frames are asked for
        return found

    def frames() -> Iterator[Any]:
        with users_code(), foreign_errors(lambda error: failed(error, name)):
            items = iter(found() if callable(found) else found)
        while True:
            # Frame by frame: what we print in between is ours.
            with users_code(), foreign_errors(lambda error: failed(error, name)):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    frames.__qualname__ = name
    return frames


def failed(error: BaseException, name: str) -> BadInput:
    """How the code that `name` leads to has failed."""
    place, _, attribute = name.partition(":")
    package, *_ = place.split(".")
    hint = None
    if isinstance(error, ModuleNotFoundError) and error.name in (place, package):
        hint = "Run this in the folder that holds it, or install it."
        if place.endswith(_FILE):
            module = PurePath(place).stem
            hint = f"In its folder, name the module and not its file: {module}:{attribute}"
    what = f"{type(error).__name__}: {first_line(error).rstrip('.')}."
    return BadInput(what, where=name, hint=hint)
