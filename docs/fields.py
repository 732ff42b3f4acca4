"""The page of what `--json` prints and functions return, from the types' own docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from edgeanim import api

COMMANDS = {
    "animate": "animate",
    "backends": "backends",
    "bench": "bench",
    "boards": "boards",
    "compare": "compare",
    "compile": "compile",
    "dataset show": "show_dataset",
    "demo": "demo",
    "deploy": "deploy",
    "doctor": "doctor",
    "emulate check": "emulate_bundle",
    "emulate list": "emulated_processors",
    "evaluate": "evaluate",
    "export": "export",
    "inspect": "inspect",
    "motion list": "motions",
    "optimize": "optimize",
    "project": "project",
    "prune": "prune",
    "quantize": "quantize",
    "sign": "sign",
}
"""The commands that print what a function of `edgeanim.api` returns, and its name there."""

_HEAD = """\
# What `--json` prints, field by field

This is what `--json` prints, and what the functions of [`edgeanim.api`](api.md) return. In JSON a
path is a string, a tuple a list, and what is not known `null`. Reports have a [JSON
schema](../benchmarks/report.schema.json) as well.

Errors are printed as text on standard error and set the exit code. Standard output stays empty
then, except that `bench` of several places, `compare`, `doctor`, `emulate check` and `optimize`
print what they found before they end with a code other than 0.

"""
_OTHERS = """\

In addition:

- `bench` of several places prints a list, each with the `place`, and its `report` or `error`. On an
  emulated processor the report is an [Emulation](#emulation), and so is what `bench` prints there.
- `boards show` prints one board.
- `evaluate` adds `won` and `won_affine` to each score: the shares won back.
- `motion extract` prints `path`, `frames` and `fps`; `dataset make` and `dataset import` print
  `path`, `sequences` and `frames`; `train` prints `weights` and `emulate setup` `path`, both paths.
"""


def page(note: str) -> str:
    """The whole page, with `note` below its title."""
    title, _, lead = _HEAD.partition("\n\n")
    rows = ["| command | prints |\n|---|---|\n"]
    found: dict[type, None] = {}
    for command, name in sorted(COMMANDS.items()):
        function = getattr(api, name)
        returned = inspect.get_annotations(function)["return"]
        rows.append(f"| `{command}` | {_linked(returned, function.__module__)} |\n")
        _reach(returned, function.__module__, found)
    parts = [f"{title}\n\n{note}{lead}", *rows, _OTHERS, *map(_described, found)]
    return "".join(parts)


def _described(kind: type) -> str:
    """A type's heading, its docstring, and its fields with their types."""
    said = inspect.cleandoc(kind.__doc__ or "")
    # What `dataclass` writes where nobody has written anything.
    said = "" if said.startswith(f"{kind.__name__}(") else f"{_filled(said)}\n\n"
    rows = "".join(f"{f.name}: {f.type}\n" for f in dataclasses.fields(kind))
    return f"\n## {kind.__name__}\n\n{said}```\n{rows}```\n"


def _filled(text: str) -> str:
    """Its paragraphs with lines as long as those of the other pages."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(
        textwrap.fill(each, 120, break_long_words=False, break_on_hyphens=False)
        for each in paragraphs
    )


def _linked(annotation: str, module: str) -> str:
    """An annotation in words, whose types lead to their headings."""
    text = re.sub(r"tuple\[(\w+), \.\.\.\]", r"a list of \1", annotation.replace("|", "or"))
    for kind in _types(annotation, module):
        text = re.sub(rf"\b{kind.__name__}\b", f"[{kind.__name__}](#{kind.__name__.lower()})", text)
    return text


def _reach(annotation: Any, module: str, found: dict[type, None]) -> None:
    """Add the dataclasses that an annotation names, each before those of its own fields."""
    for kind in _types(str(annotation), module):
        if kind not in found:
            found[kind] = None
            for field in dataclasses.fields(kind):
                _reach(field.type, kind.__module__, found)


def _types(annotation: str, module: str) -> Iterator[Any]:
    """The dataclasses that an annotation of `module` names: also those that only type checkers
    import there, which are the library's own."""
    for name in re.findall(r"\b[A-Z]\w*", annotation):
        kind = vars(sys.modules[module]).get(name) or getattr(api, name, None)
        if dataclasses.is_dataclass(kind):
            yield kind
