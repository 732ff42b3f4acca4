"""`edgeanim prune`: fewer channels in every graph, recovered by distillation on real frames."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import UsageError
from edgeanim.core.files import must_spare
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.graph.inspect import inspect_graph
from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.calibrate import find_golden, record
from edgeanim.pipeline.clipping import clipping_in_words
from edgeanim.pipeline.frames.given import Source
from edgeanim.pipeline.frames.material import Material, gather
from edgeanim.pipeline.model_folder import PLANS, may_become_model, new_model_folder
from edgeanim.pipeline.models import default_material, files_of_model, open_model, refuse_obstacles
from edgeanim.pipeline.prune_effect import require_effect, require_reach
from edgeanim.pipeline.pruner import Pruner
from edgeanim.pipeline.variants import drift_of, make_variant
from edgeanim.pipeline.work import ALL, REFERENCE, Work
from edgeanim.quantize.pruning.prune import Graphs
from edgeanim.runtime.golden import load_golden

# Frames to fit and recover on: enough to look at importance, more for a larger cut, after which
# more is fitted anew, and for a longer training, which learns a few by heart; but unless asked for
# not so many that what the graphs were given fills a disk: of the animator, 3 MiB a frame.
_LEAST_FRAMES, _MOST_FRAMES = 96, 1024
_FRAMES_BY_RATIO = 512
_OVERSHOT = 1.25


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
    """The model folder written, with each graph's saving and the drift on held-out frames.

    `held_out` says whether the frames judged on were kept out of recovery, `spec` what was done in
    the end, `left` what remains of the cost that its ratio counts. `latency_ms` is the median time
    of a frame on `backend`, measured only where a time was asked for. `note` says what makes the
    drift worth little, such as frames that are nearly all clipped.
    """

    folder: Path
    graphs: tuple[PrunedGraph, ...]
    drift: Drift
    spec: PruneSpec
    backend: str
    held_out: bool
    left: float
    latency_ms: float | None = None
    note: str | None = None

    @property
    def overshoots(self) -> bool:
        """Whether clearly more went than `spec` asks for, as channels go in multiples."""
        return 1 - self.left > _OVERSHOT * self.spec.ratio


def prune(
    model: str | Path,
    *,
    out: str | Path,
    calib: Source | None = None,
    spec: PruneSpec | None = None,
    backend: str = ALL,
    board: str | Path = "local",
    inputs: Mapping[str, str | Path] | None = None,
    progress: Progress = SILENT,
    store: Store | None = None,
    fresh: bool = False,
) -> Pruned:
    """Prune every graph of `model` by `spec` (a quarter of a frame's multiply-accumulates if it is
    not given) and write a model folder to `out`. `calib` is as in `quantize`.

    Times are measured on this machine with `backend`, of `all` the board's first. The folder holds
    the pruned graphs, the plan (JSON) and weights (safetensors) of each below `pruning/`, and
    golden frames of the unpruned model, from which all later drift is counted.

    `GateFailed` with the measured curve if `spec.latency_ms` cannot be reached, `UsageError` if
    `spec` has neither that nor a ratio, if `out` is a folder of anything else than a model, or the
    one that is read, or if `spec` counts time and the board is of another architecture than this
    machine.
    """
    may_become_model(Path(out))
    must_spare(Path(out), files_of_model(model))
    spec = spec or PruneSpec(ratio=0.25)
    if spec.ratio == 0 and spec.latency_ms is None:
        raise UsageError("A ratio of 0 prunes nothing.", hint="Give a `ratio` or a `latency_ms`.")
    work = Work.on(board, store=store, progress=progress, fresh=fresh)
    if spec.of == "time" or spec.latency_ms is not None:
        work.must_be_here()
    (name, *_) = work.backends((backend,))
    progress.stage("Read the model")
    source = open_model(model, work)
    refuse_obstacles(work, source, (), prunes=spec.ratio > 0)
    default = default_material(source.contract, frames_for(spec))
    material = gather(
        source.contract, calib, inputs or {}, limit=2 * frames_for(spec), default=default
    )
    golden = find_golden(work, model, source, material.held_out)
    progress.done()
    return prune_model(work, source, material, golden, Path(out), spec, name)


def prune_model(
    work: Work,
    model: Model,
    material: Material,
    golden: Path,
    out: Path,
    spec: PruneSpec,
    backend: str = REFERENCE,
) -> Pruned:
    """The same for a model, material and golden frames that are at hand."""
    asked_ms, frames = spec.latency_ms, frames_for(spec)
    spec = replace(spec, round_to=spec.round_to or work.board.channel_unit)
    require_reach(model, spec)
    takes = record(work, model, material, frames).takes
    pruner = Pruner(work, model, takes, load_golden(golden).scene, backend)
    if asked_ms is not None:
        spec = replace(spec, ratio=pruner.ratio_for(spec), latency_ms=None)
    cut = pruner.cut(spec)
    graphs = cut.graphs
    rows = _rows(model, graphs)
    require_effect(model, cut, spec)
    files = {name: graph.path for name, graph in graphs.items()}
    with new_model_folder(out, model.contract, files, golden) as partial:
        for name, graph in graphs.items():
            if graph.path != model.graph(name).path:
                _copy_plan(graph, partial / PLANS)
    drift = _judge(work, out, golden)
    latency_ms = None if asked_ms is None else pruner.frame_ms(graphs)
    note, separate = clipping_in_words(model, golden), material.separate
    return Pruned(out, rows, drift, spec, backend, separate, cut.left, latency_ms, note)


def _copy_plan(graph: GraphArtifact, plans: Path) -> None:
    """The plan and the weights that lie beside a pruned graph."""
    plans.mkdir(exist_ok=True)
    for file in graph.path.parent.iterdir():
        if file != graph.path:
            shutil.copyfile(file, plans / f"{graph.spec.name}{file.suffixes[-1]}")


def frames_for(spec: PruneSpec) -> int:
    """How many frames to fit and recover on: as many as `spec` says, else about one for each step
    of training."""
    if spec.frames is not None:
        return spec.frames
    wanted = max(_LEAST_FRAMES, spec.steps, round(_FRAMES_BY_RATIO * spec.ratio))
    return min(wanted, _MOST_FRAMES)


def _rows(model: Model, graphs: Graphs) -> tuple[PrunedGraph, ...]:
    rows = []
    for before in model.graphs:
        old, new = inspect_graph(before), inspect_graph(graphs[before.spec.name])
        rows.append(PrunedGraph(old.spec.name, old.macs, new.macs, old.params, new.params))
    return tuple(rows)


def share_of_frame(model: Model, rows: tuple[PrunedGraph, ...]) -> float:
    """The share of a frame's multiply-accumulates that is gone, 0 where it has none; what runs
    once per still is none of it."""
    each = {graph.spec.name for graph in model.graphs if graph.spec.runs != "once"}
    of_frame = [row for row in rows if row.name in each]
    whole = sum(row.macs_before for row in of_frame)
    return sum(row.macs_before - row.macs_after for row in of_frame) / max(1, whole)


def _judge(work: Work, out: Path, golden: Path) -> Drift:
    pruned = load_model(out)
    work.progress.stage("Judge the pruned model", len(pruned.graphs))
    variant = make_variant(work, REFERENCE, pruned.graphs)
    drift = drift_of(work, pruned, variant, load_golden(golden))
    work.progress.done(f"SSIM {drift.ssim_mean:.4f}")
    return drift
