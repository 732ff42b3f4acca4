"""What the forms of ONNX with QuantizeLinear/DequantizeLinear pairs have in common."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from edgeanim.core.files import atomic_path
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec, Ranges
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.normalize import with_recent_opset
from edgeanim.graph.reading.read import load_onnx
from edgeanim.quantize.onnx_nodes import load_shaped, onnx_chain, shaped
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.ranges.methods import TensorRange, ranges_in
from edgeanim.quantize.rounding import replace_kernels
from edgeanim.quantize.runtimes.gates import find_gates
from edgeanim.quantize.schemes.base import Scheme, Source, seven_bits
from edgeanim.targets.board import Board

RangesOf = Callable[[Iterable[str]], Mapping[str, TensorRange]]
"""Gives the ranges of the tensors of these names."""

# What ONNX Runtime calls a tensor where it moves a transpose past the node that makes it: after the
# tensor or the node, with this where there is such a name already.
_LAID_OUT = re.compile(r"_token_\d+$")


@dataclass(frozen=True)
class Prepared:
    """A graph of a recent opset with batch norms folded, shapes inferred and all nodes named;
    `nodes` are those to quantise, with their types. `results` are the values that its nodes gave
    before, by the nodes' names."""

    path: Path
    nodes: Mapping[str, str]
    results: Mapping[str, str]


class QdqScheme(Scheme):
    """One prepared graph, one file; a form says where its pairs go."""

    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime.quantization")
    rounds_gates: ClassVar[bool] = False
    """Whether the runtime multiplies and takes sigmoids in 8 bits (`gates`)."""

    @abstractmethod
    def insert(
        self, prepared: Prepared, ranges_of: RangesOf, weights_in_7_bits: bool, out: Path
    ) -> None:
        """Write the graph with its pairs to `out`. `BadInput` if the result breaks a rule of
        whoever will run it."""

    def slower_in_8_bits(self, model: Any, rounded: Collection[str], board: Board) -> set[str]:  # noqa: ARG002
        """The names of those of the `rounded` nodes of a prepared model that `board` computes
        faster in float, if the form knows of any."""
        return set()

    def write(self, source: Source, spec: QuantizeSpec, histograms: Histograms, out: Path) -> Path:
        """See `Scheme.write`: `<graph>.onnx`."""
        path = out / f"{source.artifact.spec.name}.onnx"
        with scratch_folder("qdq") as scratch:
            prepared = self._prepare(source, spec.keep_float, scratch)
            ranges_of = partial(_ranges_of, histograms, spec.ranges, prepared.results)
            with atomic_path(path) as partial_file:
                self.insert(prepared, ranges_of, seven_bits(spec, source.board), partial_file)
        return path

    def _prepare(self, source: Source, keep_float: tuple[str, ...], scratch: Path) -> Prepared:
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        named, path = scratch / "named.onnx", scratch / "prepared.onnx"
        model = shaped(with_recent_opset(load_onnx(source.artifact.path)))
        chain = onnx_chain(model, keep_float, where=source.artifact.path)
        replace_kernels(model, source.kernels, chain.without_spared)
        onnx.save(model, str(named))
        results = {node.name: node.output[0] for node in model.graph.node}
        with quiet():
            # Shapes are static already, so the symbolic pass (which needs sympy) has nothing to do.
            quant_pre_process(str(named), str(path), skip_symbolic_shape=True)
        model = load_shaped(path)
        onnx.save(model, str(path))
        types = {node.name: node.op_type for node in model.graph.node}
        # What was folded into a convolution is no longer rounded on its own.
        kept = [name for name in keep_float if name in types]
        gates = find_gates(model) if self.rounds_gates else ()
        chain = onnx_chain(model, kept, more_glue=gates, where=source.artifact.path)
        slower = self.slower_in_8_bits(model, chain.without_spared, source.board)
        rounded = (name for name in chain.without_spared if name not in slower)
        return Prepared(path, {name: types[name] for name in rounded}, results)


def _ranges_of(
    histograms: Histograms, method: Ranges, results: Mapping[str, str], names: Iterable[str]
) -> dict[str, TensorRange]:
    """`ranges_in` for tensors of a prepared graph: those that were laid out anew there hold what
    they held before."""

    def before(name: str) -> str:
        plain = name if name in histograms else _LAID_OUT.sub("", name)
        return plain if plain in histograms else results.get(plain, plain)

    origins = {name: before(name) for name in names}
    found = ranges_in(histograms, method, origins.values())
    return {name: found[origin] for name, origin in origins.items()}


def load_prepared(path: Path) -> Any:
    """The prepared graph with its shapes in the form that ONNX Runtime's quantiser expects."""
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    return load_model_with_shape_infer(path)
