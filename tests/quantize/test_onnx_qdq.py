"""Clips, folded ops, old opsets, gates and slopes in the forms that are ONNX graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.restructure import restructure
from edgeanim.pipeline.methods import quantized_graph
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.onnx_nodes import name_nodes, onnx_chain
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board
from tests.quantize.played import in_float_and_int8, play, psnr
from tests.quantize.written import CLIPPED, TWO_KERNELS, as_numbers, written


def test_a_clip_away_from_zero_still_clips(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """ONNX Runtime's quantiser drops it: the range does the same, but for the zero in it."""
    path = written(tmp_path, CLIPPED, TWO_KERNELS | {"low": [0.4], "high": [0.9]})
    source = GraphArtifact(unet.spec, as_numbers(path, "low", "high"))
    wanted, got, _ = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    assert psnr(wanted, got) > 35


def test_a_mean_divides_by_the_pixels_that_its_last_window_holds(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """ONNX Runtime's own INT8 divides by the whole window, which `restructure` takes from it."""
    import onnx

    path = written(tmp_path, """
        a = Conv <pads = [1, 1, 1, 1]> (image, w0)
        r = Relu (a)
        p = AveragePool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1, count_include_pad=1> (r)
        b = Conv <pads = [1, 1, 1, 1]> (p, w1)
        result = DepthToSpace <blocksize = 2> (b)
        """, {"w0": (16, 3, 3, 3), "w1": (12, 16, 3, 3)})  # fmt: skip
    made = restructure(onnx.load(str(path)))
    assert made
    onnx.save(made.model, str(tmp_path / "restructured.onnx"))
    source = GraphArtifact(unet.spec, tmp_path / "restructured.onnx")
    _, got, _ = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    wanted, _ = play(GraphArtifact(unet.spec, path), "onnxruntime", board, samples, tmp_path)
    assert psnr(wanted, got) > 40


@pytest.mark.parametrize(
    ("body", "limits", "glue"),
    [
        (CLIPPED, {"low": [0.0], "high": [6.0]}, True),
        (CLIPPED, {"low": [-1.0], "high": [0.0]}, True),
        (CLIPPED, {"low": [0.1], "high": [6.0]}, False),
        (CLIPPED, {"low": [-2.0], "high": [-1.0]}, False),
        (CLIPPED.replace("low, high", "low"), {"low": [0.1]}, False),
        (CLIPPED.replace("low, high", ", high"), {"high": [6.0]}, True),
    ],
)
def test_a_clip_is_glue_in_the_file_and_in_training_where_it_keeps_zero(
    body: str, limits: dict[str, list[float]], glue: bool, tmp_path: Path
) -> None:
    import onnx
    import torch

    from edgeanim.graph.pytorch.to_torch import import_torch
    from edgeanim.graph.pytorch.traced import traced_shapes
    from edgeanim.quantize.distillation.placement import find_placement

    path = as_numbers(written(tmp_path, body, TWO_KERNELS | limits), *limits)
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    name_nodes(model)
    assert bool(onnx_chain(model).glue) == glue
    module = import_torch(path).module
    placement = find_placement(module, traced_shapes(module, [torch.rand(1, 3, 64, 64)]))
    first = next(n.name for n in module.graph.nodes if n.op == "call_module")
    assert (first not in placement.values) == glue  # else it is rounded before the Clip too


@pytest.mark.parametrize(
    "between",
    [
        "t = BatchNormalization (a, scale, shift, mean, variance)",
        "t = Mul (a, factor)",
        "t = Identity (a)",
        "t = Dropout (a)",
        "m = BatchNormalization (a, scale, shift, mean, variance) t = Mul (m, factor)",
    ],
)
def test_what_is_folded_into_a_convolution_that_float_reads_is_quantised(
    between: str, unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """Sigmoid-weighted, as in nets for phones: what is folded lies before no op of the chain."""
    body = f"""
    a = Conv <pads = [1, 1, 1, 1]> (image, w0) {between} s = Sigmoid (t) x = Mul (t, s)
    result = Conv <pads = [1, 1, 1, 1]> (x, w1)
    """
    ones, half = [1.0] * 16, [0.5] * 16
    weights = TWO_KERNELS | {"scale": ones, "shift": half, "mean": half, "variance": ones}
    path = written(tmp_path, body, weights | {"factor": (1, 16, 1, 1)})
    source = GraphArtifact(unet.spec, path)
    wanted, got, profile = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    assert np.std(got - wanted) < 0.06 * np.std(wanted)
    assert profile.int8 > 0


@pytest.mark.parametrize("scheme", ["onnx-qdq", "openvino-int8", "tensorrt-qdq"])
def test_a_node_to_keep_in_float_may_be_folded_into_a_convolution(
    scheme: str, unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    body = """
    a = Conv <pads = [1, 1, 1, 1]> (image, w0)
    norm = BatchNormalization (a, scale, scale, scale, scale)
    result = Conv <pads = [1, 1, 1, 1]> (norm, w1)
    """
    path = written(tmp_path, body, TWO_KERNELS | {"scale": [0.5] * 16})
    spec = QuantizeSpec(keep_float=("norm",))
    source = GraphArtifact(unet.spec, path)
    made = get_scheme(scheme).quantize(source, samples, spec, board, tmp_path / "8")
    assert made.scheme == scheme


@pytest.mark.parametrize("scheme", ["onnx-qdq", "openvino-int8", "tensorrt-qdq"])
@pytest.mark.parametrize("opset", [11, 12])
def test_old_opsets_have_no_scales_by_channel_and_are_raised(
    scheme: str,
    opset: int,
    unet: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    import onnx

    path = written(tmp_path, CLIPPED, TWO_KERNELS | {"low": [0.0], "high": [0.8]})
    model = onnx.load(str(as_numbers(path, "low", "high")))
    model.opset_import[0].version, model.ir_version = opset, 6
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    source = GraphArtifact(unet.spec, path)
    spec = QuantizeSpec(keep_float=("clipped",))
    made = get_scheme(scheme).quantize(source, samples, spec, board, tmp_path / "8")
    runtime = "openvino" if scheme.startswith("openvino") else "onnxruntime"
    wanted, _ = play(source, "onnxruntime", board, samples, tmp_path / "float")
    got, _ = play(made, runtime, board, samples, tmp_path / "int8")
    assert 0 < np.std(got - wanted) < 0.06 * np.std(wanted)


@pytest.mark.parametrize("scheme", ["onnx-qdq", "tensorrt-qdq"])
def test_a_gate_that_is_channels_last_between_convolutions_has_its_range(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, scheme: str
) -> None:
    """Keras' squeeze-and-excite, as TensorFlow's exporter leaves it: ONNX Runtime moves its
    transposes, and gives what lies between them other names, before it asks for their ranges."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           t = Transpose <perm = [0,2,3,1]> (a)
           s = Sigmoid (t)
           m = Mul (t, s)
           g = ReduceMean <keepdims = 0> (m, middle)
           d = MatMul (g, wd)
           k = Sigmoid (d)
           r = Reshape (k, last)
           e = Mul (m, r)
           c = Transpose <perm = [0,3,1,2]> (e)
           p = Pad <mode = "reflect"> (c, edges)
           q = Conv (p, wq)
           f = Concat <axis = 1> (q, c)
           result = Conv <pads = [1,1,1,1]> (f, wr)""",
        {"wa": (8, 3, 3, 3), "wd": (8, 8), "wq": (8, 8, 3, 3), "wr": (3, 16, 3, 3)},
        {"middle": [1, 2], "last": [1, 1, 1, 8], "edges": [0, 0, 1, 1, 0, 0, 1, 1]},
    )
    source = GraphArtifact(unet.spec, path)
    made = get_scheme(scheme).quantize(source, samples, QuantizeSpec(), board, tmp_path / "8")
    wanted, _ = play(source, "onnxruntime", board, samples, tmp_path / "float")
    got, _ = play(replace(made, scheme="onnx-qdq"), "onnxruntime", board, samples, tmp_path / "run")
    assert psnr(wanted, got) > 30


def test_what_is_laid_out_anew_has_its_range_whatever_its_node_is_called(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """A norm with channels last, as PyTorch's exporter names its nodes: ONNX Runtime calls what it
    lays out channels first after the node, not after the value."""
    import onnx

    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           t = Transpose <perm = [0,2,3,1]> (a)
           s = Tanh (t)
           m = Mul (s, by_channel)
           c = Transpose <perm = [0,3,1,2]> (m)
           result = Conv <pads = [1,1,1,1]> (c, wr)""",
        {"wa": (8, 3, 3, 3), "by_channel": (8,), "wr": (3, 8, 3, 3)},
    )
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.name = f"node_{node.output[0]}"
    onnx.save(model, str(path))
    source = GraphArtifact(unet.spec, path)
    wanted, got, profile = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    assert psnr(wanted, got) > 35
    assert profile.int8 > 0


@pytest.mark.parametrize("slopes", [(8, 1, 1), (1, 8, 1, 1)])
def test_onnxruntime_computes_slopes_by_channel_in_8_bits(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, slopes: tuple[int]
) -> None:
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           p = PRelu (a, slopes)
           result = Conv <pads = [1,1,1,1]> (p, wr)""",
        {"wa": (8, 3, 3, 3), "slopes": slopes, "wr": (3, 8, 3, 3)},
    )
    source = GraphArtifact(unet.spec, path)
    wanted, got, profile = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    assert psnr(wanted, got) > 30
    assert not [op for op in profile.ops if op.kind == "PRelu"]


def wide(
    kernel: int = 7, groups: int = 8, then: str = "InstanceNormalization (d, one, one)"
) -> str:
    pads = [kernel // 2] * 4
    return f"""
    a = Conv <pads = [1, 1, 1, 1]> (image, wa)
    d = Conv <pads = {pads}, group = {groups}> (a, wd)
    n = {then}
    result = Conv <pads = [1, 1, 1, 1]> (n, wr)
    """


@pytest.mark.parametrize(
    ("body", "filters", "arch", "in_8_bits"),
    [
        (wide(), (8, 1, 7, 7), "x86_64", 2),
        (wide(), (8, 1, 7, 7), "aarch64", 3),  # where it was not measured
        (wide(kernel=3), (8, 1, 3, 3), "x86_64", 3),
        (wide(groups=4), (8, 2, 7, 7), "x86_64", 3),
        (wide(then="Relu (d)"), (8, 1, 7, 7), "x86_64", 3),
    ],
)
def test_a_wide_depthwise_convolution_that_float_alone_reads_is_in_float_on_x86(
    body: str, filters: tuple[int, ...], arch: str, in_8_bits: int,
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path,
) -> None:  # fmt: skip
    import onnx

    weights = {"wa": (8, 3, 3, 3), "wd": filters, "wr": (3, 8, 3, 3), "one": [1.0] * 8}
    source = GraphArtifact(unet.spec, written(tmp_path, body, weights))
    there = replace(board, arch=arch)
    wanted, got, _ = in_float_and_int8(source, "onnx-qdq", samples, there, tmp_path)
    assert np.std(got - wanted) < 0.1 * np.std(wanted)
    nodes = onnx.load(str(next((tmp_path / "8").glob("*.onnx")))).graph.node
    rounded = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    kernels = [node.input[1] for node in nodes if node.op_type == "Conv"]
    assert len(rounded.intersection(kernels)) == in_8_bits


def test_a_wide_depthwise_convolution_is_rounded_where_there_is_no_other(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    body = "a = Conv <pads = [3,3,3,3], group = 3> (image, w) result = Sigmoid (a)"
    source = GraphArtifact(unet.spec, written(tmp_path, body, {"w": (3, 1, 7, 7)}))
    wanted, got, profile = in_float_and_int8(source, "onnx-qdq", samples, board, tmp_path)
    assert psnr(wanted, got) > 30
    assert profile.int8 > 0


def test_an_8_bit_form_is_stored_for_each_architecture(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    weights = {"wa": (8, 3, 3, 3), "wd": (8, 1, 7, 7), "wr": (3, 8, 3, 3), "one": [1.0] * 8}
    source = GraphArtifact(unet.spec, written(tmp_path, wide(), weights))
    made = [
        quantized_graph(
            Work(replace(board, arch=arch), Store(tmp_path / "store")),
            source, samples, "onnx-qdq", QuantizeSpec(),
        ).path.read_bytes()
        for arch in ("x86_64", "aarch64")
    ]  # fmt: skip
    assert made[0] != made[1]
