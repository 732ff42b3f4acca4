"""What single schemes do with ops and processors that need a rule of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration import ArraySamples
from edgeanim.quantize.chain import name_nodes, onnx_chain
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.backends import OpProfile, get_backend
from edgeanim.targets.board import Board, load_board
from tests.quantize.played import play, psnr


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


def assert_near_in_openvino(
    source: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """That some of it runs in INT8, and that this gives what float32 does."""
    made = get_scheme("openvino-int8").quantize(
        source, samples, QuantizeSpec(), board, tmp_path / "8"
    )
    wanted, _ = play(source, "openvino", board, samples, tmp_path / "float")
    got, executed = play(made, "openvino", board, samples, tmp_path / "int8")
    assert executed.int8 > 0
    assert psnr(wanted, got) > 30


RECURRENT = pytest.mark.parametrize(
    ("op", "gates"), [("LSTM", ""), ("GRU", ""), ("GRU", ", linear_before_reset = 1")]
)


def with_recurrent(tmp_path: Path, op: str, gates: str, steps: int) -> Path:
    """A net that joins a picture's features and what `op` makes of its pixels in so many steps."""
    rows, width = 8 * {"LSTM": 4, "GRU": 3}[op], 3 * 64 * 64 // steps
    return written(
        tmp_path,
        f"""t = Reshape (image, steps)
           y, last = {op} <hidden_size = 8{gates}> (t, w, r)
           v = Reshape (last, pixel)
           e = Expand (v, wide)
           a = Conv <pads = [1,1,1,1]> (image, wa)
           c = Concat <axis = 1> (a, e)
           result = Conv <pads = [1,1,1,1]> (c, wr)""",
        {"w": (1, rows, width), "r": (1, rows, 8), "wa": (8, 3, 3, 3), "wr": (3, 16, 3, 3)},
        {"steps": [steps, 1, width], "pixel": [1, 8, 1, 1], "wide": [1, 8, 64, 64]},
    )


@RECURRENT
def test_openvino_leaves_recurrent_ops_in_float(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, op: str, gates: str
) -> None:
    """They belong to no chain of convolutions, so that nobody recorded the range of their input."""
    path = with_recurrent(tmp_path, op, gates, 192)
    assert_near_in_openvino(GraphArtifact(unet.spec, path), samples, board, tmp_path)


@RECURRENT
def test_tflite_takes_the_steps_of_recurrent_ops(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, op: str, gates: str
) -> None:
    source = GraphArtifact(unet.spec, with_recurrent(tmp_path, op, gates, 12))
    exact, _ = play(source, "onnxruntime", board, samples, tmp_path / "onnx")
    wanted, _ = play(source, "tflite", board, samples, tmp_path / "float")
    made = get_scheme("tflite-int8").quantize(
        source, samples, QuantizeSpec(), board, tmp_path / "8"
    )
    got, executed = play(made, "tflite", board, samples, tmp_path / "int8")
    assert psnr(exact, wanted) > 80
    assert psnr(exact, got) > 30
    assert executed.int8 > 0


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


@pytest.mark.slow
def test_tflite_pads_what_is_pooled_by_its_maximum_with_an_infinity(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           p = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (a)
           u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                       nearest_mode = "floor"> (p, , scales)
           result = Conv <pads = [1,1,1,1]> (u, wr)""",
        {"wa": (8, 3, 3, 3), "wr": (3, 8, 3, 3), "scales": [1, 1, 2, 2]},
    )
    assert in_tflite(GraphArtifact(unet.spec, path), samples, board, tmp_path).int8 > 0


@pytest.mark.slow
def test_tflite_runs_a_convolution_that_reads_nothing_but_zeros(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Such as what a ReLU gives that died in training."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa, ba)
           dead = Relu (a)
           b = Conv <pads = [1,1,1,1]> (image, wa)
           d = Conv <pads = [1,1,1,1]> (dead, wd)
           s = Add (b, d)
           result = Conv <pads = [1,1,1,1]> (s, wr)""",
        {"wa": (8, 3, 3, 3), "ba": [-100] * 8, "wd": (8, 8, 3, 3), "wr": (3, 8, 3, 3)},
    )
    in_tflite(GraphArtifact(unet.spec, path), samples, board, tmp_path)


