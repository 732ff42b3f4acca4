"""A study of a search whose figures stand in a table, and searches of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.errors import GateFailed
from edgeanim.core.limit import DriftLimit
from edgeanim.core.progress import SILENT
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.pipeline.frames.lights import Likeness
from edgeanim.pipeline.search.order import Search, Space
from edgeanim.pipeline.search.trials import Timing, Trial
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board, BoardBackend

UNPRUNED, HALF, MOST = PruneSpec(), PruneSpec(ratio=0.5, of="macs"), PruneSpec(ratio=0.8, of="macs")
BACKENDS = ("openvino", "onnxruntime")


@dataclass
class TableStudy:
    """A study whose figures stand in a table: (drift, relative latency, INT8 share) by trial id."""

    table: dict[str, tuple[float, float, float]]
    limit: DriftLimit = field(default_factory=DriftLimit)
    timed: list[str] = field(default_factory=list)
    stop_at: str = ""
    rewritten: bool = False
    relit: dict[str, float] = field(default_factory=dict)
    halves: tuple[str, ...] = ()

    @property
    def work(self) -> Any:
        board = Board(
            "bench", "Bench", "x86_64", 4096, 2, backends=tuple(map(BoardBackend, BACKENDS))
        )
        floats = {"openvino": ("float32", *self.halves), "onnxruntime": ("float32",)}
        return SimpleNamespace(
            board=board,
            progress=SILENT,
            floats=floats.__getitem__,
            int8_scheme=lambda name: get_backend(name).int8_scheme,
        )

    @property
    def model(self) -> Any:
        return SimpleNamespace(contract=SimpleNamespace(name="table"))

    @property
    def material(self) -> Any:
        return SimpleNamespace(separate=True)

    @property
    def note(self) -> str | None:
        return None

    def restructures(self, backend: str) -> bool:
        return self.rewritten and backend in BACKENDS

    def drift(self, trial: Trial) -> Any:
        if trial.id == self.stop_at:
            raise KeyboardInterrupt
        if trial.id not in self.table:
            raise GateFailed(f"{trial.id} cannot be made.")
        drift = self.table[trial.id][0]
        return SimpleNamespace(drift_mean=drift, ssim_p5=1 - drift, ssim_worst=1 - drift)

    def drift_relit(self, trial: Trial) -> Any:
        if trial.id not in self.relit:
            return None
        return Likeness(self.relit[trial.id], 1 - self.relit[trial.id])

    def time(self, trial: Trial) -> Timing:
        self.timed.append(trial.id)
        _, relative, share = self.table[trial.id]
        return Timing(relative, Interval(0.95 * relative, 1.05 * relative), 10 * relative, share)


def search(study: TableStudy, max_latency_ms: float | None = None, **space: Any) -> Search:
    methods = ("float32", "ptq", "mixed", "distil")
    whole = {"backends": BACKENDS, "methods": methods, "prunes": (UNPRUNED, HALF), "threads": (1,)}
    made = Space(**{**whole, "quantize": QuantizeSpec(), **space})
    return Search(study, made, max_latency_ms)  # type: ignore[arg-type]


def states(found: Search) -> dict[str, str]:
    return {result.id: result.state for result in found.results}
