"""The model that a command is given: a folder, an .onnx, an exported program (.pt2), a training's
folder, or `shipped`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import CONTRACT_FILE, Contract
from edgeanim.core.errors import BadInput, disk_errors, named
from edgeanim.core.files import sha256_bytes, sha256_file, sha256_files, write_bytes, write_text
from edgeanim.core.parsing import load_json
from edgeanim.graph.inspect import refused_ops
from edgeanim.graph.load import Model, load_model
from edgeanim.graph.pytorch.program import SUFFIX as PROGRAM
from edgeanim.graph.queries import FLOAT_WANTED, REMAINING, quantized_already
from edgeanim.graph.reading.external import external_files
from edgeanim.graph.reading.protobuf import parse_onnx
from edgeanim.models.shipped_files import ARCHITECTURE, WEIGHTS, is_shipped, shipped
from edgeanim.pipeline.frames.material import Material
from edgeanim.pipeline.work import Work, artifact_digest, versions
from edgeanim.targets.backends import ThroughTorch, get_backend
from edgeanim.targets.bundle import SUFFIX
from edgeanim.targets.on.payload import files_of

_REFUSED = "refused.json"


def open_model(name: str | Path, work: Work) -> Model:
    """Load and check the model called `name`; an animator is exported from its weights once, and an
    .onnx of the user's is made static and float32 if that is all that it lacks. `BadInput` also if
    it is quantised already."""
    path, changes = adopted(model_path(name, work), work)
    if changes:
        work.progress.done(" ".join(changes))
        work.progress.stage("Check the model")
    with named(name) if changes else nullcontext():
        model = load_model(path)
    for graph in model.graphs:
        _must_be_float(graph)
    return model


def refuse_obstacles(
    work: Work, model: Model, backends: Iterable[str], *, prunes: bool = False
) -> None:
    """`BadInput`, in the words of `inspect`, if one of `backends`, or pruning, is sure not to take
    the graphs: before golden frames are made and samples collected for it."""
    through = [name for name in backends if isinstance(get_backend(name), ThroughTorch)]
    for graph in model.graphs if through or prunes else ():
        if refused := _refused(work, graph):
            raise BadInput(" ".join(refused), where=graph.path, hint=REMAINING)


def _refused(work: Work, graph: GraphArtifact) -> list[str]:
    """The answer of `refused_ops`, kept in the store: a run that finds all else there would import
    PyTorch for it, which takes longer than the run."""
    parts = {"graph": artifact_digest(graph), "versions": versions()}

    def make(folder: Path) -> None:
        write_text(folder / _REFUSED, json.dumps(refused_ops(graph)))

    folder, _ = work.build("refused", parts, make)
    return list(map(str, load_json(folder / _REFUSED)))


def _must_be_float(graph: GraphArtifact) -> None:
    told = quantized_already(parse_onnx(graph.path))
    if told is not None:
        raise BadInput(told, where=graph.path, hint=FLOAT_WANTED)


def model_path(name: str | Path, work: Work) -> Path:
    """Where the model called `name` lies; a file or folder of the user's own goes before ours."""
    if is_shipped(name):
        with shipped(ARCHITECTURE) as path:
            return exported(path.parent, work)
    path = Path(name)
    if path.suffix.lower() == PROGRAM and path.is_file():
        return _of_program(path, work)
    return exported(path, work) if is_animator(path) else path


def adopted(path: Path, work: Work) -> tuple[Path, tuple[str, ...]]:
    """An .onnx as the static float32 one in the store that it means, with a sentence for each thing
    that was changed; itself where nothing has to be (see `graph.reading.adopt`)."""
    from edgeanim.graph.reading.adopt import adopt

    if not path.is_file() or (found := adopt(path)) is None:
        return path, ()
    files = (path, *external_files(path))
    parts = {"name": path.name, "model": sha256_files(files), "versions": versions()}

    def make(folder: Path) -> None:
        data = found.model().SerializeToString(deterministic=True)
        write_bytes(folder / path.name, data)

    folder, _ = work.build("adopt", parts, make)
    return folder / path.name, found.changes


def files_of_model(name: str | Path) -> list[Path]:
    """The files that the model called `name` may be read from: a bundle among them is none."""
    path = Path(name)
    with disk_errors(path):
        if not path.exists():
            return []
    return [file for file in files_of(path, path.name).values() if file.suffix != SUFFIX]


def is_animator(folder: Path) -> bool:
    """Whether a training left its weights here, and nobody put a model beside them."""
    files = (folder / WEIGHTS, folder / ARCHITECTURE)
    with disk_errors(folder):
        return all(file.is_file() for file in files) and not (folder / CONTRACT_FILE).exists()


def exported(folder: Path, work: Work) -> Path:
    """The animator in `folder` as a model folder in the store."""
    from edgeanim.models.export import export_animator, open_animator

    digests = (sha256_file(folder / name) for name in (ARCHITECTURE, WEIGHTS))
    parts = {"weights": sha256_bytes(" ".join(digests).encode()), "versions": versions()}

    def make(out: Path) -> None:
        export_animator(out, open_animator(folder))

    made, _ = work.build("export", parts, make)
    return made


def _of_program(path: Path, work: Work) -> Path:
    """An exported program as a model folder in the store, called like the file: so is the model."""
    from edgeanim.pipeline.export import export

    parts = {"name": path.stem, "program": sha256_file(path), "versions": versions()}

    def make(folder: Path) -> None:
        export(path, out=folder / path.stem)

    made, _ = work.build("program", parts, make)
    return made / path.stem


def default_material(contract: Contract, frames: int | None = None) -> Material | None:
    """What a model that animates by the regions of our animator is calibrated and judged on, with
    at least so many `frames` if that is given: one that was pruned or trained further is still one.
    `None` for any other model."""
    from edgeanim.models.regions import REGIONS, SKELETON
    from edgeanim.pipeline.frames.shipped import shipped_material

    if (contract.regions, contract.skeleton) != (REGIONS, SKELETON):
        return None
    return shipped_material(frames)
