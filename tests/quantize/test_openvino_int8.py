"""What OpenVINO's INT8 leaves in float, and the ranges that it asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board
from tests.quantize.played import in_float_and_int8, psnr
from tests.quantize.written import RECURRENT, with_recurrent, written


def test_openvino_leaves_arithmetic_in_float_that_it_calls_after_an_output(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    import onnx
    import openvino as ov

    model = onnx.load(str(unet.path))
    (result,) = model.graph.output
    model.graph.node.append(onnx.helper.make_node("Mul", ["image", "image"], ["squared"], "sq"))
    model.graph.node.append(
        onnx.helper.make_node("Add", [result.name, "squared"], ["moved"], "node_add_7")
    )
    result.name = "moved"
    path = tmp_path / "moved.onnx"
    onnx.save(model, str(path))
    spec = replace(unet.spec, outputs=(replace(unet.spec.outputs[0], name="moved"),))
    made = get_scheme("openvino-int8").quantize(
        GraphArtifact(spec, path), samples, QuantizeSpec(), board, tmp_path
    )
    (output,) = ov.Core().read_model(str(made.path)).outputs
    addition = output.node.input_value(0).get_node()
    assert addition.get_type_name() == "Add"
    sources = [addition.input_value(i).get_node().get_type_name() for i in (0, 1)]
    assert "FakeQuantize" not in sources


def test_openvino_leaves_grouped_transposed_convolutions_in_float(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    import openvino as ov

    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1], strides = [2,2]> (image, wa)
           e = Elu (a)
           t = ConvTranspose <group = 4, strides = [2,2]> (e, wt, bt)
           s = Softplus (t)
           result = Conv <pads = [1,1,1,1]> (s, wr)""",
        {"wa": (8, 3, 3, 3), "wt": (8, 2, 2, 2), "bt": (8,), "wr": (3, 8, 3, 3)},
    )
    made = get_scheme("openvino-int8").quantize(
        GraphArtifact(unet.spec, path), samples, QuantizeSpec(), board, tmp_path
    )
    (up,) = [
        op
        for op in ov.Core().read_model(str(made.path)).get_ops()
        if op.get_type_name() == "GroupConvolutionBackpropData"
    ]
    sources = [up.input_value(i).get_node().get_type_name() for i in (0, 1)]
    assert "FakeQuantize" not in sources


