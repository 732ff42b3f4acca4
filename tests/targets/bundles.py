"""A tiny bundle's parts, and what someone who tampers with bundles does."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant

SPEC = GraphSpec(
    "tiny",
    "tiny.onnx",
    "frame",
    inputs=(TensorSpec("image", "driving_frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),),
    outputs=(TensorSpec("result", "frame", (1, 3, 8, 8), "NCHW", range=(0.0, 1.0)),),
)


CONTRACT = Contract("tiny", (SPEC,))


PROVENANCE = {"recipe": {"prune": 0.5}, "tools": {"numpy": "2"}, "none": None}


SEAL = b"edgeanim-sha256:"


def make_variant(folder: Path, backend: str = "null") -> Variant:
    compiled = get_backend("null").compile(
        GraphArtifact(SPEC, folder / "unused"), load_board("local"), folder
    )
    return Variant(backend, "float32", (replace(compiled, backend=backend),))


def sealed(path: Path) -> Path:
    """Seal an archive anew, as someone who tampers with it would."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = SEAL + b"0" * 64
    body = path.read_bytes()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    return path


def rebuilt(bundle: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with its members changed and sealed anew."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return sealed(target)


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()

    return apply
