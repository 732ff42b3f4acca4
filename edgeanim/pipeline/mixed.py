"""`--method mixed`: INT8 with float islands, the fastest set that measurably keeps to the limit.

The cheap error of each layer and the time of each node, both measured, give a path from all INT8 to
nearly all float (`quantize.mixed.islands`). Sets of islands on the path are played on the held-out
frames and timed beside float, by bisection; then single islands return to INT8 as long as the limit
holds (`pipeline.island_search`), in other light too (`pipeline.frames.lights`): a search for speed
leaves no margin of its own.
Every trial is kept in the store under the machine that it was timed on, so a killed search goes on
where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.machine.environment import describe
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.scratch import scratch_folder
from edgeanim.pipeline.frames.lights import Likeness, drift_relit, excess
from edgeanim.pipeline.island_search import Layer, drop_costly, shortest_within
from edgeanim.pipeline.methods import Job, MeasuredIslands, Outcome, histograms_of, kept_by_graph
from edgeanim.pipeline.timing import measure_frames, profile_nodes, weight_of
from edgeanim.pipeline.variants import make_variant
from edgeanim.pipeline.work import artifact_digest, versions
from edgeanim.quantize.mixed.islands import (
    FloatGraph,
    Search,
    Times,
    estimated_times,
    node_times,
    read_graph,
)
from edgeanim.quantize.mixed.sensitivity import layer_errors
from edgeanim.quantize.schemes import get_scheme
from edgeanim.quantize.schemes.base import weight_limit
from edgeanim.targets.bundle import Variant

_RECORD = "trial.json"


@dataclass(frozen=True)
class _Trial:
    drift: Drift
    relit: Likeness | None
    ms: float | None
    float_ms: float | None


@dataclass(frozen=True)
class _Analysis:
    """What is known of a model before the search; layers are (graph, node)."""

    errors: dict[str, dict[str, float]]
    times: dict[str, Times]


def mixed(job: Job, spec: QuantizeSpec) -> Outcome:
    """INT8 with float islands; the fastest measured one within the limit, else the nearest."""
    job.alone()
    with scratch_folder("mixed") as scratch:
        search = _prepare(job, spec, scratch)
    trials = _Trials(job, spec, search)
    path = search.path()
    if not trials.within(()) and not trials.within(path):
        # The path begins with what float is faster at, so its end may keep what errs most in INT8.
        path = search.safest()
    shortest_within(trials, path)
    drop_costly(trials, path)
    return trials.outcome()


class _Trials:
    """The sets of islands tried so far, each played and timed once."""

    def __init__(self, job: Job, spec: QuantizeSpec, search: Search) -> None:
        self.job, self.search = job, search
        self._spec = spec
        self._float = make_variant(job.work, job.backend, job.model.graphs)
        self._golden = job.reference_digest
        self._seen: dict[frozenset[Layer], MeasuredIslands] = {}

    def within(self, floats: Iterable[Layer]) -> bool:
        """Whether INT8 with these layers in float keeps to the limit."""
        return self._excess(self.point(floats)) <= 1

    def known_within(self, floats: Iterable[Layer]) -> bool:
        """Whether it was tried already and kept to the limit."""
        point = self._seen.get(frozenset(floats))
        return point is not None and self._excess(point) <= 1

    def _excess(self, point: MeasuredIslands) -> float:
        return excess(self.job.limit, point, point.relit)

    def point(self, floats: Iterable[Layer]) -> MeasuredIslands:
        """What INT8 with these layers in float is like, measured."""
        key = frozenset(floats)
        if key not in self._seen:
            trial = self._trial(self._with(key))
            self._seen[key] = MeasuredIslands(
                tuple(sorted(f"{graph}:{node}" for graph, node in key)),
                trial.drift.drift_mean,
                trial.drift.ssim_p5,
                trial.drift.ssim_worst,
                trial.ms,
                trial.float_ms,
                self.search.time(key) / 1000 if self.job.work.is_here else None,
                trial.relit,
            )
        return self._seen[key]

    def outcome(self) -> Outcome:
        """The fastest point within the limit, else the one that is nearest to it; the curve."""
        points = sorted(self._seen.values(), key=lambda point: len(point.floats))
        good = [point for point in points if self._excess(point) <= 1]
        nearest = min(points, key=self._excess)
        best = min(good, key=_slowness, default=nearest)
        chosen = next(floats for floats, point in self._seen.items() if point is best)
        spec = self._with(chosen)
        graphs = self.job.quantized(spec)
        drift = self._trial(spec).drift
        return Outcome(graphs, spec.ranges, drift, "mixed", best.floats, tuple(points))

    def _with(self, floats: frozenset[Layer]) -> QuantizeSpec:
        names = {f"{graph}:{node}" for graph, node in floats}
        kept = (*self._spec.keep_float, *sorted(names - set(self._spec.keep_float)))
        return replace(self._spec, keep_float=kept)

    def _trial(self, spec: QuantizeSpec) -> _Trial:
        job, work = self.job, self.job.work
        graphs = job.quantized(spec)
        parts = {
            "graphs": [artifact_digest(graph) for graph in graphs],
            "backend": job.backend,
            "golden": self._golden,
            "board": to_plain(work.board),
            "machine": describe().machine,
            "versions": versions(),
        }

        def find() -> _Trial:
            variant = make_variant(work, job.backend, graphs)
            drift = job.judged(graphs)
            relit = drift_relit(work, job.model, variant, job.relit)
            ms = self._timed(variant) if work.is_here else {}
            return _Trial(drift, relit, ms.get("int8"), ms.get("float"))

        return work.record("trial", parts, _RECORD, _Trial, find)

    def _timed(self, variant: Variant) -> dict[str, float]:
        pair = {"float": self._float, "int8": variant}
        return measure_frames(self.job.work, self.job.model, pair, self.job.samples)


def _slowness(point: MeasuredIslands) -> float:
    """Time relative to float measured beside it, which a busy machine slows down alike; where no
    times are measured, the number of islands."""
    if point.ms is None or point.float_ms is None:
        return float(len(point.floats))
    return point.ms / point.float_ms


def _prepare(job: Job, spec: QuantizeSpec, scratch: Path) -> Search:
    """Read the graphs and measure each layer's error and each node's time, from the store where
    it was done before."""
    graphs: dict[str, FloatGraph] = {}
    kept = kept_by_graph(job.model, spec.keep_float)
    for graph in job.model.graphs:
        name = graph.spec.name
        graphs[name] = read_graph(graph.path, scratch / f"{name}.onnx").keeping(kept[name])
    parts = {
        "graphs": [artifact_digest(graph) for graph in job.model.graphs],
        "samples": {name: samples.digest for name, samples in job.samples.items()},
        "backend": job.backend,
        "spec": to_plain(spec),
        "board": to_plain(job.work.board),
        "machine": describe().machine,
        "versions": versions(),
    }

    def find() -> _Analysis:
        return _Analysis(_errors(job, spec, graphs, scratch), _times(job, spec, graphs, scratch))

    found = job.work.record("sensitivity", parts, _RECORD, _Analysis, find)
    errors = {
        (graph, node): error
        for graph, nodes in found.errors.items()
        for node, error in nodes.items()
    }
    return Search(graphs, found.times, errors)


def _errors(
    job: Job, spec: QuantizeSpec, graphs: dict[str, FloatGraph], scratch: Path
) -> dict[str, dict[str, float]]:
    work = job.work
    work.progress.stage("Error of each layer", sum(len(g.candidates()) for g in graphs.values()))
    errors = {}
    for graph in job.model.graphs:
        name = graph.spec.name
        named = GraphArtifact(graph.spec, scratch / f"{name}.onnx")
        histograms = histograms_of(work, graph, job.samples[name], "onnx-qdq")
        errors[name] = layer_errors(
            named.path,
            graph.spec,
            graphs[name].candidates(),
            job.samples[name],
            histograms,
            spec.ranges,
            weight_limit=weight_limit(get_scheme(job.scheme), spec, work.board),
        )
        work.progress.step(len(errors[name]), name)
    work.progress.done()
    return errors


def _times(
    job: Job, spec: QuantizeSpec, graphs: dict[str, FloatGraph], scratch: Path
) -> dict[str, Times]:
    work = job.work
    quantized = job.quantized(spec)
    work.progress.stage(f"Time of each node on {job.backend}", len(graphs))
    times = {}
    for graph, int8 in zip(job.model.graphs, quantized, strict=True):
        name, own = graph.spec.name, graphs[graph.spec.name]
        named = GraphArtifact(graph.spec, scratch / f"{name}.onnx")
        times[name] = _graph_times(job, named, int8, own)
        work.progress.step(note=name)
    work.progress.done()
    return times


def _graph_times(job: Job, named: GraphArtifact, int8: GraphArtifact, own: FloatGraph) -> Times:
    weight = weight_of(named.spec)
    if not job.work.is_here:
        return estimated_times(own, 1e6, 5e5, weight)
    work, spec = job.work, named.spec
    compiled = (work.compile(named, job.backend), work.compile(int8, job.backend))
    profiles = [profile_nodes(work, graph, spec, job.samples) for graph in compiled]
    if profiles[0] is not None and profiles[1] is not None:
        return node_times(own, profiles[0], profiles[1], weight)
    pair = {
        name: Variant(job.backend, graph.precision, (graph,))
        for name, graph in zip(("float", "int8"), compiled, strict=True)
    }
    ms = measure_frames(work, job.model, pair, job.samples)
    float_us, int8_us = (1000 * ms[name] / weight for name in pair)
    return estimated_times(own, float_us, int8_us, weight)
