"""Progress of long work: the library reports, whoever called decides how it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives the course of one piece of work at a time."""

    def stage(self, title: str, total: int | None = None) -> None:
        """A new piece of work begins; `total` steps if that is known."""

    def step(self, count: int = 1, note: str = "") -> None:
        """`count` more steps are done."""

    def done(self, note: str = "") -> None:
        """The piece of work is finished."""


class Silent:
    """Shows nothing; the default everywhere in the library."""

    def stage(self, title: str, total: int | None = None) -> None:
        pass

    def step(self, count: int = 1, note: str = "") -> None:
        pass

    def done(self, note: str = "") -> None:
        pass


SILENT: Progress = Silent()


def counted(items: Iterable[T], name: str, progress: Progress) -> Iterator[T]:
    """`items` as they come, each noted by its number beside `name`: a step of minutes, such as a
    long clip, is seen to get on."""
    for number, item in enumerate(items, 1):
        progress.step(0, f"{name}, {number}")
        yield item
