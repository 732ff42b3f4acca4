"""The method `distil`: the float graphs are trained for INT8, then quantised like any other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline.methods import Job, Outcome, graph_specs, mixed, ptq
from edgeanim.pipeline.structure import restructured_model
from edgeanim.pipeline.work import artifact_digest, versions
from edgeanim.quantize.distillation.distil import MIN_SAMPLES, Grids, distil_graph, trains_any_of
from edgeanim.quantize.schemes import get_scheme
from edgeanim.quantize.schemes.base import weight_limit

_STATES = "distil-states"


def distil(job: Job, spec: QuantizeSpec) -> Outcome:
    """Distil every graph with enough samples, then `ptq`; or plain `ptq` where that is as good; or
    untrained with float islands where both drift too far and that comes nearer. (Islands do not
    bring trained weights back: they make up for rounding, which is not there in float.)

    The trained graphs are kept in the store and serve all backends that round alike; a killed run
    goes on from its last check. They are trained as they came, since channels cannot be equalised
    across what restructuring splits and packs. What is handed back says by its method what it is.
    """
    plain = ptq(job, spec)
    specs = graph_specs(job.model, spec)
    graphs = tuple(_distilled(job, graph, specs[graph.spec.name]) for graph in job.given.graphs)
    digest = Store.key(graphs=[artifact_digest(graph) for graph in graphs])
    given = replace(job.given, graphs=graphs, digest=digest)
    trained = replace(job, given=given, model=restructured_model(job.work, given, job.backend))
    # Training has decided which way each weight is rounded.
    nearest = replace(spec, rounding="nearest")
    made = [plain, replace(ptq(trained, nearest), method="distil")]
    if not any(job.limit.holds(outcome.drift) for outcome in made):
        made.append(mixed(job, spec))
    best = min(made, key=lambda outcome: job.limit.excess(outcome.drift))
    # The curve is kept whatever came nearest: where the limit cannot be reached, it shows why.
    return replace(best, curve=made[-1].curve)


def _distilled(job: Job, graph: GraphArtifact, spec: QuantizeSpec) -> GraphArtifact:
    samples, work = job.samples[graph.spec.name], job.work
    once = len(samples) < MIN_SAMPLES  # a graph that runs once per still
    if once or not trains_any_of(graph.path, spec.keep_float):
        return graph
    scheme = get_scheme(job.scheme)
    limit = weight_limit(scheme, spec, work.board)
    grids = Grids(spec.ranges, spec.keep_float, limit, scheme.rounds_results)
    parts = {
        "graph": artifact_digest(graph),
        "samples": samples.digest,
        "spec": to_plain(spec.distil),
        **to_plain(grids),
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
            grids=grids,
            state=state,
            progress=work.progress,
        )

    folder, _ = work.build("distil", parts, make)
    shutil.rmtree(state, ignore_errors=True)
    (path,) = folder.glob("*.onnx")
    return GraphArtifact(graph.spec, path)
