"""The ways to quantise, by name: each a function from a job and a spec to an outcome.

A job is one model for one backend, with the samples to calibrate on and the frames to judge by. A
new method is a function and a line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.runner import scene_digest
from edgeanim.core.artifact import Array, GraphArtifact, Samples
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import sha256_bytes
from edgeanim.core.limit import DriftLimit
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import RANGES, QuantizeSpec, Ranges
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.rewrites.split_convolution import with_parts
from edgeanim.pipeline.frames.lights import Likeness, golden_relit
from edgeanim.pipeline.variants import drift_of, main_file, make_variant
from edgeanim.pipeline.work import Work, artifact_digest, versions
from edgeanim.quantize.ranges.histogram import Histograms, load_histograms, save_histograms
from edgeanim.quantize.rounding import load_kernels, round_kernels, save_kernels
from edgeanim.quantize.schemes import get_scheme, scheme_names
from edgeanim.quantize.schemes.base import weight_limit
from edgeanim.runtime.golden import Golden

Graphs = tuple[GraphArtifact, ...]


@dataclass(frozen=True)
class Job:
    """One model to quantise for one `backend` in the form `scheme`, within `limit`.

    `given` is the model as it came, `model` the same restructured for the backend.
    `samples` are the calibration inputs of each graph, `reference` the held-out frames. `alone`
    waits until nothing else that was begun runs here: times are measured after it.
    """

    work: Work
    given: Model
    model: Model
    samples: Mapping[str, Samples]
    reference: Golden
    backend: str
    scheme: str
    limit: DriftLimit
    alone: Callable[[], None] = lambda: None

    @cached_property
    def relit(self) -> tuple[Golden, ...]:
        """The held-out frames in other light, for the methods that search: made when asked for."""
        return golden_relit(self.work, self.given, self.reference.scene)

    @property
    def reference_digest(self) -> str:
        """Hex SHA-256 of the frames to judge by, in any light."""
        judged = (self.reference, *self.relit)
        scenes = [scene_digest(golden.scene) for golden in judged]
        frames = [sha256_bytes(golden.frames.tobytes()) for golden in judged]
        return Store.key(scenes=scenes, frames=frames)

    def quantized(self, spec: QuantizeSpec) -> Graphs:
        """Every graph in the job's scheme, from the store where it is already there."""
        self.work.progress.stage(
            f"Quantise to {self.scheme} ({spec.ranges})", len(self.model.graphs)
        )
        specs = graph_specs(self.model, spec)
        graphs = []
        for graph in self.model.graphs:
            name = graph.spec.name
            made = quantized_graph(self.work, graph, self.samples[name], self.scheme, specs[name])
            graphs.append(made)
            self.work.progress.step(note=name)
        self.work.progress.done()
        return tuple(graphs)

    def judged(self, graphs: Graphs) -> Drift:
        """The drift of `graphs`, played by the job's backend, on the held-out frames."""
        self.work.progress.stage(f"Judge INT8 on {self.backend}", len(graphs))
        variant = make_variant(self.work, self.backend, graphs)
        drift = drift_of(self.work, self.model, variant, self.reference)
        self.work.progress.done(f"SSIM {drift.ssim_mean:.4f}")
        return drift


def quantized_graph(
    work: Work, graph: GraphArtifact, samples: Samples, scheme: str, spec: QuantizeSpec
) -> GraphArtifact:
    """A float32 `graph` in the form `scheme`, from the store where it is already there. One without
    a convolution to quantise is the float graph in that form."""
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "scheme": scheme,
        "spec": to_plain(spec),
        "arch": work.board.arch,
        "saturates": work.board.saturates_u8s8,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        writer = get_scheme(scheme)
        if not writer.takes_any_of(graph.path, spec.keep_float):
            writer.in_float(graph, folder, work.compile)
            return
        seen = histograms_of(work, graph, samples, scheme)
        compensated = spec.rounding == "compensated"
        kernels = _kernels(work, graph, samples, scheme, spec) if compensated else {}
        writer.quantize(graph, samples, spec, work.board, folder, work.compile, seen, kernels)

    folder, _ = work.build("quantize", parts, make)
    return GraphArtifact(graph.spec, main_file(folder), scheme)


def _kernels(
    work: Work, graph: GraphArtifact, samples: Samples, scheme: str, spec: QuantizeSpec
) -> Mapping[str, Array]:
    """The graph's kernels, each weight rounded to make up for others, once for all schemes and
    methods."""

    def limit_of(name: str) -> float:
        return weight_limit(get_scheme(name), spec, work.board)

    limits = sorted({limit_of(name) for name in scheme_names()})
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "limits": limits,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        for limit, kernels in round_kernels(graph, samples, limits).items():
            save_kernels(kernels, folder / f"{limit:g}")

    folder, _ = work.build("kernels", parts, make)
    return load_kernels(folder / f"{limit_of(scheme):g}")


