"""The ways to quantise, by name: each a function from a job and a spec to an outcome.

A job is one model for one backend, with the samples to calibrate on and the frames to judge by. A
new method is a function and a line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeanim.benchmarks.drift import Drift
from edgeanim.core.artifact import GraphArtifact, Samples
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import RANGES, QuantizeSpec
from edgeanim.graph.load import Model
from edgeanim.pipeline.variants import drift_of, main_file, make_variant
from edgeanim.pipeline.work import Work, artifact_digest, versions
from edgeanim.quantize.ranges import RangeTable, load_ranges, save_ranges
from edgeanim.quantize.schemes import get_scheme
from edgeanim.runtime.golden import Golden

Graphs = tuple[GraphArtifact, ...]


@dataclass(frozen=True)
class Job:
    """One model to quantise for one `backend` in the form `scheme`, to drift at most `max_drift`.

    `samples` are the calibration inputs of each graph, `reference` the held-out frames.
    """

    work: Work
    model: Model
    samples: Mapping[str, Samples]
    reference: Golden
    backend: str
    scheme: str
    max_drift: float

    def quantized(self, spec: QuantizeSpec) -> Graphs:
        """Every graph in the job's scheme, from the store where it is already there."""
        self.work.progress.stage(
            f"Quantise to {self.scheme} ({spec.ranges})", len(self.model.graphs)
        )
        kept = kept_by_graph(self.model, spec.keep_float)
        graphs = []
        for graph in self.model.graphs:
            own = replace(spec, keep_float=kept[graph.spec.name])
            graphs.append(self._graph(graph, own))
            self.work.progress.step(note=graph.spec.name)
        self.work.progress.done()
        return tuple(graphs)

    def judged(self, graphs: Graphs) -> Drift:
        """The drift of `graphs`, played by the job's backend, on the held-out frames."""
        self.work.progress.stage(f"Judge INT8 on {self.backend}", len(graphs))
        variant = make_variant(self.work, self.backend, graphs)
        drift = drift_of(self.work, self.model, variant, self.reference)
        self.work.progress.done(f"SSIM {drift.ssim_mean:.4f}")
        return drift

    def _graph(self, graph: GraphArtifact, spec: QuantizeSpec) -> GraphArtifact:
        samples = self.samples[graph.spec.name]
        work = self.work
        parts = {
            "graph": artifact_digest(graph),
            "samples": samples.digest,
            "scheme": self.scheme,
            "spec": to_plain(spec),
            "saturates": work.board.saturates_u8s8,
            "versions": versions(),
        }

        def make(folder: Path) -> None:
            table = ranges_of(work, graph, samples, self.scheme)
            scheme = get_scheme(self.scheme)
            scheme.quantize(graph, samples, spec, work.board, folder, work.compile, table)

        folder, _ = work.store.build("quantize", parts, make, fresh=work.fresh)
        return GraphArtifact(graph.spec, main_file(folder), self.scheme)


def ranges_of(work: Work, graph: GraphArtifact, samples: Samples, scheme: str) -> RangeTable:
    """The ranges of a float graph's tensors that `scheme` needs, collected once for all methods."""
    collector = get_scheme(scheme)
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "watches": collector.watches,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        save_ranges(collector.collect(graph, samples, work.board, work.compile), folder)

    folder, _ = work.store.build("ranges", parts, make)
    return load_ranges(folder)


@dataclass(frozen=True)
class Outcome:
    """The graphs that a method arrived at, by what ranges, and their drift."""

    graphs: Graphs
    ranges: str
    drift: Drift


Method = Callable[[Job, QuantizeSpec], Outcome]


def ptq(job: Job, spec: QuantizeSpec) -> Outcome:
    """Post-training quantisation with the ranges given."""
    graphs = job.quantized(spec)
    return Outcome(graphs, spec.ranges, job.judged(graphs))


def auto(job: Job, spec: QuantizeSpec) -> Outcome:
    """`ptq`; where that drifts too far, with the other ranges as well: the first within the limit,
    else what drifts least."""
    best = ptq(job, spec)
    for ranges in RANGES:
        if best.drift.drift_mean <= job.max_drift:
            break
        if ranges != spec.ranges:
            other = ptq(job, replace(spec, ranges=ranges))
            best = min(best, other, key=lambda outcome: outcome.drift.drift_mean)
    return best


METHODS: Mapping[str, Method] = {"auto": auto, "ptq": ptq}


def kept_by_graph(model: Model, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The nodes to keep in float, by graph, from `GRAPH:NODE`, or `NODE` for a single graph."""
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
    return kept
