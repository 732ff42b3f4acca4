"""What has to be compiled before it can be measured or played."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from edgeanim.core.contract import CONTRACT_FILE
from edgeanim.core.errors import BadInput, UsageError, disk_errors
from edgeanim.graph.pytorch.program import SUFFIX as PROGRAM
from edgeanim.models.shipped_files import ARCHITECTURE, is_shipped

_OF_MODELS = (CONTRACT_FILE, ARCHITECTURE)
"""What a folder of graphs holds, or one that a training wrote."""


def require_compiled(subjects: Sequence[str | Path]) -> None:
    """`BadInput` for a folder, the shipped animator or a program: no runtime plays these.
    `UsageError` for nothing at all."""
    if not subjects:
        raise UsageError("There is nothing to measure.", hint="Give a bundle (.eab), or models.")
    for subject in subjects:
        folder = Path(subject)
        with disk_errors(folder):
            is_folder = folder.is_dir()
            is_program = folder.suffix.lower() == PROGRAM and folder.is_file()
        if is_folder and not any((folder / name).is_file() for name in _OF_MODELS):
            raise BadInput(
                f"This folder holds no {CONTRACT_FILE}, so it is no model.",
                where=subject,
                hint="Give a bundle (.eab), which `edgeanim compile` writes.",
            )
        if is_shipped(subject) or is_folder or is_program:
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
        hint=f"Compile it first: edgeanim compile {shlex.quote(str(subject))} -o net.eab",
    )
