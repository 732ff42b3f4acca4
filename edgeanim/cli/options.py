"""The options of commands: their types, those that several commands share, and their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from edgeanim.cli.users_code import is_name, named_frames
from edgeanim.core.choices import MAX_THREADS
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import one_or_more

if TYPE_CHECKING:
    from edgeanim.core.recipe import Recipe
    from edgeanim.pipeline.frames.given import Frames

_LARGEST = 2**31 - 1
_QUICKLY_READ = 200 << 20  # bytes that are checked in some two seconds

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
"""The `shell_complete` of an option."""


class Number(click.FloatRange):
    """The type of every option that takes a number with a point: finite, and within its range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; of a text that is none, or out of range, click's own error."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):  # NaN is below no least value and above no largest
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Whole(click.IntRange):
    """The type of every option that takes a whole number: within its range, and no greater than
    what counts and seeds may be on a board of 32 bits, beyond which they fail in many ways."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; of a text that is none, or out of range, click's own error."""
        number = int(super().convert(value, param, ctx))
        if abs(number) > _LARGEST:
            self.fail(f"{value} is too large.", param, ctx)
        return number


class FileName(click.Path):
    """The type of every option that takes the name of a file or folder; an empty one (of a variable
    of the shell that is not set) would mean the folder in which the command runs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The `Path`; of an empty name, click's own error."""
        if value == "":
            self.fail("The name is empty.", param, ctx)
        return super().convert(value, param, ctx)


# What may not be read is told by who reads it, with its code; what is only written need not be.
PATH = FileName(path_type=Path, readable=False)
NAME = FileName(path_type=str, readable=False)
"""Of what may be something else than a path: `shipped`, `camera:0`."""


def single_option(*names: str, default: Any = None, **settings: Any) -> Callable[[F], F]:
    """An option of which a command takes one value and another command several: whoever gives two
    means both, and is told so. Elsewhere a later value overrides an earlier one, as is usual."""
    several = None if default is None else (default,)
    return click.option(*names, multiple=True, default=several, callback=_only_one, **settings)


def _only_one(context: click.Context, option: click.Parameter, values: tuple[Any, ...]) -> Any:
    if len(set(values)) > 1:
        given = " and ".join(repr(str(value)) for value in dict.fromkeys(values))
        raise click.BadParameter(f"only one is taken here, not {given}.", context, option)
    return values[-1] if values else None


def offering(words: Callable[[], Iterable[str]], *, or_file: bool = False) -> Offer:
    """The `shell_complete` of an option: the tab key offers those of the `words` that begin with
    what is typed or, where there are none and it may be one, files. They are looked up then,
    so that `--help` stays quick."""

    def offer(
        _context: click.Context, _option: click.Parameter, typed: str
    ) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in words() if word.startswith(typed)]
        return found or ([CompletionItem(typed, type="file")] if or_file else [])

    return offer


def offering_variants(name: str) -> Offer:
    """The same for the variants of the bundles that were given as the parameter `name`."""

    def offer(context: click.Context, option: click.Parameter, typed: str) -> list[CompletionItem]:
        # While an option still lacks its value, click has given the arguments no names.
        bundles = (*one_or_more(context.params.get(name) or ()), *context.args)
        return offering(lambda: _variants_of(bundles))(context, option, typed)

    return offer


def variants_option(of: str, example: str) -> Callable[[F], F]:
    """`--variant`, once for each that is wanted of the bundles given as the parameter `of`."""
    return click.option(
        "--variant",
        "variants",
        multiple=True,
        shell_complete=offering_variants(of),
        help=f"Only this variant, e.g. {example}; may be repeated [default: all].",
    )


def _variants_of(bundles: Iterable[str | Path]) -> Iterator[str]:
    """None of what is no bundle, cannot be read, or would keep the shell waiting."""
    from edgeanim.targets.bundle import open_bundle

    for path in map(Path, bundles):
        if path.is_file() and path.stat().st_size <= _QUICKLY_READ:
            with suppress(EdgeanimError), open_bundle(path) as bundle:
                yield from (variant.id for variant in bundle.variants)


def _boards() -> Iterable[str]:
    from edgeanim.targets.board import board_names

    return board_names()


def _backends() -> Iterable[str]:
    from edgeanim.targets.backends import backend_names

    return ("all", *backend_names())


