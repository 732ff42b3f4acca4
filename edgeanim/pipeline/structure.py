"""A float graph in the structure that runs fastest, made once and kept in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeanim.core.artifact import FLOAT32, GraphArtifact
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.core.files import write_bytes
from edgeanim.core.quiet import log
from edgeanim.graph.load import Model
from edgeanim.pipeline.work import Work, artifact_digest, versions
from edgeanim.targets.backends import WideKernels, get_backend

TOLERANCE = 1e-3
"""Of the largest output: sums in another order differ by float32's rounding, which deep nets
amplify; a wrong rewrite differs by far more."""


def restructured(work: Work, graph: GraphArtifact, backend: str) -> GraphArtifact:
    """`graph` as `edgeanim.graph.restructure` gives it for the backend on the board; itself if
    nothing is to gain.

    `GateFailed` if ONNX Runtime no longer runs it, or with other results.
    """
    if graph.scheme != FLOAT32:
        return graph
    runtime = get_backend(backend)
    vectors = runtime.output_vectors if isinstance(runtime, WideKernels) else 1
    lanes = vectors * work.board.channel_unit
    parts = {"graph": artifact_digest(graph), "lanes": lanes, "versions": versions()}

    def make(folder: Path) -> None:
        from edgeanim.graph.reading.read import read_onnx
        from edgeanim.graph.restructure import restructure

        original = read_onnx(graph.path)
        try:
            made = restructure(original, lanes=lanes)
        except BadInput as error:
            log.info("%s keeps its structure: %s", graph.path, error)
            return
        if made:
            _check(graph, original, made.model)
            payload = made.model.SerializeToString(deterministic=True)
            write_bytes(folder / f"{graph.spec.name}.onnx", payload)

    folder, _ = work.build("structure", parts, make)
    made = folder / f"{graph.spec.name}.onnx"
    return GraphArtifact(graph.spec, made) if made.is_file() else graph


def restructured_model(work: Work, model: Model, backend: str) -> Model:
    """`model` with all its graphs restructured; its contract and digest stay."""
    graphs = (restructured(work, graph, backend) for graph in model.graphs)
    return replace(model, graphs=tuple(graphs))


def _check(graph: GraphArtifact, original: object, made: object) -> None:
    from edgeanim.graph.reference import Reference, deviation, seeded_inputs

    inputs = seeded_inputs(graph.spec.inputs)
    wanted = Reference(original, where=graph.path).run(inputs)
    try:
        found = Reference(made, where=graph.path).run(inputs)
    except BadInput as refused:
        raise _fault(graph, f"does not run: {refused.what}") from refused
    error = max(deviation(wanted[name], found[name]) for name in wanted)
    if not error <= TOLERANCE:
        raise _fault(graph, f"differs by {error:.2g}.")


def _fault(graph: GraphArtifact, what: str) -> GateFailed:
    return GateFailed(
        f"Restructured for speed, the graph {graph.spec.name!r} {what}",
        where=graph.path,
        hint="This is a fault of edgeanim: please report it with the model.",
    )
