"""What has to be compiled before it can be measured or played."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeanim.core.errors import BadInput
from edgeanim.models.shipped_files import is_shipped


def require_compiled(subjects: Sequence[str | Path]) -> None:
    """`BadInput` for a model folder or the shipped animator: no runtime plays these."""
    for subject in subjects:
        if is_shipped(subject) or Path(subject).is_dir():
            raise _not_compiled(subject)


def require_bundle(path: str | Path) -> None:
    """`BadInput` for what would first have to be compiled into a bundle, an ONNX file among it."""
    require_compiled([path])
    if Path(path).suffix.lower() == ".onnx" and Path(path).is_file():
        raise _not_compiled(path)


def _not_compiled(subject: str | Path) -> BadInput:
    return BadInput(
        "This is a model that is not compiled yet.",
        where=subject,
        hint=f"Compile it first: edgeanim compile {subject} -o net.eab",
    )
