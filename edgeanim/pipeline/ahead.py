"""Graphs compiled and quantised by a process of their own while this one does something else.

What it makes lies in the artifact store, where this process finds it, or waits until it is there.
What it fails at, this process does itself, and says what is wrong: nothing depends on the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from edgeanim.core import offline
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import EdgeanimError
from edgeanim.core.interruption import clearing_away
from edgeanim.core.locks import HAS_LOCKS
from edgeanim.core.parsing import parse, parse_json, to_plain
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.scratch import scratch_folder
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline.methods import graph_specs, quantized_graph
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.samples import DiskSamples
from edgeanim.targets.backends import CompilesSlowly, get_backend
from edgeanim.targets.board import Board

_MODULE = "edgeanim.pipeline.ahead"
# What a process with PyTorch and a converter takes, and as much again for this one.
_MEMORY = 4 << 30
# A signal is heard when native code, a conversion say, has come to its end.
_LAST_SECONDS = 5.0


@dataclass(frozen=True)
class Quantizing:
    """How a graph is to be quantised: in which form, with the calibration inputs in `samples`."""

    scheme: str
    spec: QuantizeSpec
    samples: Path


@dataclass(frozen=True)
class Order:
    """A float32 graph to compile for a backend into the store at `store`, or to quantise; without
    a graph, to get ready for that."""

    store: Path
    board: Board
    backend: str
    graph: GraphArtifact | None = None
    quantizing: Quantizing | None = None


class Ahead:
    """What another process is to do meanwhile, in the order in which it is asked for.

    It is started when the first thing is; where there is no room for it, never.
    """

    def __init__(self, work: Work, folder: Path) -> None:
        self._work = work
        # Work that is to be done afresh is done once, by whoever needs it.
        self._has_room = not work.fresh and _has_room()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def get_ready(self, backend: str) -> None:
        """Have imported what compiling for `backend` takes, before there is a graph."""
        if self._has_room:
            self._send(self._order(backend))

    def compile(self, backend: str, graphs: Sequence[GraphArtifact]) -> None:
        """Have float32 `graphs` compiled for `backend`, but for those that are already."""
        for graph in graphs:
            if self._has_room and not self._work.has_compiled(graph, backend):
                self._send(self._order(backend, graph))

    def quantize(
        self,
        backend: str,
        model: Model,
        scheme: str,
        spec: QuantizeSpec,
        samples: Mapping[str, DiskSamples],
    ) -> None:
        """Have the graphs of a float32 `model` quantised, each with the samples of its name."""
        specs = graph_specs(model, spec)
        for graph in model.graphs if self._has_room else ():
            name = graph.spec.name
            how = Quantizing(scheme, specs[name], samples[name].folder.resolve())
            self._send(replace(self._order(backend, graph), quantizing=how))

    def wait(self) -> None:
        """Until all of that is done, for whoever measures times."""
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()

    def end(self) -> None:
        """End the process, whatever is left to do."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _order(self, backend: str, graph: GraphArtifact | None = None) -> Order:
        placed = None if graph is None else replace(graph, path=graph.path.resolve())
        return Order(self._work.store.root.resolve(), self._work.board, backend, placed)

    def _send(self, order: Order) -> None:
        try:
            process = self._process = self._process or self._started()
        except OSError:  # no further process is allowed here: all is done by this one, then
            self._has_room = False
            return
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(to_plain(order)).encode() + b"\n")
            process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        # In an empty folder, so that no file of the user's shadows a package, and in a session of
        # its own, so that Ctrl-C reaches this process alone, which then ends the other.
        return subprocess.Popen(
            (sys.executable, "-m", _MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=os.environ | {"TMPDIR": str(self._folder)},
            start_new_session=True,
        )


@contextmanager
def working_ahead(work: Work) -> Iterator[Ahead]:
    """What can be asked to do things beside the block. When the block ends, so does the process.

    Nothing is begun where all is to be made afresh, nor on one processor, or with little memory.
    """
    with scratch_folder("ahead") as folder:
        ahead = Ahead(work, folder)
        try:
            yield ahead
        finally:
            with clearing_away():
                ahead.end()


def _has_room() -> bool:
    """Whether a second process would neither stand in the way nor fill the memory."""
    processors = len(psutil.Process().cpu_affinity()) if psutil.LINUX else os.cpu_count() or 1
    return HAS_LOCKS and processors > 1 and psutil.virtual_memory().available >= _MEMORY


def main() -> None:
    """Carry out the orders on standard input, one a line, until told to end: then as one whose work
    failed, so that nothing half-made stays in the store."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    offline.apply()
    for line in sys.stdin:
        order = parse(Order, parse_json(line, where="the order"), where="the order")
        with suppress(EdgeanimError):
            _carry_out(order)


def _carry_out(order: Order) -> None:
    work = Work(order.board, Store(order.store))
    if order.graph is None:
        if isinstance(backend := get_backend(order.backend), CompilesSlowly):
            backend.get_ready()
    elif order.quantizing is None:
        work.compile(order.graph, order.backend)
    else:
        how = order.quantizing
        quantized_graph(work, order.graph, DiskSamples(how.samples), how.scheme, how.spec)


if __name__ == "__main__":
    main()