def histograms_of(work: Work, graph: GraphArtifact, samples: Samples, scheme: str) -> Histograms:
    """Those of a float graph's tensors whose ranges `scheme` needs, collected once for all methods
    of finding them."""
    collector = get_scheme(scheme)
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "watches": collector.watches,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        save_histograms(collector.collect(graph, samples, work.board, work.compile), folder)

    folder, _ = work.build("histograms", parts, make)
    return load_histograms(folder)


@dataclass(frozen=True)
class MeasuredIslands:
    """One measured set of float islands: its drift on the held-out frames and its time.

    `floats` are the nodes kept in float, as GRAPH:NODE, `relit` is the likeness in other light
    (`None` for a model without pictures). `ms` is a frame's time, `float_ms` that of
    the float model run by turns with it, `predicted_ms` what the nodes' own times promised; all
    `None` where the board is not this machine.
    """

    floats: tuple[str, ...]
    drift_mean: float
    ssim_p5: float
    ssim_worst: float
    ms: float | None
    float_ms: float | None
    predicted_ms: float | None
    relit: Likeness | None = None


@dataclass(frozen=True)
class Outcome:
    """The graphs that a method arrived at, by what ranges, and their drift; where it searched for
    float islands, those that it chose and every point that it measured."""

    graphs: Graphs
    ranges: Ranges
    drift: Drift
    method: str = "ptq"
    islands: tuple[str, ...] = ()
    curve: tuple[MeasuredIslands, ...] = ()


Method = Callable[[Job, QuantizeSpec], Outcome]


def ptq(job: Job, spec: QuantizeSpec) -> Outcome:
    """Post-training quantisation with the ranges given."""
    graphs = job.quantized(spec)
    return Outcome(graphs, spec.ranges, job.judged(graphs))


def auto(job: Job, spec: QuantizeSpec) -> Outcome:
    """`ptq`; where that drifts too far, with the other ranges as well; and if none keeps to the
    limit, `mixed` with those that come nearest to it."""
    best = ptq(job, spec)
    for ranges in RANGES:
        if job.limit.holds(best.drift):
            return best
        if ranges != spec.ranges:
            other = ptq(job, replace(spec, ranges=ranges))
            best = min(best, other, key=lambda outcome: job.limit.excess(outcome.drift))
    if job.limit.holds(best.drift):
        return best
    return mixed(job, replace(spec, ranges=best.ranges))


def mixed(job: Job, spec: QuantizeSpec) -> Outcome:
    """See `edgeanim.pipeline.mixed`."""
    from edgeanim.pipeline import mixed as search

    return search.mixed(job, spec)


def distil(job: Job, spec: QuantizeSpec) -> Outcome:
    """See `edgeanim.pipeline.distil`."""
    from edgeanim.pipeline import distil as training

    return training.distil(job, spec)


METHODS: Mapping[str, Method] = {"auto": auto, "ptq": ptq, "mixed": mixed, "distil": distil}


def graphs_in_float(model: Model, spec: QuantizeSpec, scheme: str) -> tuple[str, ...]:
    """The graphs without a convolution that `scheme` rounds, by name. `BadInput` if there are no
    others."""
    specs = graph_specs(model, spec)
    names = tuple(
        graph.spec.name
        for graph in model.graphs
        if not get_scheme(scheme).takes_any_of(graph.path, specs[graph.spec.name].keep_float)
    )
    if len(names) == len(model.graphs):
        raise BadInput(
            f"The model has no convolution with constant weights to quantise to {scheme}.",
            hint="Ship it in float32.",
        )
    return names


def graph_specs(model: Model, spec: QuantizeSpec) -> dict[str, QuantizeSpec]:
    """`spec` for each graph, which names only its own nodes."""
    kept = kept_by_graph(model, spec.keep_float)
    return {name: replace(spec, keep_float=nodes) for name, nodes in kept.items()}


def kept_by_graph(model: Model, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The nodes to keep in float, by graph, from `GRAPH:NODE`, or `NODE` for a single graph; with
    the parts that a convolution was taken apart into."""
    kept: dict[str, tuple[str, ...]] = {graph.spec.name: () for graph in model.graphs}
    for name in names:
        graph, separator, node = name.partition(":")
        if separator and graph in kept:
            kept[graph] += (node,)
        elif len(kept) == 1:
            kept[next(iter(kept))] += (name,)
        else:
            raise UsageError(
                f"{name!r} does not say in which graph.",
                where="--keep-float",
                hint=f"Write GRAPH:NODE with GRAPH one of {', '.join(kept)}.",
            )
    graphs = {graph.spec.name: graph for graph in model.graphs if kept[graph.spec.name]}
    return kept | {
        name: with_parts(kept[name], read_onnx(graph.path)) for name, graph in graphs.items()
    }
