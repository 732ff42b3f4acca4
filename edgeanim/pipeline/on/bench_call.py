"""A bench as a call to another machine: its options, and the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeanim.pipeline.bench import Benched
from edgeanim.pipeline.on.far_end import PUSHED, REPORT
from edgeanim.pipeline.on.pictures import PICTURES
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.on.payload import Payload, files_of
from edgeanim.targets.on.remote import Call


def bench_call(benched: Benched, options: Mapping[str, Any]) -> Call:
    """The call of `bench` with all its files; `BadInput` for a file that is not there or damaged,
    before anything is pushed."""
    files: dict[str, Path] = {}

    def push(path: str | Path, name: str) -> str:
        files.update(files_of(Path(path), name))
        return name

    given: dict[str, Any] = {
        "subjects": [push(s, f"{i}/{Path(s).name}") for i, s in enumerate(benched.subjects)],
        "frames": None,
        "inputs": {name: push(path, f"inputs/{name}.npy") for name, path in benched.inputs.items()},
        "values": benched.values,
        "board": str(benched.board),
    }
    if benched.frames is not None:
        called = Path(benched.frames).name
        # A folder named by dots has no name of its own, and none is needed there.
        name = "frames" if called in ("", "..") else f"frames/{called}"
        given["frames"] = PUSHED + push(benched.frames, name)
    if Path(benched.board).suffix == ".toml":
        given["board"] = PUSHED + push(benched.board, "board.toml")
    return Call(
        "bench",
        {**options, **given},
        Payload.of(files),
        _backends(benched),
        (REPORT, PICTURES),
    )


def _backends(benched: Benched) -> tuple[str, ...]:
    """Those that the bundles have variants for, each once."""
    found: dict[str, None] = {}
    for path in benched.bundles:
        with open_bundle(path) as bundle:
            found |= dict.fromkeys(variant.backend for variant in bundle.variants)
    return tuple(found)