def in_tflite(
    source: GraphArtifact, samples: ArraySamples, board: Board, folder: Path
) -> OpProfile:
    """What TFLite executed of a graph in INT8, whose results are near the float ones."""
    made = get_scheme("tflite-int8").quantize(source, samples, QuantizeSpec(), board, folder)
    wanted, _ = play(source, "onnxruntime", board, samples, folder / "float")
    got, profile = play(made, "tflite", board, samples, folder / "int8")
    assert psnr(wanted, got) > 30
    return profile


def written(
    folder: Path,
    body: str,
    weights: Mapping[str, tuple[int, ...] | list[float]],
    shapes: Mapping[str, list[int]] | None = None,
) -> Path:
    """A graph from `image` to `result`, both 64x64; weights are shapes to fill, or their values.
    `shapes` are constants for its Reshapes."""
    import onnx

    picture = "float[1,3,64,64]"
    head = f'<ir_version: 8, opset_import: ["": 20]> g ({picture} image) => ({picture} result)'
    model = onnx.parser.parse_model(f"{head} {{ {body} }}")
    rng = np.random.default_rng(0)
    for name, given in weights.items():
        values = rng.normal(0, 0.2, given) if isinstance(given, tuple) else np.array(given)
        tensor = onnx.numpy_helper.from_array(values.astype(np.float32), name)
        model.graph.initializer.append(tensor)
    for name, sizes in (shapes or {}).items():
        tensor = onnx.numpy_helper.from_array(np.array(sizes, np.int64), name)
        model.graph.initializer.append(tensor)
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return path


_CLIPPED = """
first = Conv <pads = [1, 1, 1, 1]> (image, w0)
clipped = Clip (first, low, high)
result = Conv <pads = [1, 1, 1, 1]> (clipped, w1)
"""
_TWO_KERNELS = {"w0": (16, 3, 3, 3), "w1": (3, 16, 3, 3)}


