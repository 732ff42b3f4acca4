"""Strict parsing at the edge: TOML or JSON in, frozen dataclasses out.

An unknown key is an error that names the nearest known one; a value of the wrong type is an error
that names its place. Nothing is coerced but an integer where a float is meant.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import reprlib
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
L = TypeVar("L", bound=str)
N = TypeVar("N", bound=float)

MAX_DOCUMENT_BYTES = 64 << 20
_MAX_TOML_BYTES = 512 << 10
# A key's parts take tomllib memory and time by their square: 40,000, in 80 kB, half a minute.
_MAX_DOTS = 500
# So many words are listed; of more, the nearest few.
_MANY, _FEW = 50, 5
_LARGEST_INTEGER = (1 << 63) - 1
_DEEPEST = 100
"""So many levels has what is taken as it is."""


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML document; `BadInput` says the line if it does not parse."""
    text = _read_text(path, _MAX_TOML_BYTES)
    if any(line.count(".") > _MAX_DOTS for line in text.split("\n")):
        raise BadInput(
            f"A line of this TOML has more than {_MAX_DOTS} dots.",
            where=path,
            hint="A list may go over several lines.",
        )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"This is not valid TOML: {error}.", where=path) from error


def load_json(path: Path) -> Any:
    """Read a JSON document; see `parse_json`."""
    return parse_json(_read_text(path, MAX_DOCUMENT_BYTES), where=path)


def parse_json(text: str, *, where: object) -> Any:
    """Parse JSON text; `BadInput` says the line if it does not parse. NaN and infinity, which JSON
    does not have, are refused, and so is a key that stands twice, as TOML does."""
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a pair of surrogates is no text
        return value
    except (ValueError, RecursionError) as error:
        raise BadInput(f"This is not valid JSON: {error}.", where=where) from error


def parse(cls: type[T], data: object, *, where: object) -> T:
    """Build the dataclass `cls` from a mapping, strictly.

    Handles nested dataclasses, `tuple[X, ...]`, fixed tuples, `Mapping[str, X]`, `Literal`,
    optional and union types. Raises `BadInput` whose `where` is `where` and the key's path.
    A `ValueError` from `__post_init__` becomes a `BadInput` of the same place.
    """
    return _Parser(str(where)).dataclass(cls, data, "")


def parse_written(cls: type[T], data: object, *, where: object) -> T:
    """`parse` for what edgeanim itself writes: nobody mistyped a key there, so what does not fit is
    most likely of another version, and the error says so."""
    from edgeanim import __version__

    try:
        return parse(cls, data, where=where)
    except BadInput as error:
        error.hint = (
            f"It may be of another version of edgeanim than this, {__version__}: read it with that "
            "one, or make it anew with this."
        )
        raise


def to_plain(value: object, *, nulls: bool = False) -> Any:
    """The inverse of `parse`: dataclasses to dictionaries, tuples to lists; fields that are `None`
    and need not be there are left out, as TOML has no such value, or with `nulls` kept."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(item, nulls=nulls)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) is not None or nulls or _is_needed(field)
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, nulls=nulls) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, nulls=nulls) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def to_toml(value: object) -> str:
    """What `to_plain` gives, as TOML."""
    import tomli_w

    return tomli_w.dumps(to_plain(value))


@overload
def one_or_more(given: L | Iterable[L]) -> tuple[L, ...]: ...
@overload
def one_or_more(given: N | Iterable[N]) -> tuple[N, ...]: ...
@overload
def one_or_more(given: str | Path | Iterable[str | Path]) -> tuple[str | Path, ...]: ...
def one_or_more(given: Any) -> tuple[Any, ...]:
    """What was given where several can be; a text, path or number alone is the only one."""
    return (given,) if isinstance(given, (str, Path, int, float)) else tuple(given)


def parse_inputs(values: Sequence[str]) -> dict[str, Path]:
    """`NAME=FILE` options as a mapping; `UsageError` if one is not of that form, or if one name
    has two files."""
    pairs: dict[str, Path] = {}
    for value in values:
        name, separator, file = value.partition("=")
        if not separator or not name or not file:
            raise UsageError(f"`--input {value}` is not of the form NAME=FILE.npy.")
        if pairs.setdefault(name, Path(file)) != Path(file):
            what = f"{name!r} is given as {str(pairs[name])!r} and as {file!r}."
            raise UsageError(what, where="--input")
    return pairs


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint that names the known word closest to `name`; if none is close, all of them, or of very
    many the few that are nearest."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    if len(known) > _MANY:
        few = difflib.get_close_matches(name, known, n=_FEW, cutoff=0)
        return f"The nearest of {len(known)}: {', '.join(few)}."
    return f"Known: {', '.join(sorted(known)) or 'none'}."


def _read_text(path: Path, limit: int) -> str:
    try:
        # Editors on Windows put a mark before the text, which neither TOML nor JSON knows.
        return read_bytes(path, limit, "This document").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("This is not a text file.", where=path) from error


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    """Whether a document has to say what a field is."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