offering_boards = offering(_boards, or_file=True)
offering_backends = offering(_backends)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")

board_option = single_option(
    "--board",
    default="local",
    show_default=True,
    metavar="NAME|FILE.toml",
    shell_complete=offering_boards,
    help="The machine it is for, which decides backends, the form of INT8 and threads; see "
    "`edgeanim boards`.",
)

input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE.npy",
    help="A further input of the model (a style vector, say), [N, ...] float32: one value, one for "
    "each frame of a clip, or several that are cycled through; may be repeated.",
)

model_folder_option = click.option(
    "-o", "--out", type=PATH, required=True, help="The model folder to write."
)

backends_option = click.option(
    "--backend",
    "backends",
    multiple=True,
    default=("all",),
    show_default=True,
    shell_complete=offering_backends,
    help="For this backend (see `edgeanim backends`); may be repeated.",
)

max_drift_p5_option = click.option(
    "--max-drift-p5",
    type=Number(0, 2),
    help="The same at the 5th percentile of the frames' SSIM [default: 2.5 times --max-drift].",
)

recipe_option = click.option(
    "--recipe",
    type=PATH,
    metavar="FILE.toml",
    help="Take the settings from a recipe; options given here override it.",
)

threads_option = single_option(
    "--threads", type=Whole(1, MAX_THREADS), help="Threads per graph [default: the board's, 1]."
)

live_option = click.option(
    "--live",
    is_flag=True,
    help="A camera is behind the pipe: leave out frames that come while others are followed, so "
    "that what is seen is of now, as for camera:N. Without it each frame is followed, and the "
    "program behind the pipe has to wait.",
)


_FORMS = (
    "FRAMES is a folder or a folder of folders, an `edgeanim dataset`, a clip{} an .npz of an "
    "image-to-image model's own inputs"
)


def _existing(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        must_exist(Path(value))
    return value


def _existing_or_named(
    context: click.Context, option: click.Parameter, value: str | None
) -> str | Frames | None:
    if value is not None and is_name(value) and not Path(value).exists():
        return named_frames(value)
    return _existing(context, option, value)


def frames_option(name: str, text: str) -> Callable[[F], F]:
    """An option that takes real frames in any of the forms that there are; `text` says what for. A
    path that leads to nothing is told at once, not when a model has been read or made that long."""
    text = f"{text} {_FORMS.format(' or')}."
    return click.option(name, metavar="FRAMES", type=NAME, callback=_existing, help=text)


def calib_option(text: str) -> Callable[[F], F]:
    """`--calib`: the same, or the name of a function that gives frames."""
    text = f"{text} {_FORMS.format(',')}, or MODULE:NAME, a function of yours that gives them."
    return click.option(
        "--calib", metavar="FRAMES", type=NAME, callback=_existing_or_named, help=text
    )


def range_option(text: str) -> Callable[[F], F]:
    """`--range`, the value range of a model's pictures, passed on as `values`."""
    return click.option(
        "--range", "values", metavar="LOW..HIGH", type=NAME, callback=_range_of, help=text
    )


def _range_of(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition("..")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = 0.0, 0.0
    if not -1e6 <= ends[0] < ends[1] <= 1e6:
        raise UsageError(
            f"{text!r} is not a range.", where="--range", hint="Write it as 0..1 or -1..1."
        )
    return ends


def read_recipe(path: Path | None) -> Recipe | None:
    """The recipe of `--recipe`, if there is one."""
    from edgeanim.core.recipe import load_recipe

    return None if path is None else load_recipe(path)


def settings(cls: type[T], values: Mapping[str, object], base: T | None) -> T:
    """The options `values` as a `cls`. With `base`, a section of a recipe, only those options
    count that were given on the command line, and the rest is as it has it."""
    from edgeanim.core.parsing import parse, to_plain

    where = f"edgeanim {click.get_current_context().info_name}"
    if base is not None:
        given = {name: value for name, value in values.items() if on_command_line(name)}
        values = {**to_plain(base), **given}
    try:
        return parse(cls, values, where=where)
    except BadInput as error:  # the recipe has been read: it is the options that make no sense
        raise UsageError(error.what, where=error.where, hint=error.hint) from error


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
