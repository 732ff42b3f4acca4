"""What a quantisation scheme is: one class in one file of this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact, Samples
from edgeanim.core.files import write_bytes
from edgeanim.core.packages import require
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.reading.read import load_onnx
from edgeanim.quantize.onnx_nodes import has_convolutions
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.ranges.histograms_onnx import collect_histograms
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board
from edgeanim.targets.checks import runtime_errors

WEIGHT_LIMIT = 127.0
CompiledFloat = Callable[[GraphArtifact, str], CompiledGraph]
"""Gives a float32 graph compiled for the backend of that name."""


@dataclass(frozen=True)
class Source:
    """The float32 ONNX graph that is quantised, on which samples, and the board that it is for.
    `kernels` are those already rounded (`quantize.rounding`), for the nodes that are quantised."""

    artifact: GraphArtifact
    samples: Samples
    board: Board
    compiled: CompiledFloat
    kernels: Mapping[str, Array] = field(default_factory=dict)


class Scheme(ABC):
    """Turns a float32 graph into one form of INT8: that of its `name`."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """What its quantiser is imported from; the extra `compress` brings all of it."""
    watches: ClassVar[str] = "onnx"
    """Which form of the float graph is watched: schemes with the same one share what is seen."""
    rounds_results: ClassVar[bool] = True
    """Whether what a convolution gives is stored in 8 bits even where only float ops read it."""
    seven_bit_limit: ClassVar[float] = 64.0
    """A channel's largest weight in steps of its grid, where weights keep to 7 bits."""

    def takes_any_of(self, path: Path, keep_float: Collection[str]) -> bool:
        """Whether it rounds anything of the float32 ONNX graph at `path`, `keep_float` aside."""
        return has_convolutions(path, keep_float)

    def collect(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        board: Board,
        compiled: CompiledFloat | None = None,
    ) -> Histograms:
        """What the tensors hold whose ranges `quantize` will need, whatever is kept in float.

        One sample's activations are in memory at a time.
        """
        with self._source(artifact, samples, board, compiled) as source:
            return self.watch(source)

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,
        histograms: Histograms | None = None,
        kernels: Mapping[str, Array] | None = None,
    ) -> GraphArtifact:
        """Write the quantised graph into the folder `out`.

        `histograms` is what `collect` gave for the same graph and samples, where it is at hand;
        `kernels` what `quantize.rounding` made of its kernels, which are else rounded to the
        nearest.

        `artifact` is float32 ONNX; the result has `scheme == self.name`. A scheme that starts from
        a backend's own float32 file takes it from `compiled`, whose caller may have kept it.

        `MissingComponent` if the quantiser is not installed; `BadInput` names the node that stands
        in the way.
        """
        with self._source(artifact, samples, board, compiled) as source:
            if histograms is None:
                histograms = self.watch(source)
            refused = f"The quantiser of {self.name} refuses this graph"
            with runtime_errors(refused, artifact.spec.file, damaged=True):
                path = self.write(replace(source, kernels=kernels or {}), spec, histograms, out)
        return GraphArtifact(artifact.spec, path, self.name)

    def in_float(self, artifact: GraphArtifact, out: Path, compiled: CompiledFloat) -> Path:  # noqa: ARG002
        """Write the float32 graph as it is into the folder `out`, in a file that backends of this
        scheme take: for a graph of which nothing can be quantised, beside others that are."""
        path = out / f"{artifact.spec.name}.onnx"
        write_bytes(path, load_onnx(artifact.path).SerializeToString(deterministic=True))
        return path

    def watch(self, source: Source) -> Histograms:
        """See `collect`: those of the ONNX graph itself, where a scheme says nothing else."""
        return collect_histograms(source.artifact, source.samples)

    @abstractmethod
    def write(self, source: Source, spec: QuantizeSpec, histograms: Histograms, out: Path) -> Path:
        """See `quantize`: the main file of what was written into `out`, whole or not at all."""

    @contextmanager
    def _source(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        board: Board,
        compiled: CompiledFloat | None,
    ) -> Iterator[Source]:
        require(f"The scheme {self.name!r}", *self.packages, extra="compress")
        if compiled is not None:
            yield Source(artifact, samples, board, compiled)
            return
        with scratch_folder("scheme") as scratch:

            @cache
            def compile_here(graph: GraphArtifact, backend: str) -> CompiledGraph:
                return get_backend(backend).compile(graph, board, scratch)

            yield Source(artifact, samples, board, compile_here)


def weight_limit(scheme: Scheme, spec: QuantizeSpec, board: Board) -> float:
    """A channel's largest weight, in steps of the grid that `scheme` rounds it to."""
    return scheme.seven_bit_limit if seven_bits(spec, board) else WEIGHT_LIMIT


def seven_bits(spec: QuantizeSpec, board: Board) -> bool:
    """Whether weights keep to 7 bits: as asked for, or where U8xS8 products saturate."""
    return spec.reduce_range or board.saturates_u8s8
