"""A backend that needs nothing and computes nothing: for tests, pipelines and as an example.

Its file is JSON: the format's name and the graph's spec. A session gives every output the values
of the first input of the same size (else of the first input, repeated or cut), reshaped and
clipped to the output's range. So an image-to-image graph shows its input, and every other graph
gives something of the right shape that depends on its input alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

import edgeanim
from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
)
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.core.files import canonical_json, inside, write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.targets.backends.base import Availability, OpProfile, Session, SessionOptions
from edgeanim.targets.checks import (
    check_artifact,
    check_files,
    check_inputs,
    check_settings,
    own_session,
)
from edgeanim.targets.profile import COMPUTE, ExecutedOp, summarize

if TYPE_CHECKING:
    from edgeanim.targets.board import Board


@dataclass(frozen=True)
class _File:
    """What a `.null` file holds."""

    format: Literal["edgeanim.null/1"]
    graph: GraphSpec


class Null:
    """Copies inputs to outputs; has no settings."""

    name: ClassVar[str] = "null"
    extra: ClassVar[str] = ""
    int8_scheme: ClassVar[str | None] = None
    floats: ClassVar[tuple[FloatPrecision, ...]] = (FLOAT32,)
    suffixes: ClassVar[tuple[str, ...]] = (".null",)
    computes_nothing: ClassVar[Literal[True]] = True

    def available(self) -> Availability:
        return Availability(version=edgeanim.__version__, note="A fake: it computes nothing.")

    def accepts(self, scheme: str) -> bool:
        return scheme == FLOAT32

    def compile(
        self,
        artifact: GraphArtifact,
        board: Board,  # noqa: ARG002
        out: Path,
    ) -> CompiledGraph:
        check_artifact(artifact, self)
        path = inside(out, f"{artifact.spec.name}.null")
        write_text(path, canonical_json(to_plain(_File("edgeanim.null/1", artifact.spec))))
        return CompiledGraph.unchanged(self.name, artifact, path)

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        check_settings(self.name, options.settings, ())
        check_files(graph, self)
        content = parse(_File, load_json(graph.files[0]), where=graph.files[0])
        if content.graph != graph.spec:
            raise BadInput(
                f"This file holds {content.graph.name!r} with another interface than "
                f"{graph.spec.name!r}.",
                where=graph.files[0],
            )
        return _NullSession(graph.spec)

    def executed_precision(self, session: Session) -> OpProfile:
        outputs = own_session(session, _NullSession).spec.outputs
        copies = [ExecutedOp("Copy", FLOAT32, COMPUTE, 1.0) for _ in outputs]
        return summarize(copies, basis="ops", detail="The null backend only copies.")


class _NullSession:
    def __init__(self, spec: GraphSpec) -> None:
        self.spec = spec

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = check_inputs(self.spec, inputs)
        return {tensor.name: _copy(arrays, tensor) for tensor in self.spec.outputs}

    def close(self) -> None:
        pass


def _copy(arrays: list[Array], tensor: TensorSpec) -> Array:
    size = int(np.prod(tensor.shape))
    source = next((array for array in arrays if array.size == size), arrays[0])
    values = np.resize(source, tensor.shape)
    return values if tensor.range is None else np.clip(values, *tensor.range, dtype=np.float32)


BACKEND = Null()
