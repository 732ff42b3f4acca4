"""What a quantisation scheme is: one class in one file of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from edgeanim.core.artifact import CompiledGraph, GraphArtifact, Samples
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.ranges import RangeTable
from edgeanim.targets.board import Board

CompiledFloat = Callable[[GraphArtifact, str], CompiledGraph]
"""Gives a float32 graph compiled for the backend of that name."""


class Scheme(Protocol):
    """Turns a float32 graph into one form of INT8."""

    name: ClassVar[str]
    extra: ClassVar[str]
    watches: ClassVar[str]
    """Of which form of the float graph the ranges are: schemes with the same one can share them."""

    def collect(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        board: Board,
        compiled: CompiledFloat | None = None,
    ) -> RangeTable:
        """The ranges that `quantize` will need, by every method, whatever is kept in float.

        One sample's activations are in memory at a time.
        """

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,
        table: RangeTable | None = None,
    ) -> GraphArtifact:
        """Write the quantised graph into the folder `out`.

        `table` is what `collect` gave for the same graph and samples, where it is at hand.

        `artifact` is float32 ONNX; the result has `scheme == self.name`. A scheme that starts from
        a backend's own float32 file takes it from `compiled`, whose caller may have kept it.

        `MissingComponent` if the quantiser is not installed; `BadInput` names the node that stands
        in the way.
        """
