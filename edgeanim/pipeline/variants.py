"""A model folder's INT8 forms: where they lie, and how a variant is put together and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift, measure_drift
from edgeanim.core.artifact import FLOAT32, FloatPrecision, GraphArtifact
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.graph.load import Model
from edgeanim.pipeline.structure import restructured
from edgeanim.pipeline.work import Work, play, player_of
from edgeanim.runtime.golden import Golden
from edgeanim.targets.bundle import Variant

INT8_FOLDER = "int8"


def find_int8(folder: Path, model: Model) -> dict[str, tuple[GraphArtifact, ...]]:
    """The INT8 forms that a model folder holds: scheme name to the graphs in that scheme."""
    found = {}
    root = folder / INT8_FOLDER
    for scheme in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else ():
        graphs = []
        for graph in model.graphs:
            main = main_file(scheme / graph.spec.name)
            graphs.append(GraphArtifact(graph.spec, main, scheme.name))
        found[scheme.name] = tuple(graphs)
    return found


def make_variant(
    work: Work,
    backend: str,
    graphs: tuple[GraphArtifact, ...],
    floats: FloatPrecision = FLOAT32,
) -> Variant:
    """Compile every graph for `backend`, float ones restructured, and put the variant together."""
    best = tuple(restructured(work, graph, backend) for graph in graphs)
    return compile_all(work, backend, best, floats)


def compile_all(
    work: Work,
    backend: str,
    graphs: tuple[GraphArtifact, ...],
    floats: FloatPrecision = FLOAT32,
) -> Variant:
    """Compile every graph for `backend` as it is, and put the variant together; what is not INT8
    computes in `floats`."""
    compiled = []
    for graph in graphs:
        compiled.append(work.compile(replace(graph, floats=floats), backend))
        work.progress.step(note=f"{backend} {graph.spec.name}")
    return Variant(backend, compiled[0].precision, tuple(compiled))


def drift_of(work: Work, model: Model, variant: Variant, golden: Golden) -> Drift:
    """Play the golden scene with `variant` and compare with the float32 original's frames."""
    with player_of(work, model.contract, variant) as player:
        return measure_drift(play(player, golden.scene), golden.frames)


def main_file(folder: Path) -> Path:
    """The file to load of a quantised graph's folder; `BadInput` unless there is exactly one.

    OpenVINO's IR is two files, of which the `.bin` is found beside the other.
    """
    with disk_errors(folder):
        files = [path for path in folder.iterdir() if path.suffix != ".bin"]
    if len(files) != 1:
        raise BadInput(f"One quantised graph is expected here, not {len(files)}.", where=folder)
    return files[0]
