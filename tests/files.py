"""A tree of text files, such as what the kernel tells of a machine below `/proc` and `/sys`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    """Write `files`, texts by their names below `root`; `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
