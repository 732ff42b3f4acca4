"""What a quantisation scheme is: one class in one file of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from edgeanim.core.artifact import CompiledGraph, GraphArtifact, Samples
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.targets.board import Board

CompiledFloat = Callable[[GraphArtifact, str], CompiledGraph]
"""Gives a float32 graph compiled for the backend of that name."""


class Scheme(Protocol):
    """Turns a float32 graph into one form of INT8."""

    name: ClassVar[str]
    extra: ClassVar[str]

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,
    ) -> GraphArtifact:
        """Write the quantised graph into the folder `out`.

        `artifact` is float32 ONNX; the result has `scheme == self.name`. A scheme that starts from
        a backend's own float32 file takes it from `compiled`, whose caller may have kept it.

        `MissingComponent` if the quantiser is not installed; `BadInput` names the node that stands
        in the way.
        """
