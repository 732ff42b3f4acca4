"""What a program may choose: words are held against the `Literal` that declares them, numbers of
threads against what a machine can bear.

Files and the command line are checked as they are read; nobody checks the types of a call.
"""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeanim.core.errors import UsageError

MAX_THREADS = 256
MAX_STRENGTH = 4
MIN_SIDE = 16


def must_be_threads(count: int) -> None:
    """`UsageError` unless so many threads can work on a graph. Runtimes start what they are asked
    for, and thousands that wait for each other are the machine's standstill."""
    if not 1 <= count <= MAX_THREADS:
        raise UsageError(
            f"threads must be at least 1 and at most {MAX_THREADS}, not {count}.", where="--threads"
        )


def must_be_side(pixels: int) -> None:
    """`UsageError` unless a picture's longer side can be scaled down to so many pixels."""
    if pixels < MIN_SIDE:
        raise UsageError(f"size must be at least {MIN_SIDE}, not {pixels}.", where="--size")


def must_be_tolerance(tolerance: float) -> None:
    """`UsageError` unless results may differ by so much."""
    if not 0 <= tolerance < float("inf"):  # nor is NaN
        raise UsageError("The tolerance must be a number, not negative.")


def must_be_strength(share: float) -> None:
    """`UsageError` unless a still's motion can be made so many times as strong."""
    if not 0 < share <= MAX_STRENGTH:  # nor is NaN
        raise UsageError(
            f"strength must be more than 0 and at most {MAX_STRENGTH}, not {share:g}.",
            where="--strength",
        )


def must_be_one_of(kind: Any, name: str, *given: object) -> None:
    """`UsageError` if the argument `name`, or one of several that were `given` for it, is no word
    of `kind`: a `Literal`, or that or `None`."""
    words = _words(kind)
    for each in given:
        if each not in words:
            raise UsageError(f"{_refusal(name, each, words)}.")


def check_words(record: object) -> None:
    """`ValueError` for a field of a dataclass that is declared as such words and holds another."""
    for name, kind in get_type_hints(type(record)).items():
        words, given = _words(kind), getattr(record, name)
        if words and given not in words:
            raise ValueError(_refusal(name, given, words))


def _words(kind: Any) -> tuple[object, ...]:
    """The words of a `Literal`, and `None` where that is possible too; of other types none."""
    if get_origin(kind) in (Union, types.UnionType):
        each = [_words(part) for part in get_args(kind) if part is not types.NoneType]
        return (*sum(each, ()), None) if all(each) else ()
    return get_args(kind) if get_origin(kind) is Literal else ()


def _refusal(name: str, given: object, words: tuple[object, ...]) -> str:
    *others, last = [str(word) for word in words if word is not None]
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"`{name}` must be {listed}, not {given!r}"
