"""`edgeanim prune`: fewer channels in every graph, recovered by distillation on real frames."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.drift import Drift
from edgeanim.core.artifact import GraphArtifact, Samples
from edgeanim.core.errors import UsageError
from edgeanim.core.files import atomic_folder
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.graph.inspect import inspect_graph
from edgeanim.graph.load import Model, load_model, save_model
from edgeanim.pipeline.calibrate import GOLDEN_FILE, find_golden, record_samples
from edgeanim.pipeline.material import Material, gather
from edgeanim.pipeline.models import default_material, open_model
from edgeanim.pipeline.variants import drift_of, make_variant
from edgeanim.pipeline.work import REFERENCE, Work, artifact_digest, versions
from edgeanim.quantize.prune import prune_graph
from edgeanim.runtime.golden import load_golden

PLANS = "pruning"


@dataclass(frozen=True)
class PrunedGraph:
    """What pruning did to one graph: multiply-accumulates and parameters before and after."""

    name: str
    macs_before: int
    macs_after: int
    params_before: int
    params_after: int


@dataclass(frozen=True)
class Pruned:
    """The model folder written, with each graph's saving and the drift on held-out frames."""

    folder: Path
    graphs: tuple[PrunedGraph, ...]
    drift: Drift


def prune(
    model: str | Path,
    *,
    out: str | Path,
    calib: str | Path | None = None,
    spec: PruneSpec | None = None,
    board: str | Path = "local",
    inputs: Mapping[str, Path] | None = None,
    progress: Progress = SILENT,
    store: Store | None = None,
    fresh: bool = False,
) -> Pruned:
    """Prune every graph of `model` by `spec` and write a model folder to `out`.

    The folder holds the pruned graphs, the plan (JSON) and weights (safetensors) of each below
    `pruning/`, and golden frames of the unpruned model, from which all later drift is counted.
    """
    work = Work.on(board, store=store, progress=progress, fresh=fresh)
    spec = spec or PruneSpec(ratio=0.25)
    progress.stage("Read the model")
    source = open_model(model, work)
    default = default_material(model)
    material = gather(source.contract, calib, inputs or {}, limit=96, default=default)
    golden = find_golden(work, model, source, material.held_out)
    progress.done()
    return prune_model(work, source, material, golden, Path(out), spec)


def prune_model(
    work: Work, model: Model, material: Material, golden: Path, out: Path, spec: PruneSpec
) -> Pruned:
    """The same for a model, material and golden frames that are at hand."""
    samples = record_samples(work, model, material, count=48)
    graphs = {
        graph.spec.name: _pruned_graph(work, graph, samples[graph.spec.name], spec)
        for graph in model.graphs
    }
    if spec.ratio and all(
        artifact_digest(g) == artifact_digest(graphs[g.spec.name]) for g in model.graphs
    ):
        raise UsageError(
            f"A ratio of {spec.ratio:g} removes nothing from this model when channels are kept in "
            f"multiples of {spec.round_to}.",
            hint="Raise --ratio or lower --round-to.",
        )
    with atomic_folder(out) as partial:
        save_model(model.contract, {name: graph.path for name, graph in graphs.items()}, partial)
        for name, graph in graphs.items():
            for file in graph.path.parent.iterdir():
                if file != graph.path:
                    (partial / PLANS).mkdir(exist_ok=True)
                    shutil.copyfile(file, partial / PLANS / f"{name}{file.suffixes[-1]}")
        shutil.copyfile(golden, partial / GOLDEN_FILE)
    return _describe(work, model, out, golden)


def _pruned_graph(
    work: Work, graph: GraphArtifact, samples: Samples, spec: PruneSpec
) -> GraphArtifact:
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "spec": to_plain(spec),
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        made = prune_graph(graph, samples, spec, folder, work.progress)
        if made.path.parent != folder:  # nothing to prune: the graph as it came
            shutil.copyfile(made.path, folder / graph.path.name)

    folder, _ = work.store.build("prune", parts, make, fresh=work.fresh)
    (path,) = folder.glob("*.onnx")
    return GraphArtifact(graph.spec, path)


def _describe(work: Work, model: Model, out: Path, golden: Path) -> Pruned:
    pruned = load_model(out)
    work.progress.stage("Judge the pruned model", len(pruned.graphs))
    variant = make_variant(work, REFERENCE, pruned.graphs)
    drift = drift_of(work, pruned, variant, load_golden(golden))
    work.progress.done(f"SSIM {drift.ssim_mean:.4f}")
    rows = []
    for before, after in zip(model.graphs, pruned.graphs, strict=True):
        old, new = inspect_graph(before), inspect_graph(after)
        rows.append(PrunedGraph(new.spec.name, old.macs, new.macs, old.params, new.params))
    return Pruned(out, tuple(rows), drift)
