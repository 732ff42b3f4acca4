"""The stages of pruning, each kept in the store: layer times, graphs, the ratio for a time."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import GateFailed
from edgeanim.core.files import write_text
from edgeanim.core.parsing import load_json, to_plain
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline.variants import make_variant
from edgeanim.pipeline.work import Work, artifact_digest, player_of, versions
from edgeanim.quantize.pruning.layer_times import LayerTimes, measure_layers
from edgeanim.quantize.pruning.prune import Cut, Graphs, convolutions_of, prune_graphs
from edgeanim.quantize.pruning.takes import Takes
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import get_backend

_TIMES_FILE = "times.json"
_LEFT_FILE = "left.json"
_STATES = "prune-states"
_MOST = 0.9
_STEPS = 5
_ROUNDS = 3


@dataclass(frozen=True)
class Pruner:
    """Prunes the graphs of one model; `scene` is played where a frame's time counts."""

    work: Work
    model: Model
    takes: Takes
    scene: Scene
    backend: str

    def cut(self, spec: PruneSpec) -> Cut:
        """The model pruned by `spec`, which has a ratio and a `round_to`."""
        given = {graph.spec.name: graph for graph in self.model.graphs}
        times = {n: self._times(g) for n, g in given.items()} if spec.of == "time" else None
        parts = {
            "model": self.model.digest,
            "takes": self.takes.digest,
            "spec": to_plain(spec),
            "times": to_plain(times),
            "versions": versions(),
        }
        state = self.work.store.root / _STATES / Store.key(stage="prune", **parts)[:32]
        if self.work.fresh:
            shutil.rmtree(state, ignore_errors=True)

        def make(folder: Path) -> None:
            made = prune_graphs(
                self.model.contract,
                given,
                self.takes,
                spec,
                folder,
                times=times,
                state=state,
                progress=self.work.progress,
            )
            write_text(folder / _LEFT_FILE, json.dumps({"left": made.left}))

        folder, _ = self.work.build("cut", parts, make)
        shutil.rmtree(state, ignore_errors=True)
        graphs = {name: _pruned(graph, folder) for name, graph in given.items()}
        return Cut(graphs, load_json(folder / _LEFT_FILE)["left"])

    def ratio_for(self, spec: PruneSpec) -> float:
        """The least ratio, to within 3 %, with which a frame takes at most `spec.latency_ms`; no
        larger than what can go.

        Halves the interval, pruning without recovery and timing the whole frame each time.
        `GateFailed` tells the measured curve if even the largest ratio does not do.
        """
        limit = spec.latency_ms
        assert limit is not None
        self.work.progress.stage(f"Find the ratio for {limit:g} ms", _STEPS + 1)
        curve: dict[float, float] = {}
        gone: dict[float, float] = {}

        def fits(ratio: float) -> bool:
            plain = replace(spec, ratio=ratio, latency_ms=None, steps=0)
            whole = {g.spec.name: g for g in self.model.graphs}
            cut = self.cut(plain) if ratio else Cut(whole)
            gone[ratio] = 1 - cut.left if cut.falls_short(plain) else ratio
            curve[ratio] = self.frame_ms(cut.graphs)
            self.work.progress.step(note=f"{curve[ratio]:.1f} ms at {ratio:.2f}")
            return curve[ratio] <= limit

        low, high = 0.0, _MOST
        if fits(low):
            high = low
        elif not fits(high):
            found = ", ".join(f"{ms:.1f} ms at {ratio:g}" for ratio, ms in sorted(curve.items()))
            raise GateFailed(
                f"No pruning brings a frame to {limit:g} ms on {self.backend}. Measured: {found}.",
                hint="Quantise as well, use a smaller model, or allow more time.",
            )
        while high - low > _MOST / 2**_STEPS:
            middle = round((low + high) / 2, 4)
            low, high = (low, middle) if fits(middle) else (middle, high)
        self.work.progress.done(f"{high:.2f}")
        return gone[high]

    def frame_ms(self, graphs: Graphs) -> float:
        """Median milliseconds of a frame with these graphs, on this machine."""
        ordered = tuple(graphs[graph.spec.name] for graph in self.model.graphs)
        variant = make_variant(self.work, self.backend, ordered)
        took = []
        with player_of(self.work, self.model.contract, variant) as player:
            for _ in range(_ROUNDS):
                times = [1e3 * sum(player.timings.values()) for _ in player.play(self.scene)]
                took += times[1:]  # the first frame holds the work done once per still
        return float(np.median(took))

    def _times(self, graph: GraphArtifact) -> LayerTimes:
        options = self.work.options(self.backend)
        parts = {
            "graph": artifact_digest(graph),
            "backend": self.backend,
            "options": to_plain(options),
            "machine": describe().machine,
            "versions": versions(),
        }

        def find() -> LayerTimes:
            backend = get_backend(self.backend)
            shapes = convolutions_of(graph)
            return measure_layers(shapes, backend, self.work.board, options, self.work.progress)

        return self.work.record("layer-times", parts, _TIMES_FILE, LayerTimes, find)


def _pruned(graph: GraphArtifact, folder: Path) -> GraphArtifact:
    """The graph as it lies in `folder`; as it came where nothing could go."""
    path = folder / graph.spec.name / f"{graph.spec.name}.onnx"
    return GraphArtifact(graph.spec, path) if path.is_file() else graph
