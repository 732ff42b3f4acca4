"""The method `distil`: the float graphs are trained for INT8, then quantised like any other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.methods import Job, Outcome, kept_by_graph, mixed, ptq
from edgeanim.pipeline.structure import restructured_model
from edgeanim.pipeline.work import artifact_digest, versions
from edgeanim.quantize.distil import MIN_SAMPLES, distil_graph
from edgeanim.quantize.fake_quant import SAFE_WEIGHT_LIMIT, WEIGHT_LIMIT
from edgeanim.quantize.schemes.base import seven_bits

_STATES = "distil-states"


def distil(job: Job, spec: QuantizeSpec) -> Outcome:
    """Distil every graph with enough samples, then `ptq`; where that still drifts too far, with
    float islands; or plain `ptq` where nothing else comes nearer to the limit.

    The trained graphs are kept in the store and serve all backends; a killed run goes on from its
    last check. They are trained as they came, since channels cannot be equalised across what
    restructuring splits and packs. They are trained for the strictest of the grids, so a backend
    that rounds less may be better off without: what is handed back says by its method which it was.
    """
    plain = ptq(job, spec)
    kept = kept_by_graph(job.model, spec.keep_float)
    graphs = tuple(
        _distilled(job, graph, replace(spec, keep_float=kept[graph.spec.name]))
        for graph in job.given.graphs
    )
    digest = Store.key(graphs=[artifact_digest(graph) for graph in graphs])
    given = replace(job.given, graphs=graphs, digest=digest)
    trained = replace(job, given=given, model=restructured_model(job.work, given, job.backend))
    made = ptq(trained, spec)
    if not job.limit.holds(made.drift):
        made = mixed(trained, spec)
    if job.limit.excess(plain.drift) <= job.limit.excess(made.drift):
        return plain
    return replace(made, method="distil")


def _distilled(job: Job, graph: GraphArtifact, spec: QuantizeSpec) -> GraphArtifact:
    samples, work = job.samples[graph.spec.name], job.work
    if len(samples) < MIN_SAMPLES:  # a graph that runs once per still
        return graph
    limit = SAFE_WEIGHT_LIMIT if seven_bits(spec, work.board) else WEIGHT_LIMIT
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "spec": to_plain(spec.distil),
        "ranges": spec.ranges,
        "keep_float": list(spec.keep_float),
        "weight_limit": limit,
        "versions": versions(),
    }
    state = work.store.root / _STATES / Store.key(stage="distil", **parts)[:32]
    if work.fresh:
        shutil.rmtree(state, ignore_errors=True)

    def make(folder: Path) -> None:
        distil_graph(
            graph,
            samples,
            spec.distil,
            folder,
            ranges=spec.ranges,
            keep_float=spec.keep_float,
            weight_limit=limit,
            state=state,
            progress=work.progress,
        )

    folder, _ = work.store.build("distil", parts, make, fresh=work.fresh)
    shutil.rmtree(state, ignore_errors=True)
    (path,) = folder.glob("*.onnx")
    return GraphArtifact(graph.spec, path)