def test_a_clip_away_from_zero_still_clips(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """ONNX Runtime's quantiser drops it: the range does the same, but for the zero in it."""
    path = written(tmp_path, _CLIPPED, _TWO_KERNELS | {"low": [0.4], "high": [0.9]})
    source = GraphArtifact(unet.spec, as_numbers(path, "low", "high"))
    made = get_scheme("onnx-qdq").quantize(source, samples, QuantizeSpec(), board, tmp_path / "8")
    wanted, _ = play(source, "onnxruntime", board, samples, tmp_path / "float")
    got, _ = play(made, "onnxruntime", board, samples, tmp_path / "int8")
    assert psnr(wanted, got) > 35


@pytest.mark.parametrize(
    ("body", "limits", "glue"),
    [
        (_CLIPPED, {"low": [0.0], "high": [6.0]}, True),
        (_CLIPPED, {"low": [-1.0], "high": [0.0]}, True),
        (_CLIPPED, {"low": [0.1], "high": [6.0]}, False),
        (_CLIPPED, {"low": [-2.0], "high": [-1.0]}, False),
        (_CLIPPED.replace("low, high", "low"), {"low": [0.1]}, False),
        (_CLIPPED.replace("low, high", ", high"), {"high": [6.0]}, True),
    ],
)
def test_a_clip_is_glue_in_the_file_and_in_training_where_it_keeps_zero(
    body: str, limits: dict[str, list[float]], glue: bool, tmp_path: Path
) -> None:
    import onnx
    import torch

    from edgeanim.graph.to_torch import import_torch
    from edgeanim.graph.traced import traced_shapes
    from edgeanim.quantize.distillation.placement import find_placement

    path = as_numbers(written(tmp_path, body, _TWO_KERNELS | limits), *limits)
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
    weights = _TWO_KERNELS | {"scale": ones, "shift": half, "mean": half, "variance": ones}
    path = written(tmp_path, body, weights | {"factor": (1, 16, 1, 1)})
    source = GraphArtifact(unet.spec, path)
    made = get_scheme("onnx-qdq").quantize(source, samples, QuantizeSpec(), board, tmp_path / "8")
    wanted, _ = play(source, "onnxruntime", board, samples, tmp_path / "float")
    got, profile = play(made, "onnxruntime", board, samples, tmp_path / "int8")
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
    path = written(tmp_path, body, _TWO_KERNELS | {"scale": [0.5] * 16})
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

    path = written(tmp_path, _CLIPPED, _TWO_KERNELS | {"low": [0.0], "high": [0.8]})
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


def as_numbers(path: Path, *names: str) -> Path:
    """The graph with those of its weights that hold one number as numbers without an axis."""
    import onnx

    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name in names:
            del tensor.dims[:]
    onnx.save(model, str(path))
    return path


def weights_of(path: Path) -> list[Array]:
    import onnx
    from onnx import numpy_helper

    tensors = onnx.load(str(path)).graph.initializer
    return [
        numpy_helper.to_array(t)
        for t in tensors
        if t.name.endswith("w_quantized")
        or (t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    ]


def test_seven_bit_weights_where_the_silicon_saturates_or_the_recipe_says_so(
    tiny: GraphArtifact, samples: ArraySamples, board: Board, old_board: Board, tmp_path: Path
) -> None:
    def peak(spec: QuantizeSpec, on: Board) -> int:
        made = get_scheme("onnx-qdq").quantize(tiny, samples, spec, on, tmp_path / on.name)
        kernels = weights_of(made.path)
        assert kernels
        return max(int(np.abs(kernel.astype(int)).max()) for kernel in kernels)

    assert peak(QuantizeSpec(), board) > 64
    assert peak(QuantizeSpec(), old_board) <= 64
    assert peak(QuantizeSpec(reduce_range=True), board) <= 64


def test_openvino_weights_keep_to_half_the_levels_where_the_silicon_saturates(
    tiny: GraphArtifact, samples: ArraySamples, board: Board, old_board: Board, tmp_path: Path
) -> None:
    import openvino

    def peak(on: Board) -> float:
        made = get_scheme("openvino-int8").quantize(
            tiny, samples, QuantizeSpec(), on, tmp_path / on.name
        )
        model = openvino.Core().read_model(str(made.path))
        kernels = [
            op.data
            for op in model.get_ops()
            if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8"
        ]
        assert kernels
        return max(float(np.abs(kernel.astype(int)).max()) for kernel in kernels)

    assert peak(board) > 64
    assert peak(old_board) <= 64


@pytest.mark.parametrize(
    ("scheme", "backend"), [("onnx-qdq", "onnxruntime"), ("openvino-int8", "openvino")]
)
def test_a_graph_that_needs_vnni_says_so_when_it_is_compiled(
    scheme: str,
    backend: str,
    tiny: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    old_board: Board,
    tmp_path: Path,
) -> None:
    def compiled(graph: GraphArtifact, name: str) -> CompiledGraph:
        return get_backend(backend).compile(graph, load_board("x86-vnni"), tmp_path / name)

    for on, needs in ((board, True), (old_board, False)):
        made = get_scheme(scheme).quantize(tiny, samples, QuantizeSpec(), on, tmp_path / on.name)
        assert compiled(made, f"{on.name}-compiled").needs_vnni is needs
    assert not compiled(tiny, "float").needs_vnni


def test_openvino_rounds_the_weights_as_training_and_the_ranking_of_layers_do(
    unet: GraphArtifact, samples: ArraySamples, old_board: Board, tmp_path: Path
) -> None:
    """Half of 127 levels end between two steps: the largest weights go to the lower one."""
    import onnx
    import openvino
    import torch
    from onnx import numpy_helper

    from edgeanim.quantize.distillation.fake_quant import RoundedWeight
    from edgeanim.quantize.sensitivity import rounded_weights

    scheme = get_scheme("openvino-int8")
    made = scheme.quantize(unet, samples, QuantizeSpec(), old_board, tmp_path)
    tensors = {
        t.name: numpy_helper.to_array(t) for t in onnx.load(str(unet.path)).graph.initializer
    }
    kernel = tensors["dec1.w"].copy()
    stored = [
        op.data
        for op in openvino.Core().read_model(str(made.path)).get_ops()
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8"
    ]
    (written,) = (data for data in stored if data.shape == kernel.shape)
    limit = scheme.seven_bit_limit
    rounding = RoundedWeight(limit, 1, transposed=False)
    trained = rounding(torch.from_numpy(kernel)).numpy()
    step = np.abs(kernel).max((1, 2, 3), keepdims=True) / limit
    for ours in (rounded_weights(kernel, limit), trained):
        other = np.rint(ours / step) != written
        # Float arithmetic may push a largest weight over the middle, and does so seldom.
        assert other.sum() < 0.2 * len(kernel)


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
    made = get_scheme("onnx-qdq").quantize(source, samples, QuantizeSpec(), board, tmp_path / "8")
    wanted, _ = play(source, "onnxruntime", board, samples, tmp_path / "float")
    got, profile = play(made, "onnxruntime", board, samples, tmp_path / "run")
    assert psnr(wanted, got) > 30
    assert not [op for op in profile.ops if op.kind == "PRelu"]
