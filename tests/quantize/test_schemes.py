"""Each scheme with its real quantiser and its real runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim.core.artifact import CompiledGraph, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.restructure import restructure
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme, scheme_names
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import Board
from edgeanim.targets.tflite_graph import open_interpreter
from tests.convnets import save_onnx
from tests.quantize.played import (
    SCHEMES,
    backend_of,
    in_float_and_int8,
    nchw_to,
    play,
    psnr,
)
from tests.quantize.written import written

# Each conversion to TFLite takes seconds.
TFLITE_SLOW = (*SCHEMES[:2], pytest.param("tflite-int8", marks=pytest.mark.slow))


def test_all_schemes_are_found_by_file_name() -> None:
    assert scheme_names() == tuple(sorted((*SCHEMES, "tensorrt-qdq")))
    assert [get_scheme(name).name for name in SCHEMES] == list(SCHEMES)
    with pytest.raises(UsageError, match="Did you mean 'onnx-qdq'"):
        get_scheme("onnx-qqd")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_int8_executes_as_int8_and_looks_the_same(
    scheme: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    backend = backend_of(scheme)
    # By mse what a concatenation joins may differ in range, and is requantised.
    spec = QuantizeSpec(ranges="minmax")
    made = get_scheme(scheme).quantize(unet, samples, spec, board, tmp_path)
    assert (made.scheme, made.precision, made.spec) == (scheme, "int8", unet.spec)
    wanted, _ = play(unet, "onnxruntime", board, unseen, tmp_path / "float")
    got, profile = play(made, backend, board, unseen, tmp_path / "int8")
    assert psnr(wanted, got) > 38
    assert not np.array_equal(wanted, got)
    # Counted, not timed: on a fast processor the steps of so small a net take a microsecond or two.
    assert sum(row.count for row in profile.ops if row.kind == "convert") <= 4
    assert profile.int8 > 0.8 * (1 - profile.convert)


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_a_graph_is_quantised_where_names_are_not_utf8(
    scheme: str, unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.mkdir()

    def compiled(graph: GraphArtifact, backend: str) -> CompiledGraph:
        return get_backend(backend).compile(graph, board, odd)

    made = get_scheme(scheme).quantize(unet, samples, QuantizeSpec(), board, odd, compiled)
    assert made.path.parent == odd
    assert made.path.is_file()


@pytest.mark.parametrize("op", ["Cast", "Dropout", "Identity"])
@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_what_changes_nothing_may_stand_before_the_first_convolution(
    scheme: str,
    op: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    """It is gone once the graph is prepared, and the convolution reads the input itself."""
    import onnx

    model = onnx.load(unet.path)
    name = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["idle" if read == name else read for read in node.input]
    settings = {"to": onnx.TensorProto.FLOAT} if op == "Cast" else {}
    model.graph.node.insert(0, onnx.helper.make_node(op, [name], ["idle"], **settings))
    onnx.save(model, str(tmp_path / "idle.onnx"))
    graph = GraphArtifact(unet.spec, tmp_path / "idle.onnx")
    made = get_scheme(scheme).quantize(graph, samples, QuantizeSpec(), board, tmp_path)
    wanted, _ = play(graph, "onnxruntime", board, unseen, tmp_path / "float")
    got, _ = play(made, backend_of(scheme), board, unseen, tmp_path / "int8")
    assert psnr(wanted, got) > 30


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_a_shift_before_a_mean_that_counts_its_pads_is_not_added_to_them(
    scheme: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    body = """
        a = Conv <pads = [1,1,1,1]> (image, stem)
        b = Softplus (a)
        c = Mul (b, scale)
        d = Add (c, shift)
        e = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1], count_include_pad = 1> (d)
        f = Conv <pads = [1,1,1,1]> (e, inner)
        g = Relu (f)
        result = Conv <pads = [1,1,1,1]> (g, head)"""
    rng = np.random.default_rng(0)
    weights = {
        "stem": rng.normal(0, 0.1, (8, 3, 3, 3)),
        "inner": rng.normal(0, 0.1, (8, 8, 3, 3)),
        "head": rng.normal(0, 0.1, (3, 8, 3, 3)),
        "scale": rng.normal(0, 1, (1, 8, 1, 1)),
        "shift": rng.normal(0, 3, (1, 8, 1, 1)),
    }
    graph = GraphArtifact(replace(unet.spec, name="shifted"), written(tmp_path, body, weights))
    made = get_scheme(scheme).quantize(graph, samples, QuantizeSpec(), board, tmp_path)
    wanted, _ = play(graph, "onnxruntime", board, unseen, tmp_path / "float")
    got, _ = play(made, backend_of(scheme), board, unseen, tmp_path / "int8")
    assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_an_output_is_not_clipped_as_what_reads_it_is(
    scheme: str, unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """A feature that another graph reads, before the ReLU in this one."""
    from onnx import helper

    rng = np.random.default_rng(0)
    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["result"], pads=pads),
        helper.make_node("Relu", ["result"], ["a"]),
        helper.make_node("Conv", ["a", "head"], ["other"], pads=pads),
    ]
    weights = {"stem": rng.normal(0, 0.1, (8, 3, 3, 3)), "head": rng.normal(0, 0.1, (3, 8, 3, 3))}
    ends = tuple(
        TensorSpec(name, f"feature:{name}", (1, count, 64, 64), "NCHW")
        for name, count in (("result", 8), ("other", 3))
    )
    spec = replace(unet.spec, name="feature", outputs=ends)
    path = save_onnx(tmp_path / "feature.onnx", spec, nodes, weights)
    made = get_scheme(scheme).quantize(
        GraphArtifact(spec, path), samples, QuantizeSpec(), board, tmp_path
    )
    found = []
    for graph, backend in ((GraphArtifact(spec, path), "onnxruntime"), (made, backend_of(scheme))):
        compiled = get_backend(backend).compile(graph, board, tmp_path / graph.scheme)
        session = get_backend(backend).load(compiled, SessionOptions())
        fed = {"image": nchw_to(session.spec.inputs[0], samples[0]["image"])}
        value = session.run(fed)["result"].copy()
        (layout,) = {tensor.layout for tensor in session.spec.outputs}
        found.append(value.transpose(0, 3, 1, 2) if layout == "NHWC" else value)
        session.close()
    assert found[0].min() < -0.1
    assert np.abs(found[0] - found[1]).max() < 0.05 * np.abs(found[0]).max()


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_keep_float_keeps_that_convolution_in_float(
    scheme: str, unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    def floats(spec: QuantizeSpec, out: Path) -> float:
        made = get_scheme(scheme).quantize(unet, samples, spec, board, out)
        _, profile = play(made, backend_of(scheme), board, samples, out / "compiled")
        rows = [row for row in profile.ops if row.precision == "float32" and row.op in CONVS]
        return sum(row.count for row in rows)

    plain = floats(QuantizeSpec(), tmp_path / "plain")
    kept = floats(QuantizeSpec(keep_float=("enc1", "dec0")), tmp_path / "kept")
    assert kept == plain + 2


CONVS = ("Conv", "FusedConv", "Convolution", "CONV_2D")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_unknown_keep_float_is_refused_with_the_nearest_name(
    scheme: str, tiny: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    spec = QuantizeSpec(keep_float=("conv00",))
    with pytest.raises(UsageError, match="Did you mean 'conv0'"):
        get_scheme(scheme).quantize(tiny, samples, spec, board, tmp_path)
    assert list(tmp_path.rglob("*.*")) == []


def test_tflite_weights_have_a_step_of_their_own_for_each_output_channel(
    tiny: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    """With ranges for the weights, ai-edge-quantizer gives a whole kernel one step."""
    made = get_scheme("tflite-int8").quantize(tiny, samples, QuantizeSpec(), board, tmp_path)
    kernels = [
        (tuple(detail["shape"]), len(detail["quantization_parameters"]["scales"]))
        for detail in open_interpreter(made.path).get_tensor_details()
        if detail["dtype"] is np.int8 and len(detail["shape"]) == 4 and detail["shape"][0] > 1
    ]
    assert kernels
    assert all(steps == shape[0] for shape, steps in kernels)


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_equal_requests_give_equal_files(
    scheme: str, tiny: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    made = []
    for name in ("one", "two"):
        get_scheme(scheme).quantize(tiny, samples, QuantizeSpec(), board, tmp_path / name)
        files = sorted((tmp_path / name).iterdir())
        made.append([(file.name, file.read_bytes()) for file in files])
    assert made[0] == made[1]


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_other_ranges_are_really_other_ranges(
    scheme: str,
    tiny: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    outputs = []
    for choice in ("minmax", "percentile"):
        spec = QuantizeSpec(ranges=choice)  # type: ignore[arg-type]
        made = get_scheme(scheme).quantize(tiny, samples, spec, board, tmp_path / choice)
        outputs.append(play(made, backend_of(scheme), board, samples, tmp_path / choice / "c")[0])
    assert not np.array_equal(*outputs)
    assert psnr(*outputs) > 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_result_that_convolutions_read_as_well_is_handed_out_in_float(
    scheme: str, board: Board, tmp_path: Path
) -> None:
    """ai-edge-quantizer hands out the eight bits that were meant for the convolution alone."""
    from onnx import helper

    shape = (1, 3, 32, 32)
    rng = np.random.default_rng(0)
    ends = tuple(TensorSpec(n, f"feature:{n}", shape, "NCHW") for n in ("side", "result"))
    given = TensorSpec("image", "still", shape, "NCHW")
    spec = GraphSpec("two", "two.onnx", "once", (given,), ends)
    nodes = [
        helper.make_node("Sigmoid", ["image"], ["side"]),
        helper.make_node("Conv", ["side", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w1"], ["result"], pads=[1] * 4),
    ]
    weights = {name: rng.normal(0, 0.3, (3, 3, 3, 3)) for name in ("w0", "w1")}
    path = save_onnx(tmp_path / spec.file, spec, nodes, weights)
    pictures = rng.random((4, *shape), np.float32)
    made = get_scheme(scheme).quantize(
        GraphArtifact(spec, path),
        ArraySamples({"image": pictures}),
        QuantizeSpec(),
        board,
        tmp_path / "int8",
    )
    runtime = get_backend(backend_of(scheme))
    session = runtime.load(runtime.compile(made, board, tmp_path / "out"), SessionOptions())
    (given,) = session.spec.inputs
    handed_out = session.spec.outputs[0]
    side = session.run({given.name: nchw_to(given, pictures[0])})["side"].copy()
    session.close()
    exact = 1 / (1 + np.exp(-pictures[0]))
    # ONNX Runtime's quantiser gives the output what the convolution reads, rounded, as float32.
    step = 1 / 255 if scheme == "onnx-qdq" else 1e-5
    assert side.dtype == np.float32
    np.testing.assert_allclose(side, nchw_to(handed_out, exact), atol=step)


def test_a_graph_without_convolutions_is_refused(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    path = written(tmp_path, "result = Sigmoid (image)", {})
    for scheme in SCHEMES[:2]:
        with pytest.raises(BadInput, match="no convolution"):
            get_scheme(scheme).quantize(
                GraphArtifact(unet.spec, path), samples, QuantizeSpec(), board, tmp_path / "out"
            )


_ABSENT = """
import sys
sys.modules[sys.argv[2]] = None
from pathlib import Path
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import MissingComponent
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board
tensor = TensorSpec("x", "frame", (1, 3, 4, 4), "NCHW")
spec = GraphSpec("net", "net.onnx", "frame", (tensor,), (tensor,))
artifact = GraphArtifact(spec, Path("net.onnx"))
board = Board("b", "b", "x86_64", 1024, 1)
try:
    get_scheme(sys.argv[1]).quantize(artifact, ArraySamples({}), QuantizeSpec(), board, Path("."))
