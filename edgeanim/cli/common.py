"""What several commands share: options, progress on the terminal, JSON out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeanim.core.errors import UsageError

if TYPE_CHECKING:
    from edgeanim.core.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")

board_option = click.option(
    "--board",
    default="local",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="The machine it is for; see `edgeanim boards`.",
)

input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE.npy",
    help="A fixed input of the model (a style vector, say), [N, ...] float32; may be repeated.",
)

recipe_option = click.option(
    "--recipe",
    type=PATH,
    metavar="FILE.toml",
    help="Take the settings from a recipe; what is also given here goes before it.",
)

threads_option = click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads per graph [default: the board's, 1]."
)


def parse_inputs(values: tuple[str, ...]) -> dict[str, Path]:
    """`NAME=FILE` options as a mapping; `UsageError` if one is not of that form."""
    pairs = {}
    for value in values:
        name, separator, file = value.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"`--input {value}` is not of the form NAME=FILE.npy.")
        pairs[name] = Path(file)
    return pairs


def read_recipe(path: Path | None) -> Recipe | None:
    """The recipe of `--recipe`, if there is one."""
    from edgeanim.core.recipe import load_recipe

    return None if path is None else load_recipe(path)


def settings(cls: type[T], values: Mapping[str, object], base: T | None) -> T:
    """The options `values` as a `cls`. With `base`, a section of a recipe, only those options
    count that were given on the command line, and the rest is as it has it."""
    from edgeanim.core.parsing import parse, to_plain

    where = f"edgeanim {click.get_current_context().info_name}"
    if base is None:
        return parse(cls, values, where=where)
    given = {name: value for name, value in values.items() if on_command_line(name)}
    return parse(cls, {**to_plain(base), **given}, where=where)


def on_command_line(name: str) -> bool:
    """Whether the option of this name was given, and is not just its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def parse_milliseconds(text: str) -> float:
    """`50ms`, `0.05s` or a plain number of milliseconds; `UsageError` for anything else."""
    for unit, factor in (("ms", 1.0), ("s", 1e3), ("", 1.0)):
        if text.endswith(unit):
            try:
                value = factor * float(text.removesuffix(unit))
            except ValueError:
                break
            if 0 < value < float("inf"):
                return value
            break
    raise UsageError(f"{text!r} is not a time.", hint="Write it as 50ms or 0.05s.")


def example(text: str) -> Callable[[F], F]:
    """Add an example to a command's help."""

    def add(function: F) -> F:
        lines = "\n".join(f"  {line}" for line in text.strip().splitlines())
        function.__doc__ = f"{cleandoc(function.__doc__ or '')}\n\n\b\nExample:\n{lines}\n"
        return function

    return add


def print_json(value: object) -> None:
    """Print dataclasses and plain values as indented JSON."""
    import json

    from edgeanim.core.parsing import to_plain

    click.echo(json.dumps(to_plain(value), indent=2, ensure_ascii=False))


class TerminalProgress:
    """Progress on standard error: a bar on a terminal, a line per finished stage elsewhere."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._title = ""
        self._total: int | None = None
        self._count = 0
        self._started = 0.0
        self._worked = 0.0

    def stage(self, title: str, total: int | None = None) -> None:
        """Begin a stage; an unfinished one before it is closed."""
        from time import monotonic

        if self._title:
            self.done()
        self._title, self._total, self._count = title, total, 0
        self._started, self._worked = monotonic(), _processor_seconds()
        self._draw("")

    def step(self, count: int = 1, note: str = "") -> None:
        """Advance the bar."""
        self._count += count
        self._draw(note)

    def done(self, note: str = "") -> None:
        """Close the stage with its time, on the clock and of the processor."""
        from time import monotonic

        if not self._title:
            return
        seconds = monotonic() - self._started
        end = "\r\x1b[K" if self._tty else ""
        work = _processor_seconds() - self._worked
        tail = f"  {note}" if note else ""
        click.echo(f"{end}{self._title:<44} {seconds:6.1f} s {work:6.1f} s CPU{tail}", err=True)
        self._title = ""

    def close(self) -> None:
        """Finish whatever stage is open."""
        self.done()

    def _draw(self, note: str) -> None:
        if not self._tty:
            return
        bar = ""
        if self._total:
            filled = min(20, 20 * self._count // self._total)
            bar = f" [{'=' * filled}{' ' * (20 - filled)}] {self._count}/{self._total}"
        text = f"{self._title}{bar} {note}"[:99]
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _processor_seconds() -> float:
    """What this process and the ones it waited for have used so far: on a busy machine this is
    what says how much work a stage is."""
    import os

    return sum(os.times()[:4])
