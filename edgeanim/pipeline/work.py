"""What every stage needs to know: the store, the board, where to report; and the cached stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgeanim.benchmarks.results.result import Report, load_report
from edgeanim.core.artifact import FLOAT32, CompiledGraph, FloatPrecision, GraphArtifact
from edgeanim.core.choices import must_be_threads
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError, named
from edgeanim.core.files import canonical_json, sha256_files, sha256_tree, write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.core.store import Store, tool_versions
from edgeanim.graph.reading.external import external_files
from edgeanim.runtime.execution import Record
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Picture, Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import Board, load_board
from edgeanim.targets.bundle import Variant
from edgeanim.targets.checks import check_artifact
from edgeanim.targets.machine import read_machine, telling_features

T = TypeVar("T")

# The float32 original is what this backend makes of the untouched ONNX.
REFERENCE = "onnxruntime"
ALL = "all"
_COMPILE = "compile"
_COMPILED = "compiled.json"
_TOOLS = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "edgeanim",
    "litert-torch",
    "nncf",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
)


@cache
def versions() -> dict[str, str]:
    """The versions of all tools that shape an artifact: part of every key and of provenance."""
    return tool_versions(*_TOOLS)


@dataclass(frozen=True)
class Work:
    """The surroundings of a run. `fresh` ignores what the store holds from runs before."""

    board: Board
    chosen_store: Store | None = None
    progress: Progress = SILENT
    fresh: bool = False
    _built: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @staticmethod
    def on(
        board: str | Path,
        *,
        store: Store | None = None,
        progress: Progress = SILENT,
        fresh: bool = False,
    ) -> Work:
        """Work for the board called `board`, or described by that TOML.

        INT8 is played here to be judged: it has to be right on this machine as well.
        """
        there = load_board(board)
        saturates = there.saturates_u8s8 or read_machine().saturates_u8s8
        there = replace(there, saturates_u8s8=saturates)
        return Work(there, store, progress, fresh)

    @property
    def store(self) -> Store:
        """Where stages are kept, see `Store`; `UsageError` where there is no place for them. What
        plays a bundle never asks."""
        return self.chosen_store or Store()

    @property
    def is_here(self) -> bool:
        """Whether this machine is of the board's architecture: else times measured here say nothing
        about it."""
        return read_machine().arch == self.board.arch

    def must_be_here(self) -> None:
        """`UsageError` unless it is."""
        if not self.is_here:
            raise UsageError(
                f"The board {self.board.name} is {self.board.arch}, this machine "
                f"{read_machine().arch}: its times cannot be measured here.",
                where="--board",
                hint="Run this on the board itself, or leave `--board` out.",
            )
        self.tell_of_processor()

    def tell_of_processor(self) -> None:
        """Say so if times measured here are those of another kind of processor than the board's:
        one that has other kernels, by the features that both name."""
        here, there = (
            telling_features(features)
            for features in (read_machine().cpu_features, self.board.cpu_features)
        )
        if not self.board.cpu_features or here == there:
            return
        self.progress.stage("Compare the processors")
        self.progress.done(
            f"times are those of this machine ({' '.join(here)}), not of {self.board.title} "
            f"({' '.join(there)})"
        )

    def build(
        self, stage: str, parts: Mapping[str, object], make: Callable[[Path], None]
    ) -> tuple[Path, bool]:
        """The store's entry for `parts` and whether it was already there, see `Store.build`; where
        all is to be `fresh`, built anew the first time that this run asks for it."""
        key = Store.key(stage=stage, **parts)
        fresh = self.fresh and key not in self._built
        entry = self.store.build(stage, parts, make, fresh=fresh)
        self._built.add(key)
        return entry

    def record(
        self,
        stage: str,
        parts: Mapping[str, object],
        name: str,
        cls: type[T],
        find: Callable[[], T],
    ) -> T:
        """What `find` returns, a dataclass `cls`, kept as the JSON document `name` of the store's
        entry for `parts`: found once, see `build`."""

        def make(folder: Path) -> None:
            write_text(folder / name, canonical_json(to_plain(find())))

        folder, _ = self.build(stage, parts, make)
        return parse(cls, load_json(folder / name), where=folder / name)

    def backends(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The backends asked for: `all` means all that the board's file lists. `UsageError` if it
        lists none, or if there is none of a name."""
        listed = tuple(entry.name for entry in self.board.backends)
        if names in ((), (ALL,)):
            if not listed:
                raise UsageError(
                    "This board lists no backend.",
                    where=self.board.name,
                    hint="Name some with --backend, or add [[backends]] to the board's file.",
                )
            return listed
        if ALL in names:
            raise UsageError("`--backend all` cannot be combined with another backend.")
        for name in names:
            get_backend(name)
        return tuple(dict.fromkeys(names))

    def compile(self, artifact: GraphArtifact, backend: str) -> CompiledGraph:
        """Compile one graph for one backend, or take it from the store. The files are the same
        whatever the graph is to compute in."""
        check_artifact(artifact, get_backend(backend))
        stored = replace(artifact, floats=FLOAT32)
        parts = self._compiling(artifact, backend)

        def make(folder: Path) -> None:
            compiled = get_backend(backend).compile(stored, self.board, folder)
            names = tuple(file.relative_to(folder) for file in compiled.files)
            plain = to_plain(replace(compiled, files=names))
            write_text(folder / _COMPILED, canonical_json(plain))

        folder, _ = self.build(_COMPILE, parts, make)
        record = folder / _COMPILED
        compiled = parse(CompiledGraph, load_json(record), where=record)
        return replace(
            compiled,
            precision=artifact.precision,
            floats=artifact.floats,
            files=tuple(folder / file for file in compiled.files),
        )

    def has_compiled(self, artifact: GraphArtifact, backend: str) -> bool:
        """Whether the store has what `compile` would make."""
        key = Store.key(stage=_COMPILE, **self._compiling(artifact, backend))
        return self.store.get(_COMPILE, key) is not None

    def _compiling(self, artifact: GraphArtifact, backend: str) -> dict[str, object]:
        """What determines a compiled graph."""
        return {
            "artifact": artifact_digest(artifact),
            "backend": backend,
            "board": to_plain(self.board),
            "versions": versions(),
        }

    def floats(self, backend: str) -> tuple[FloatPrecision, ...]:
        """The floats that `backend` can compute in on this board, float32 first."""
        return self.board.backend(backend).floats(get_backend(backend).floats)

    def int8_scheme(self, backend: str) -> str | None:
        """The form of INT8 that the board asks for, else the backend's usual one; `None` where it
        runs none. `UsageError` for one that the backend does not take."""
        entry, runtime = self.board.backend(backend), get_backend(backend)
        scheme = entry.scheme or runtime.int8_scheme
        if scheme is not None and not runtime.accepts(scheme):
            raise UsageError(
                f"{backend} does not run the scheme {scheme!r}.",
                where=f"the board {self.board.name}",
                hint="Leave `scheme` out in the board's file.",
            )
        return scheme if entry.int8 else None

    def options(self, backend: str, threads: int | None = None) -> SessionOptions:
        """How this board loads a graph of `backend`."""
        chosen = self.board.threads if threads is None else threads
        must_be_threads(chosen)
        return SessionOptions(threads=chosen, settings=self.board.backend(backend).settings)


