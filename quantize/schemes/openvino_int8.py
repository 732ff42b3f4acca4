"""INT8 for OpenVINO: FakeQuantize graphs by NNCF's post-training quantisation.

NNCF itself decides where quantisers go so that OpenVINO fuses them. Four of its choices are
overruled: the ranges of activations are ours (its default averages the extremes over the samples,
which clips and cost 12 dB on a plain U-Net), kernels have the steps of every other scheme (it gives
no channel less than a hundredth of the widest one's), arithmetic that is not glue between
convolutions stays in float, and the overflow fix follows the board instead of the machine that this
runs on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.signals import own_signal_stack
from edgeanim.graph.queries import graph_inputs
from edgeanim.graph.rewrites import (
    counted_pads,
    flat_places,
    planar_split,
    upsample_by_broadcast,
)
from edgeanim.quantize.chain import Chain
from edgeanim.quantize.onnx_nodes import load_shaped, onnx_chain, shaped
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.rounding import replace_kernels
from edgeanim.quantize.runtimes.openvino_extremes import part_from_rounding
from edgeanim.quantize.runtimes.openvino_quantizers import kernels_of, set_ranges, set_weights
from edgeanim.quantize.schemes.base import Scheme, Source, seven_bits, weight_limit
from edgeanim.targets.lowering import lower_for_openvino
from edgeanim.targets.openvino_ir import save_ir
from edgeanim.targets.openvino_reading import read_model

# Arithmetic on coordinates, weights and statistics is cheap in float, and ruined by eight bits. A
# transposed convolution belongs to no chain, and a grouped one has no name that says its node's.
FLOAT_TYPES = (
    "ConvolutionBackpropData",
    "Divide",
    "Exp",
    "FloorMod",
    "GRUSequence",
    "GridSample",
    "GroupConvolutionBackpropData",
    "GroupNormalization",
    "HSigmoid",
    "LSTMSequence",
    "MVN",
    "MatMul",
    "Maximum",
    "Minimum",
    "Multiply",
    "Power",
    "ReduceMean",
    "ReduceSum",
    "Sigmoid",
    "Softmax",
    "Sqrt",
    "SquaredDifference",
    "Subtract",
    "Tanh",
)
# These carry values on unchanged: quantisers may pass through them to where they are needed.
_DATA_MOVES = (
    "Broadcast",
    "Constant",
    "DepthToSpace",
    "Pad",
    "Parameter",
    "Reshape",
    "Result",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Transpose",
    "Unsqueeze",
)


class OpenVinoInt8(Scheme):
    """The scheme `openvino-int8`."""

    name: ClassVar[str] = "openvino-int8"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "openvino", "nncf")
    rounds_results: ClassVar[bool] = False
    seven_bit_limit: ClassVar[float] = 63.5  # half of NNCF's 127

    def write(self, source: Source, spec: QuantizeSpec, histograms: Histograms, out: Path) -> Path:
        """See `Scheme.write`: `<graph>.xml` and `<graph>.bin`."""
        import nncf
        import openvino as ov

        artifact = source.artifact
        named = load_shaped(artifact.path)
        upsample_by_broadcast.rewrite(named, keep=spec.keep_float)
        planar_split.rewrite(named)
        flat_places.rewrite(named)
        named = shaped(named)  # again: rewrites infer shapes anew, and cannot see computed ones
        chain = onnx_chain(named, spec.keep_float, where=artifact.path)
        replace_kernels(named, source.kernels, chain.convolutions)
        counted_pads.rewrite(named)
        lower_for_openvino(named)  # after the chain, which would take the ops in it
        with own_signal_stack(), quiet():
            model = read_model(named, artifact.path)
            _fold_constants(model)
            kernels = kernels_of(model)
            quantized = nncf.quantize(
                model,
                nncf.Dataset([_varied(next(iter(source.samples)))], _feed(named)),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=1,  # places the quantisers; the ranges follow
                ignored_scope=_float_scope(nncf, named, model, chain),
                advanced_parameters=_parameters(seven_bits(spec, source.board)),
            )
        set_ranges(ov, quantized, histograms, spec.ranges)
        set_weights(ov, quantized, kernels, weight_limit(self, spec, source.board))
        part_from_rounding(ov, quantized)
        path = out / f"{artifact.spec.name}.xml"
        _number_names(quantized)
        save_ir(quantized, path)
        return path


SCHEME = OpenVinoInt8()


def _varied(sample: Mapping[str, Array]) -> dict[str, Array]:
    """`sample` with noise on everything. In a first frame states are zero, and the driver may be
    what the still is: what follows from that has one range by chance, and would have to share it.
    """
    noise = np.random.default_rng(0)
    return {
        name: noise.random(array.shape, np.float32) * (array if array.any() else 1)
        for name, array in sample.items()
    }


def _feed(source: Any) -> Callable[[Mapping[str, Array]], dict[int, Array]]:
    """From a sample to what an infer request takes: arrays by the position of the input. That is
    the same in the ONNX graph `source`; the name is not, where a Dropout reads the input."""
    names = [value.name for value in graph_inputs(source)]

    def feed(sample: Mapping[str, Array]) -> dict[int, Array]:
        return {names.index(name): array for name, array in sample.items()}

    return feed


def _float_scope(nncf: Any, source: Any, model: Any, chain: Chain) -> Any:
    """All that does not belong to the chain of convolutions, in NNCF's terms."""
    floating = {node.name for node in source.graph.node} - {*chain.convolutions, *chain.glue}
    node_of = _nodes_of(source, model)
    names = [
        name
        for op in model.get_ordered_ops()
        if node_of[name := op.get_friendly_name()] in floating
        and op.get_type_name() not in _DATA_MOVES
    ]
    return nncf.IgnoredScope(names=names, types=list(FLOAT_TYPES), validate=False)


