"""What TensorRT asks of an ONNX graph with quantisers, checked here, where there is no TensorRT.

By NVIDIA's guide to explicit quantisation: signed 8 bits with zero point 0; one scale per tensor
for activations, at most one per output channel for weights; a quantiser directly before its
dequantiser; none on a bias, and none between a convolution and the ReLU that is fused into it; and
a convolution's input and weights both in 8 bits, or neither.
"""

from __future__ import annotations

from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.graph.queries import makers_of, readers_of

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_NAMED = 8


def check_tensorrt(model: Any, *, where: object = None) -> None:
    """`BadInput` that names the nodes of an ONNX `model` which break TensorRT's rules."""
    found = violations(model)
    if found:
        listed = "; ".join(found[:_NAMED])
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise BadInput(
            f"TensorRT would not run this graph in INT8: {listed}{more}.",
            where=where,
            hint="Quantise the float graph to the scheme tensorrt-qdq.",
        )


def violations(model: Any) -> list[str]:
    """One sentence for every broken rule, in the graph's order."""
    return _Rules(model).broken()


class _Rules:
    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self._graph = model.graph
        self._constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._maker, self._readers = makers_of(model), readers_of(model)

    def broken(self) -> list[str]:
        found = []
        for node in self._graph.node:
            if node.op_type in (_QUANTIZE, _DEQUANTIZE):
                found += [f"{node.name!r} {problem}" for problem in self._of_quantizer(node)]
            if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
                found += [f"{node.name!r} {problem}" for problem in self._of_layer(node)]
        return found

    def _of_quantizer(self, node: Any) -> list[str]:
        problems = []
        zero = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        scale = self._constants.get(node.input[1])
        if zero is None or zero.dtype != "int8":
            problems.append("is not of signed 8 bits with a zero point that is written down")
        elif (zero != 0).any():
            problems.append("has a zero point that is not 0")
        if scale is None:
            problems.append("has a scale that is computed")
        elif not (scale > 0).all():
            problems.append("has a scale that is not positive")
        elif scale.size > 1 and not self._of_weights(node):
            problems.append("has several scales for an activation")
        if node.op_type == _QUANTIZE:
            readers = self._readers.get(node.output[0], ())
            if not readers or any(reader.op_type != _DEQUANTIZE for reader in readers):
                problems.append("is not followed by a DequantizeLinear")
            if self._between_convolution_and_relu(node):
                problems.append("lies between a convolution and its ReLU")
        return problems

    def _of_layer(self, node: Any) -> list[str]:
        problems = []
        quantized = [self._dequantized(name) for name in node.input[:2]]
        if any(quantized) and not all(quantized):
            problems.append("has only one of input and weights in 8 bits")
        if len(node.input) > 2 and self._dequantized(node.input[2]):
            problems.append("has a quantised bias")
        return problems

    def _dequantized(self, name: str) -> bool:
        return name in self._maker and self._maker[name].op_type == _DEQUANTIZE

    def _of_weights(self, node: Any) -> bool:
        """Whether what a quantiser or dequantiser works on comes from a constant."""
        source = node.input[0]
        if source in self._maker and self._maker[source].op_type == _QUANTIZE:
            source = self._maker[source].input[0]
        return source in self._constants

    def _between_convolution_and_relu(self, node: Any) -> bool:
        maker = self._maker.get(node.input[0])
        if maker is None or maker.op_type != "Conv":
            return False
        return any(
            reader.op_type == "Relu"
            for dequantizer in self._readers.get(node.output[0], ())
            for reader in self._readers.get(dequantizer.output[0], ())
        )
