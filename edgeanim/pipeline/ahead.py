"""Graphs compiled by a process of their own while this one does something else.

What it makes lies in the artifact store, where this process finds it, or waits until it is there.
What it fails at, this process does itself, and says what is wrong: nothing depends on the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from edgeanim.core import offline
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import EdgeanimError
from edgeanim.core.locks import HAS_LOCKS
from edgeanim.core.parsing import parse, parse_json, to_plain
from edgeanim.core.store import Store
from edgeanim.pipeline.work import Work
from edgeanim.targets.board import Board

_MODULE = "edgeanim.pipeline.ahead"
# What a process with PyTorch and a converter takes, and as much again for this one.
_MEMORY = 4 << 30
_LAST_SECONDS = 2.0


@dataclass(frozen=True)
class Order:
    """Graphs to compile for a backend, each into the store at `store`."""

    store: Path
    board: Board
    backend: str
    graphs: tuple[GraphArtifact, ...]


@contextmanager
def compiled_ahead(
    work: Work, backend: str, graphs: Sequence[GraphArtifact]
) -> Iterator[Callable[[], None]]:
    """Compile float32 `graphs` for `backend` beside what the block does; yields what waits until
    that is done, for whoever measures times.

    Nothing is begun where all of them are compiled already or are to be compiled afresh, nor on one
    processor, or with little memory. When the block ends, so does the process.
    """
    missing = tuple(graph for graph in graphs if not work.has_compiled(graph, backend))
    if not missing or work.fresh or not _has_room():
        yield lambda: None
        return
    placed = tuple(replace(graph, path=graph.path.resolve()) for graph in missing)
    order = Order(work.store.root.resolve(), work.board, backend, placed)
    # In an empty folder, so that no file of the user's shadows a package, and in a session of its
    # own, so that Ctrl-C reaches this process alone, which then ends the other.
    with TemporaryDirectory(prefix="edgeanim-ahead-") as folder:
        process = subprocess.Popen(
            (sys.executable, "-m", _MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {"TMPDIR": folder},
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin as stream:
                stream.write(json.dumps(to_plain(order)).encode())
            yield lambda: _ended(process)
        finally:
            process.terminate()
            try:
                process.wait(_LAST_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.wait()


def _has_room() -> bool:
    """Whether a second process would neither stand in the way nor fill the memory."""
    processors = len(psutil.Process().cpu_affinity()) if psutil.LINUX else os.cpu_count() or 1
    return HAS_LOCKS and processors > 1 and psutil.virtual_memory().available >= _MEMORY


def main() -> None:
    """Carry out the order on standard input."""
    offline.apply()
    order = parse(Order, parse_json(sys.stdin.read(), where="the order"), where="the order")
    work = Work(order.board, Store(order.store))
    for graph in order.graphs:
        with suppress(EdgeanimError):
            work.compile(graph, order.backend)


if __name__ == "__main__":
    main()