def _nodes_of(source: Any, model: Any) -> dict[str, str | None]:
    """The ONNX node in `source` that each op of `model` is of, by the op's name.

    OpenVINO names an op after its ONNX node, but one that gives an output of the graph after that
    output, which is known by the tensor; what a node decomposes into is `node/part`, which the
    types are for, or has a name of its own: such an op belongs to what reads it.
    """
    nodes = {node.name for node in source.graph.node}
    makers = {name: node.name for node in source.graph.node for name in node.output}
    found: dict[str, str | None] = {}
    for op in reversed(model.get_ordered_ops()):
        name = op.get_friendly_name()
        node = name.removesuffix("/WithoutBiases")
        if node not in nodes:
            tensors = (given for port in op.outputs() for given in port.get_names())
            made = (makers[tensor] for tensor in tensors if tensor in makers)
            readers = (to.get_node() for port in op.outputs() for to in port.get_target_inputs())
            read = (found[reader.get_friendly_name()] for reader in readers)
            node = next(made, None) or next(read, None)
        found[name] = node
    return found


def _parameters(weights_in_7_bits: bool) -> Any:
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        OverflowFix,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if weights_in_7_bits else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        disable_bias_correction=True,  # it would correct for ranges that are not the final ones
    )


def _fold_constants(model: Any) -> None:
    """Compute what follows from constants alone, as the shape that a grouped kernel is given does.

    NNCF takes a kernel's channels by the constant's own axes: of one that is reshaped on the way it
    rounds every column by itself, which OpenVINO computes in float.
    """
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _number_names(model: Any) -> None:
    """Name the ops that OpenVINO itself named after a counter of this process by their position.

    Equal requests then give equal files.
    """
    for position, op in enumerate(model.get_ordered_ops()):
        kind = op.get_type_name()
        # A constant may be called after the op that it was folded from.
        counted = r"\w+" if kind == "Constant" else kind
        if re.fullmatch(rf"{counted}_\d+", op.get_friendly_name()):
            op.set_friendly_name(f"{kind}_{position}")
