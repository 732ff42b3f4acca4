"""The published JSON schema of a report, derived from the dataclasses that define it.

`python -m edgeanim.benchmarks.schema` prints it; the committed `report.schema.json` is that text.
The limits below hold for the schema and for `load_report` alike.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeanim.core.errors import BadInput

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SHA256 = {"pattern": "^[0-9a-f]{64}$"}
_SHARE = {"minimum": 0, "maximum": 1}
_SIMILARITY = {"minimum": -1, "maximum": 1}
_NOT_NEGATIVE = {"minimum": 0}
# Beyond what is ever measured, and far enough below the end of the floats that sums stay finite.
_MEASURED = {"minimum": 0, "maximum": 1e15}
_AT_LEAST_ONE = {"minimum": 1}
# By field name: exact names first, then endings.
_EXACT: Mapping[str, Mapping[str, Any]] = {
    "digest": _SHA256,
    "bundle": _SHA256,
    "created": {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"},
    "share": _SHARE,
    "ssim": _SIMILARITY,
    "temporal_ssim": _SIMILARITY,
    "drift_mean": {"minimum": 0, "maximum": 2},
    "temporal_l1": _NOT_NEGATIVE,
    "ratio": _NOT_NEGATIVE,
    "slowdown": _NOT_NEGATIVE,
    "detectable": _NOT_NEGATIVE,
    # Memory may shrink.
    "growth_mb": {},
    "low": _NOT_NEGATIVE,
    "high": _NOT_NEGATIVE,
    "exit_code": {"minimum": 1, "maximum": 255},
}
_ENDINGS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("_share", _SHARE),
    ("ssim_mean", _SIMILARITY),
    ("ssim_p5", _SIMILARITY),
    ("ssim_worst", _SIMILARITY),
    *((end, _AT_LEAST_ONE) for end in ("threads", "rounds", "blocks", "block_frames", "cores")),
    *((end, _AT_LEAST_ONE) for end in ("height", "width")),
    *((end, _MEASURED) for end in ("_ms", "_mb", "_fps", "_s", "_bytes", "_faults", "count")),
    *((end, _MEASURED) for end in ("frames", "samples", "processes", "round", "worst_frame")),
)


def report_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `edgeanim.report/1`."""
    from edgeanim.benchmarks.results.result import SCHEMA, Report

    definitions: dict[str, Any] = {}
    root = _object(Report, definitions)
    head = {"$schema": DRAFT, "$id": f"urn:edgeanim:{SCHEMA}", "title": SCHEMA}
    return head | root | {"$defs": dict(sorted(definitions.items()))}


def schema_text() -> str:
    """The text of the committed schema file."""
    return json.dumps(report_schema(), indent=1) + "\n"


def check_limits(value: object, *, where: object, name: str = "", path: str = "") -> None:
    """`BadInput` for the first figure below `value` that lies outside the schema's limits."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            check_limits(getattr(value, field.name), where=where, name=field.name, path=inner)
    elif isinstance(value, Mapping):
        if _all_within(tuple(value.values()), _limits(name)):
            return
        for key, item in value.items():
            check_limits(item, where=where, name=name, path=f"{path}.{key}")
    elif isinstance(value, tuple):
        if _all_within(value, _limits(name)):
            return
        for index, item in enumerate(value):
            check_limits(item, where=where, name=name, path=f"{path}[{index}]")
    elif value is not None and not _within(value, _limits(name)):
        raise BadInput(f"{value!r} is not possible here.", where=f"{where} [{path}]")


def _all_within(values: tuple[object, ...], limits: Mapping[str, Any]) -> bool:
    """Whether these are numbers alone, all within their limits: samples, of which there are
    thousands."""
    if not values or not set(map(type, values)) <= {int, float}:
        return False
    numbers: tuple[Any, ...] = values
    return _within(min(numbers), limits) and _within(max(numbers), limits)


def _within(value: object, limits: Mapping[str, Any]) -> bool:
    if isinstance(value, str):
        return "pattern" not in limits or re.fullmatch(limits["pattern"], value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(limits.get("minimum", value) <= value <= limits.get("maximum", value))
    return True


@cache
def _limits(name: str) -> Mapping[str, Any]:
    if name in _EXACT:
        return _EXACT[name]
    return next((limits for ending, limits in _ENDINGS if name.endswith(ending)), {})


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    # What has a default came later: a report from before may lack it.
    required = [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    return {
        "description": " ".join((cls.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": {name: _kind(hints[name], name, definitions) for name in names},
    }


def _kind(kind: Any, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not type(None))
        return {"anyOf": [_kind(inner, name, definitions), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _kind(args[0], name, definitions)}
    if origin is not None:
        return {"type": "object", "additionalProperties": _kind(args[1], name, definitions)}
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    return {"type": names[kind], **_limits(name)}


if __name__ == "__main__":
    print(schema_text(), end="")
