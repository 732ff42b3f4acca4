"""What a model file needs beside it: OpenVINO's `.bin`, the external weights of an ONNX graph."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgeanim.core.errors import BadInput
from edgeanim.graph.reading.external import external_files
from edgeanim.targets.backends import backend_names, get_backend


def with_companions(path: Path, name: str) -> dict[str, Path]:
    """The file `path`, to be called `name` elsewhere, and what it needs beside it, by the names
    that all of it must have there, itself first. Files of other kinds need nothing.

    `BadInput` for external weights that are missing or outside the folder of `path`.
    """
    there = PurePosixPath(name)
    found = {name: path}
    suffixes = {s for n in backend_names() for s in _suffixes_beside(n, path.suffix.lower())}
    found |= {str(there.with_suffix(suffix)): path.with_suffix(suffix) for suffix in suffixes}
    if path.suffix.lower() == ".onnx":
        for file in external_files(path):
            beside = str(there.parent / file.relative_to(path.parent).as_posix())
            if found.setdefault(beside, file) != file:
                raise BadInput(
                    f"{file.name} cannot lie beside {there.name}, as the graph asks.",
                    where=path,
                    hint="Give the file of its weights another name.",
                )
    return found


def _suffixes_beside(backend: str, suffix: str) -> tuple[str, ...]:
    main, *others = get_backend(backend).suffixes
    return tuple(others) if main == suffix else ()
