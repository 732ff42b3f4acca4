"""The quantisation schemes, one file each, found by file name (`onnx_qdq.py` is `onnx-qdq`)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import nearest
from edgeanim.quantize.schemes.base import Scheme

__all__ = ["Scheme", "get_scheme", "scheme_names"]

_NOT_SCHEMES = {"base", "qdq"}


@cache
def scheme_names() -> tuple[str, ...]:
    """The names of all schemes, their quantisers installed or not."""
    files = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_SCHEMES]
    return tuple(name.replace("_", "-") for name in files)


@cache
def get_scheme(name: str) -> Scheme:
    """The scheme called `name`; `UsageError` names the nearest known one."""
    if name not in scheme_names():
        raise UsageError(f"There is no scheme {name!r}.", hint=nearest(name, scheme_names()))
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    scheme: Scheme = module.SCHEME
    return scheme