def kept_report(path: Path) -> Report:
    """A report that the store kept; `BadInput` if it cannot be read, which says what helps."""
    try:
        return load_report(path)
    except BadInput as error:
        hint = "The artifact store kept it from an earlier run: --fresh measures again."
        raise BadInput(error.what, where=error.where, hint=hint) from error


def artifact_digest(artifact: GraphArtifact) -> str:
    """Hex SHA-256 over a graph's description and everything its file refers to."""
    if artifact.scheme != FLOAT32:
        contents = sha256_tree(artifact.path.parent)
    else:
        contents = sha256_files((artifact.path, *external_files(artifact.path)))
    return Store.key(spec=to_plain(artifact.spec), scheme=artifact.scheme, contents=contents)


@contextmanager
def player_of(
    work: Work, contract: Contract, variant: Variant, record: Record | None = None
) -> Iterator[Player]:
    """A player of `variant` on this machine, closed afterwards."""
    player = load_player(contract, variant, work.options(variant.backend), record=record)
    with player:
        yield player


@contextmanager
def open_original(
    work: Work,
    contract: Contract,
    graphs: tuple[GraphArtifact, ...],
    record: Record | None = None,
) -> Iterator[Player]:
    """A player of the float32 original, which is what every drift is measured against. `BadInput`
    names the graph if that backend has no kernels for it."""
    backend = get_backend(REFERENCE)
    with scratch_folder("original") as scratch:
        compiled = []
        for artifact in graphs:
            folder = scratch / artifact.spec.name
            folder.mkdir()
            with named(artifact.path, DeviceFailed):
                compiled.append(backend.compile(artifact, work.board, folder))
        variant = Variant(REFERENCE, "float32", tuple(compiled))
        with player_of(work, contract, variant, record) as player:
            yield player


def play(player: Player, scene: Scene, most: int | None = None) -> np.ndarray:
    """All frames of `scene`, or the first so many, as one array, uint8 [T, H, W, C]."""
    frames: list[Picture] = list(islice(player.play(scene), most))
    return np.stack(frames)