@cache
def _fields_of(cls: type) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """The types and the fields of a dataclass, by name, of those that a document may give."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    return get_type_hints(cls), fields


def _are_finite_floats(names: Iterable[object], values: Iterable[object]) -> bool:
    """Whether values are finite floats as they stand, and their names texts. A report has tens of
    thousands of such, and to go through them one by one, each with its place, takes long."""
    return all(type(value) is float and math.isfinite(value) for value in values) and all(
        type(name) is str for name in names
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        left = set(table)
        for name, _ in pairs:
            if name not in left:
                raise ValueError(f"the key {name[:80]!r} stands twice in a table")
            left.remove(name)
    return table


class _Parser:
    """One walk over a document; keeps the document's name for the errors."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, key: str, what: str, hint: str | None = None) -> BadInput:
        return BadInput(what, where=f"{self.where} [{key}]" if key else self.where, hint=hint)

    def dataclass(self, cls: type[T], data: object, key: str) -> T:
        if not isinstance(data, Mapping):
            raise self.fail(key, f"A table is needed here, not {_name_of(data)}.")
        hints, fields = _fields_of(cls)  # type: ignore[arg-type]
        for name in data:
            if name not in fields:
                shown = str(name)[:80]  # a stranger's may be megabytes
                raise self.fail(key, f"Unknown key {shown!r}.", nearest(shown, list(fields)))
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in data:
                values[name] = self.value(hints[name], data[name], f"{key}.{name}" if key else name)
            elif _is_needed(field):
                raise self.fail(key, f"The key {name!r} is missing.")
        try:
            return cls(**values)
        except ValueError as error:
            raise self.fail(key, f"{error}.") from error

    def value(self, kind: Any, data: object, key: str) -> Any:
        origin, args = get_origin(kind), get_args(kind)
        if isinstance(data, int) and abs(data) > _LARGEST_INTEGER:
            raise self.fail(key, "This number is too large.")
        if kind is Any:
            self.check_untyped(data, key)
            return data
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self.dataclass(kind, data, key)
        if origin in (Union, types.UnionType):
            return self.union(args, data, key)
        if origin is Literal:
            if not any(data == arg and type(data) is type(arg) for arg in args):
                shown = reprlib.repr(data)  # whatever is here may be deep or long
                hint = nearest(shown.strip("'"), [str(a) for a in args])
                raise self.fail(key, f"{shown} is not possible here.", hint)
            return data
        if origin is tuple:
            return self.sequence(args, data, key)
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(data, Mapping):
                raise self.fail(key, f"A table is needed here, not {_name_of(data)}.")
            if args == (str, float) and _are_finite_floats(data, data.values()):
                return dict(data)
            return {
                self.value(args[0], k, key): self.value(args[1], v, f"{key}.{k}")
                for k, v in data.items()
            }
        return self.scalar(kind, data, key)

    def check_untyped(self, data: object, key: str) -> None:
        """What is taken as it is can still be written as JSON, which goes through it recursively
        and has no infinite numbers (`1e999` is one to Python)."""
        level = [data]
        for _ in range(_DEEPEST):
            for value in level:
                if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
                    raise self.fail(key, "This number is too large.")
                if isinstance(value, float) and not math.isfinite(value):
                    raise self.fail(key, "A finite number is needed here.")
            tables = [value.values() for value in level if isinstance(value, Mapping)]
            lists = [value for value in level if isinstance(value, (list, tuple))]
            level = [value for values in (*tables, *lists) for value in values]
            if not level:
                return
        raise self.fail(key, "This is nested too deeply.")

    def union(self, kinds: tuple[Any, ...], data: object, key: str) -> Any:
        if data is None and type(None) in kinds:
            return None
        rest = [kind for kind in kinds if kind is not type(None)]
        for kind in rest[:-1]:
            try:
                return self.value(kind, data, key)
            except BadInput:
                continue
        return self.value(rest[-1], data, key)

    def sequence(self, args: tuple[Any, ...], data: object, key: str) -> tuple[Any, ...]:
        if not isinstance(data, (list, tuple)):
            raise self.fail(key, f"A list is needed here, not {_name_of(data)}.")
        if args == (float, ...) and _are_finite_floats((), data):
            return tuple(data)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(self.value(args[0], v, f"{key}[{i}]") for i, v in enumerate(data))
        if len(args) != len(data):
            raise self.fail(key, f"A list of {len(args)} is needed here, not of {len(data)}.")
        return tuple(
            self.value(kind, v, f"{key}[{i}]")
            for i, (kind, v) in enumerate(zip(args, data, strict=True))
        )

    def scalar(self, kind: Any, data: object, key: str) -> Any:
        if kind is float and isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        if kind is Path and isinstance(data, str):
            return Path(data)
        if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
            raise self.fail(key, f"{_name_of(kind)} is needed here, not {_name_of(data)}.")
        if isinstance(data, float) and not math.isfinite(data):
            raise self.fail(key, "A finite number is needed here.")
        return data


def _name_of(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    names |= {dict: "a table", list: "a list", type(None): "nothing"}
    return names.get(kind, kind.__name__)