except MissingComponent as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("onnx-qdq", "onnxruntime"),
        ("openvino-int8", "nncf"),
        ("tflite-int8", "ai_edge_quantizer"),
    ],
)
def test_an_absent_quantiser_is_named_with_its_install_line(
    scheme: str, package: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ABSENT, scheme, package],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'edgeanim[compress]'" in done.stdout


@pytest.mark.parametrize("scheme", TFLITE_SLOW)
def test_what_attention_is_not_to_see_needs_no_range(
    scheme: str, samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path
) -> None:
    """Quantising ended with the float graph's infinity, as of causal attention."""
    path = written(
        tmp_path,
        """a = Conv <pads = [1,1,1,1]> (image, wa)
           m = Add (a, mask)
           s = Softmax (m)
           result = Conv <pads = [1,1,1,1]> (s, wr)""",
        {
            "wa": (8, 3, 3, 3),
            "wr": (3, 8, 3, 3),
            "mask": np.where(np.tri(64, dtype=bool), 0, -np.inf).astype(np.float32),
        },
    )
    onnx.save(restructure(read_onnx(path)).model, str(path))
    wanted, got, executed = in_float_and_int8(
        replace(unet, path=path), scheme, samples, board, tmp_path
    )
    assert executed.int8 > 0
    assert psnr(wanted, got) > 35
