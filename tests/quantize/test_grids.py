"""The integers that each scheme writes, read back from its files: what was decided is what runs.

A quantiser that goes its own way there runs all the same, and only drifts more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.graph.restructure import restructure
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.rounding import round_kernels
from edgeanim.quantize.schemes import get_scheme, scheme_names
from edgeanim.quantize.schemes.base import weight_limit
from edgeanim.targets.board import Board
from edgeanim.targets.tflite_graph import open_interpreter
from tests.onnx_text import parsed
from tests.quantize.played import SCHEMES, in_float_and_int8, psnr
from tests.quantize.written import written


@dataclass(frozen=True)
class Stored:
    """A kernel in a file: whole numbers [O, I/g, H, W] and the step of each output channel [O]."""

    whole: Array
    steps: Array


def net(folder: Path, like: GraphArtifact, *, kernels: dict[str, Array], first_bias: Array) -> Any:
    """A plain convolution with that bias, a depthwise, a grouped and two plain ones, with ReLUs."""
    import onnx

    picture = "float[1,3,64,64]"
    body = """a = Conv <pads = [1,1,1,1]> (image, plain, bias)  ar = Relu (a)
              d = Conv <pads = [1,1,1,1], group = 8> (ar, depthwise)  dr = Relu (d)
              g = Conv <pads = [1,1,1,1], group = 2> (dr, grouped)  gr = Relu (g)
              p = Conv <pads = [1,1,1,1]> (gr, last)  pr = Relu (p)
              result = Conv (pr, head)"""
    weights = {**kernels, "bias": first_bias}
    model = parsed(
        f"net ({picture} image) => ({picture} result) {{ {body} }}",
        {name: values.astype(np.float32) for name, values in weights.items()},
        opset=17,
    )
    for node in model.graph.node:
        node.name = node.input[1] if node.op_type == "Conv" else node.output[0]
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return GraphArtifact(like.spec, path)


def uneven_kernels() -> dict[str, Array]:
    """Kernels whose channels differ as much as those before a norm do, by factors of thousands."""
    rng = np.random.default_rng(0)
    shapes = {
        "plain": (8, 3, 3, 3),
        "depthwise": (8, 1, 3, 3),
        "grouped": (16, 4, 3, 3),
        "last": (24, 16, 3, 3),
        "head": (3, 24, 1, 1),
    }
    return {
        name: rng.normal(0, 0.3, shape) * np.geomspace(1e-3, 1, shape[0])[:, None, None, None]
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("seven_bits", [False, True])
@pytest.mark.parametrize("scheme", scheme_names())
def test_kernels_are_written_as_they_were_rounded(
    scheme: str,
    seven_bits: bool,
    unet: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    """Each on the grid on which its weights made up for each other: another grid rounds them once
    more, and all that was made up is lost."""
    source = net(tmp_path, unet, kernels=uneven_kernels(), first_bias=np.zeros(8))
    form, spec = get_scheme(scheme), QuantizeSpec(reduce_range=seven_bits)
    limit = weight_limit(form, spec, board)
    kernels = round_kernels(source, samples, [limit])[limit]
    made = form.quantize(source, samples, spec, board, tmp_path / "8", kernels=kernels)
    found = {each.whole.shape: each for each in stored_in(made.path)}
    wanted = {name: kernels[name] for name in ("plain", "depthwise", "grouped", "last")}
    assert found.keys() >= {kernel.shape for kernel in wanted.values()}  # the head may be in float
    for kernel in wanted.values():
        same_integers(found[kernel.shape], kernel, limit)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("weight", [0.0, 1e-6])
def test_a_channel_of_next_to_no_weights_keeps_its_bias(
    weight: float,
    scheme: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    """Biases are stored in steps of input times kernel: a batch norm that lets nothing through but
    its shift leaves a channel with steps so small that 32 bits do not reach the bias."""
    rng = np.random.default_rng(1)
    kernels = {
        name: rng.normal(0, 1.4 / np.sqrt(np.prod(kernel.shape[1:])), kernel.shape)
        for name, kernel in uneven_kernels().items()
    }
    bias = np.zeros(8)
    for name, channel in (("plain", 3), ("depthwise", 3)):
        kernels[name][channel] *= weight
    kernels["depthwise"][3, 0, 1, 1] = 1
    bias[3] = 2
    source = net(tmp_path, unet, kernels=kernels, first_bias=bias)
    wanted, got, _ = in_float_and_int8(source, scheme, samples, board, tmp_path)
    assert psnr(wanted / np.std(wanted), got / np.std(wanted)) > 35


def test_what_a_relu_takes_away_is_given_no_levels(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """Whoever reads what it gives: a convolution's result that is rounded before it spends half of
    the levels on what is thrown away."""
    import onnx
    from onnx import numpy_helper

    path = written(
        tmp_path,
        """c = Conv <pads = [1,1,1,1]> (image, k0)  r = Relu (c)  s = Softplus (r)
           t = ConvTranspose <strides = [2,2]> (s, k1)  u = Relu (t)
           result = Conv <strides = [2,2]> (u, k2)""",
        {"k0": (8, 3, 3, 3), "k1": (8, 8, 2, 2), "k2": (3, 8, 1, 1)},
    )
    onnx.save(restructure(onnx.load(str(path))).model, str(path))
    source = GraphArtifact(unet.spec, path)
    made = get_scheme("onnx-qdq").quantize(source, samples, QuantizeSpec(), board, tmp_path / "8")
    graph = onnx.load(str(made.path)).graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    behind = [
        readers[n.output[0]] for n in graph.node if n.op_type == "Conv" and n.name != "result"
    ]
    zeros = [int(known[n.input[2]]) for n in behind if n.op_type == "QuantizeLinear"]
    assert zeros == [0, 0]


def same_integers(found: Stored, kernel: Array, limit: float) -> None:
    steps = np.abs(kernel).max((1, 2, 3)) / limit
    assert found.steps == pytest.approx(steps, rel=1e-5)
    whole = np.rint(kernel / steps[:, None, None, None]).clip(-np.floor(limit), np.floor(limit))
    assert np.array_equal(found.whole, whole)


def stored_in(path: Path) -> list[Stored]:
    """The kernels of a quantised graph that are in 8 bits."""
    forms = {".onnx": _in_onnx, ".xml": _in_openvino, ".tflite": _in_tflite}
    return list(forms[path.suffix](path))


def _in_onnx(path: Path) -> Iterator[Stored]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in maker:
            dequantize = maker[node.input[1]]
            steps, held = known[dequantize.input[1]], dequantize.input[0]
            if held in maker:  # TensorRT rounds the weights itself
                held = maker[held].input[0]
                yield Stored(np.rint(known[held] / steps[:, None, None, None]), steps)
            else:
                yield Stored(known[held], steps)


def _in_openvino(path: Path) -> Iterator[Stored]:
    import openvino

    for op in openvino.Core().read_model(str(path)).get_ops():
        if op.get_type_name() in ("Convolution", "GroupConvolution"):
            scaled = op.input_value(1).get_node()
            if scaled.get_type_name() == "Multiply":
                steps = scaled.input_value(1).get_node().data
                whole = scaled.input_value(0).get_node().input_value(0).get_node().data
                assert whole.dtype == np.int8
                # A grouped kernel is [G, O/G, I/G, H, W].
                yield Stored(whole.reshape(-1, *whole.shape[-3:]), steps.ravel())


def _in_tflite(path: Path) -> Iterator[Stored]:
    interpreter = open_interpreter(path, xnnpack=False)
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            detail = tensors[op["inputs"][1]]
            if detail["dtype"] is np.int8:
                whole = interpreter.get_tensor(detail["index"])
                # IHWO and OHWI.
                order = (3, 0, 1, 2) if op["op_name"].startswith("DEPTH") else (0, 3, 1, 2)
                steps = detail["quantization_parameters"]["scales"]
                yield Stored(whole.transpose(order), steps)