def test_openvino_warps_volumes_in_float(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    import openvino as ov

    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           v = Reshape (a, deep)
           g = Conv <pads = [1,1,1,1]> (image, wg)
           r = Reshape (g, axes)
           grid = Transpose <perm = [0,2,3,4,1]> (r)
           w = GridSample <align_corners = 1> (v, grid)
           f = Reshape (w, flat)
           result = Conv <pads = [1,1,1,1]> (f, wr)""",
        {"wa": (8, 3, 3, 3), "wg": (12, 3, 3, 3), "wr": (3, 8, 3, 3)},
        {"deep": [1, 2, 4, 64, 64], "axes": [1, 3, 4, 64, 64], "flat": [1, 8, 64, 64]},
    )
    made = get_scheme("openvino-int8").quantize(
        GraphArtifact(unet.spec, path), samples, QuantizeSpec(), board, tmp_path
    )
    ops = ov.Core().read_model(str(made.path)).get_ops()
    lookups = [op for op in ops if op.get_type_name() == "GatherElements"]
    assert len(lookups) == 8
    for op in lookups:
        planes = op.input_value(0).get_node()
        assert planes.get_type_name() == "Reshape"
        assert planes.input_value(0).get_node().get_type_name() != "FakeQuantize"


def test_zero_is_a_level_of_every_range_in_openvino(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Between two levels every pad and every quiet pixel would be off, and all the same way."""
    import openvino as ov

    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           e = Elu (a)
           b = Conv <pads = [1,1,1,1]> (e, wb)
           t = Tanh (b)
           result = Conv <pads = [1,1,1,1]> (t, wr)""",
        {"wa": (8, 3, 3, 3), "wb": (8, 8, 3, 3), "wr": (3, 8, 3, 3)},
    )
    made = get_scheme("openvino-int8").quantize(
        GraphArtifact(unet.spec, path), samples, QuantizeSpec(), board, tmp_path
    )
    ops = ov.Core().read_model(str(made.path)).get_ops()
    rounded = [op for op in ops if op.get_type_name() == "FakeQuantize"]
    ends = [[op.input_value(i).get_node().data.item() for i in (1, 2)] for op in rounded]
    both_ways = [(low, high) for low, high in ends if low < 0 < high]
    assert len(both_ways) == 2
    for low, high in both_ways:
        place = -low / (high - low) * 255
        assert place == pytest.approx(round(place), abs=1e-3)


def test_a_channel_without_a_weight_gives_nothing_in_openvino(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    kernel = np.random.default_rng(4).normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    kernel[2] = 0
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           r = Relu (a)
           result = Conv <pads = [1,1,1,1]> (r, wr)""",
        {"wa": kernel, "wr": (3, 8, 3, 3)},
    )
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def assert_near_in_openvino(
    source: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """That some of it runs in INT8, and that this gives what float32 does."""
    wanted, got, executed = in_float_and_int8(source, "openvino-int8", samples, board, tmp_path)
    assert executed.int8 > 0
    assert psnr(wanted, got) > 30


@RECURRENT
def test_openvino_leaves_recurrent_ops_in_float(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, op: str, gates: str
) -> None:
    """They belong to no chain of convolutions, so that nobody recorded the range of their input."""
    path = with_recurrent(tmp_path, op, gates, 192)
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def test_openvino_leaves_all_that_an_op_is_put_together_from_in_float(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Of powers, means and roots only the ends are tensors of the graph, with known ranges."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           p = LpPool <kernel_shape = [3,3], pads = [1,1,1,1], p = 2> (a)
           result = Conv <pads = [1,1,1,1]> (p, wr)""",
        {"wa": (8, 3, 3, 3), "wr": (3, 8, 3, 3)},
    )
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def test_openvino_knows_the_range_of_a_vector_that_is_spread_out_beside_features(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Sound or key points beside a picture: the quantiser of the join is set where they are still
    a vector, whose range nobody asked for."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           p = GlobalAveragePool (image)
           f = Reshape (p, flat)
           v = MatMul (f, wv)
           u = Unsqueeze (v, last)
           e = Expand (u, wide)
           c = Concat <axis = 1> (a, e)
           result = Conv <pads = [1,1,1,1]> (c, wr)""",
        {"wa": (8, 3, 3, 3), "wv": (3, 8), "wr": (3, 16, 3, 3)},
        {"flat": [1, 3], "last": [2, 3], "wide": [1, 8, 64, 64]},
    )
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def test_openvino_gives_states_that_begin_as_zeros_ranges_of_their_own(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Whatever the first sample had at zero shared one range, the largest of all."""
    import onnx
    import openvino as ov

    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           b = Conv <pads = [1,1,1,1]> (faint, wa)
           c = Conv <pads = [1,1,1,1]> (strong, wa)
           s = Sum (a, b, c)
           result = Conv <pads = [1,1,1,1]> (s, wr)""",
        {"wa": (8, 3, 3, 3), "wr": (3, 8, 3, 3)},
    )
    model = onnx.load(str(path))
    scales = {"image": 1.0, "faint": 0.01, "strong": 100.0}
    for name in ("faint", "strong"):
        model.graph.input.add().CopyFrom(model.graph.input[0])
        model.graph.input[-1].name = name
    onnx.save(model, str(path))
    pictures = np.stack([sample["image"] for sample in samples])
    begun = (np.arange(len(pictures)) > 0).reshape(-1, 1, 1, 1, 1)
    fed = {name: (pictures * scale * (begun if scale != 1 else 1)).astype(np.float32)
           for name, scale in scales.items()}  # fmt: skip
    (image,) = unet.spec.inputs
    states = (replace(image, name=n, role=f"state:{n}", range=None) for n in ("faint", "strong"))
    source = GraphArtifact(replace(unet.spec, inputs=(image, *states)), path)
    made = get_scheme("openvino-int8").quantize(
        source, ArraySamples(fed), QuantizeSpec(), board, tmp_path / "8"
    )
    highs = {
        op.input_value(0).get_node().get_friendly_name(): float(op.input_value(2).get_node().data)
        for op in ov.Core().read_model(str(made.path)).get_ops()
        if op.get_type_name() == "FakeQuantize"
        and op.input_value(0).get_node().get_type_name() == "Parameter"
    }
    assert highs == pytest.approx(scales, rel=0.1)


@pytest.mark.filterwarnings("ignore")
def test_convolutions_behind_pads_that_a_file_computes_are_quantised(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """As PyTorch's older exporter writes a `padding_mode`: ONNX cannot tell the shape behind it."""
    import torch
    from torch import nn

    from edgeanim.core.quiet import quiet

    first = nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect")
    net, path = nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, 3, 1)), tmp_path / "net.onnx"
    with quiet():
        torch.onnx.export(
            net, (torch.rand(1, 3, 64, 64),), str(path), dynamo=False, opset_version=17,
            input_names=["image"], output_names=["result"],
        )  # fmt: skip
    source = GraphArtifact(unet.spec, path)
    wanted, got, profile = in_float_and_int8(source, "openvino-int8", samples, board, tmp_path)
    assert psnr(wanted, got) > 35
    assert profile.int8 > 0


@pytest.mark.parametrize(
    "extreme",
    [
        """w = Reshape (f, windows)
           t = ReduceMax <keepdims = 0> (w, middle)
           e = Reshape (t, map)""",
        "e = ReduceMin (f, middle)",
        """t = ReduceMax (f, middle)
           e = LeakyRelu <alpha = 0.2> (t)""",
    ],
    ids=["of windows", "least", "activated"],
)
def test_openvino_computes_extremes_before_it_rounds_them(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, extreme: str
) -> None:
    """In one kernel with the rounding they were wrong, and the frame nothing like that of float."""
    path = written(
        tmp_path,
        f"""a = Conv <pads = [1,1,1,1]> (image, wa)
           f = Elu (a)
           {extreme}
           result = Conv <pads = [1,1,1,1]> (e, wr)""",
        {"wa": (8, 3, 3, 3), "wr": (3, 1, 3, 3)},
        {"windows": [1, 8, 1, 64, 64], "middle": [1], "map": [1, 1, 64, 64]},
    )
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def test_openvino_takes_windows_that_are_looked_up_behind_a_convolution(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """As torch.nn.functional.unfold is exported: it refused its own form of the INT8 graph."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           u = Gather <axis = 2> (a, windows)
           t = Transpose <perm = [0,2,1,3,4]> (u)
           f = Reshape (t, flat)
           result = Conv <pads = [1,1,1,1]> (f, wr)""",
        {"wa": (8, 3, 3, 3), "wr": (3, 8, 3, 3)},
        {"windows": np.arange(64).reshape(32, 2).T, "flat": [1, 8, 64, 64]},
    )
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)
