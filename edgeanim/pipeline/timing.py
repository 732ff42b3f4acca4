"""How long a frame takes, measured side by side in this process: for searches, not for reports.

A report's figures come from `edgeanim bench`, in fresh processes and with intervals. A search asks
which of two variants is faster, many times over, so it measures briefly and by turns; with one
thread in processor time, from which time-slices given to others are absent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from edgeanim.core.artifact import Array, CompiledGraph, Samples, relayout
from edgeanim.core.contract import GraphSpec
from edgeanim.graph.load import Model
from edgeanim.pipeline.work import Work
from edgeanim.targets.backends import NodeTime, Session, TimesNodes, get_backend
from edgeanim.targets.bundle import Variant

# A graph that runs once a still counts as if a still were shown for so many frames.
FRAMES_PER_STILL = 100
_PROFILED_RUNS = 8
_ROUNDS = 25
_SECONDS = 2.0

Feed = Mapping[str, Array]


def weight_of(spec: GraphSpec) -> float:
    """How often a graph runs per frame shown."""
    return 1 / FRAMES_PER_STILL if spec.runs == "once" else 1.0


def measure_frames(
    work: Work, model: Model, variants: Mapping[str, Variant], samples: Mapping[str, Samples]
) -> dict[str, float]:
    """Milliseconds a frame of each variant: the least of some rounds in which all run by turns.

    The least, because whatever else runs on the machine only ever adds.
    """
    threads = max(work.options(variant.backend).threads for variant in variants.values())
    clock = time.process_time if threads == 1 else time.perf_counter
    with ExitStack() as stack:
        runs = {
            name: [
                (weight_of(graph.spec), *stack.enter_context(opened(work, graph, spec, samples)))
                for graph, spec in zip(variant.graphs, _specs(model, variant), strict=True)
            ]
            for name, variant in variants.items()
        }
        spent: dict[str, list[float]] = {name: [] for name in variants}
        began = time.perf_counter()
        for turn in range(_ROUNDS + 1):
            for name, graphs in runs.items():
                cost = sum(
                    weight * _timed(session, feed, clock) for weight, session, feed in graphs
                )
                if turn:  # the first run allocates
                    spent[name].append(cost)
            if turn > 4 and time.perf_counter() - began > _SECONDS * len(variants):
                break
    return {name: 1000 * min(costs) for name, costs in spent.items()}


def profile_nodes(
    work: Work, graph: CompiledGraph, spec: GraphSpec, samples: Mapping[str, Samples]
) -> tuple[NodeTime, ...] | None:
    """The time of each node of a compiled graph; `None` if its runtime does not tell."""
    backend = get_backend(graph.backend)
    if not isinstance(backend, TimesNodes):
        return None
    with opened(work, graph, spec, samples, profile=True) as (session, feed):
        for _ in range(_PROFILED_RUNS):
            session.run(feed)
        return backend.node_times(session)


@contextmanager
def opened(
    work: Work,
    graph: CompiledGraph,
    spec: GraphSpec,
    samples: Mapping[str, Samples],
    *,
    profile: bool = False,
) -> Iterator[tuple[Session, Feed]]:
    """A session of `graph`, the form of `spec`, with the first of its samples as it takes it."""
    backend = get_backend(graph.backend)
    options = replace(work.options(graph.backend), profile=profile)
    sample = next(iter(samples[spec.name]))
    session = backend.load(graph, options)
    try:
        pairs = zip(spec.inputs, graph.spec.inputs, strict=True)
        yield session, {b.name: relayout(sample[a.name], a.layout, b.layout) for a, b in pairs}
    finally:
        session.close()


def _specs(model: Model, variant: Variant) -> list[GraphSpec]:
    """The contract's description of each graph of `variant`."""
    specs = {graph.spec.name: graph.spec for graph in model.graphs}
    return [specs[graph.spec.name] for graph in variant.graphs]


def _timed(session: Session, feed: Feed, clock: Callable[[], float]) -> float:
    began = clock()
    session.run(feed)
    return clock() - began
