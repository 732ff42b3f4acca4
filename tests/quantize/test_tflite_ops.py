"""Which convolution of a TFLite file an ONNX node became."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import UsageError
from edgeanim.quantize.runtimes.kernel_match import is_scaled, matching
from edgeanim.quantize.runtimes.tflite_ops import TfliteOps
from edgeanim.quantize.schemes.tflite_int8 import kernels_of
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board
from tests.onnx_text import parsed


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_rows_that_a_batch_norm_scaled_are_recognised(rows: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(rows, length)).astype(np.float32)
    scale = rng.uniform(0.1, 9, (rows, 1)) * rng.choice([-1, 1], (rows, 1))
    assert is_scaled((kernel * scale).astype(np.float32), kernel)
    other = kernel.copy()
    other[0, 0] += 3 * np.abs(kernel[0]).max()
    assert not is_scaled(other, kernel)


def test_a_kernel_of_a_sequence_finds_its_rows() -> None:
    """Mixed precision ended in an error of numpy where attention had such layers."""
    kernel = np.random.default_rng(0).normal(size=(8, 6, 3)).astype(np.float32)
    held = {"sequence": kernel.transpose(0, 2, 1).reshape(8, -1), "other": np.ones((8, 18))}
    assert matching(held, kernel) == ["sequence"]


def test_a_convolution_of_volumes_is_kept_in_float_as_it_is(tmp_path: Path) -> None:
    """Mixed precision names it, and was told that the conversion had changed its weights."""
    import onnx

    graph = "g (float[1,2,4,8,8] x) => (float[1,3,2,6,6] y) { [solid] y = Conv (x, w) }"
    model = parsed(graph, {"w": np.ones((3, 2, 3, 3, 3), np.float32)})
    onnx.save(model, str(tmp_path / "g.onnx"))
    assert kernels_of(tmp_path / "g.onnx", ("solid",)) == []


def test_the_bands_of_a_wide_kernel_are_kept_in_float(board: Board, tmp_path: Path) -> None:
    """Mixed precision named a blur before a warp, and was told to leave it out."""
    import onnx

    weights = np.random.default_rng(0).normal(size=(4, 1, 13, 13)).astype(np.float32)
    graph = "g (float[1,4,32,32] x) => (float[1,4,20,20] y) { [blur] y = Conv <group = 4> (x, w) }"
    model = parsed(graph, {"w": weights})
    onnx.save(model, str(tmp_path / "g.onnx"))
    ends = [TensorSpec(n, f"feature:{n}", (1, 4, s, s), "NCHW") for n, s in (("x", 32), ("y", 20))]
    spec = GraphSpec("g", "g.onnx", "frame", (ends[0],), (ends[1],))
    compiled = get_backend("tflite").compile(
        GraphArtifact(spec, tmp_path / "g.onnx"), board, tmp_path
    )
    ops = TfliteOps(compiled.files[0])
    kept = ops.with_kernels(kernels_of(tmp_path / "g.onnx", ("blur",)))
    assert len(kept) == 13
    assert all(node.kind != "convolution" for node in ops.nodes(kept))


def written(
    path: Path,
    shapes: tuple[list[int], ...],
    ops: tuple[tuple[str, list[int], list[int]], ...],
    constants: tuple[int, ...],
) -> Path:
    """A TFLite file of tensors with these shapes, of which `constants` hold ones, and of ops, each
    with the numbers of what it reads and gives."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [0], [len(shapes) - 1]
    for index, shape in enumerate(shapes):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"t{index}".encode(), shape, 0
        if index in constants:
            tensor.buffer = len(model.buffers)
            held = schema.BufferT()
            held.data = np.ones(shape, "<f4").view(np.uint8).ravel()
            model.buffers.append(held)
        graph.tensors.append(tensor)
    model.operatorCodes = []
    for number, (kind, reads, gives) in enumerate(ops):
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode, op.opcodeIndex = getattr(schema.BuiltinOperator, kind), number
        op.inputs, op.outputs = reads, gives
        model.operatorCodes.append(code)
        graph.operators.append(op)
    flatbuffer.write_model(model, str(path))
    return path


def test_a_depthwise_convolution_multiplies_only_within_its_own_channel(tmp_path: Path) -> None:
    # A picture and, for each convolution, its weights and its result.
    shapes = ([1, 8, 8, 6], [1, 3, 3, 6], [1, 8, 8, 6], [4, 3, 3, 6], [1, 8, 8, 4])
    ops = (("DEPTHWISE_CONV_2D", [0, 1], [2]), ("CONV_2D", [2, 3], [4]))
    nodes = TfliteOps(written(tmp_path / "net.tflite", shapes, ops, (1, 3))).nodes(set())
    assert [node.kind for node in nodes] == ["convolution"] * 2
    assert [node.macs for node in nodes] == [64 * 6 * 9, 64 * 4 * 9 * 6]


def test_a_transposed_convolution_multiplies_each_pixel_that_it_reads(tmp_path: Path) -> None:
    # A picture, the size of the result, the weights OHWI, the result at twice the size.
    shapes = ([1, 8, 8, 6], [4], [5, 4, 4, 6], [1, 16, 16, 5])
    ops = (("TRANSPOSE_CONV", [1, 2, 0], [3]),)
    (node,) = TfliteOps(written(tmp_path / "net.tflite", shapes, ops, (1, 2))).nodes(set())
    assert (node.kind, node.macs) == ("convolution", 64 * 6 * 5 * 16)


@pytest.mark.slow  # the conversion
def test_a_kernel_finds_its_op(
    tiny: GraphArtifact, board: Board, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import onnx
    from onnx import numpy_helper

    folder = tmp_path_factory.mktemp("tflite")
    graph = TfliteOps(get_backend("tflite").compile(tiny, board, folder).files[0])
    tensors = {t.name: t for t in onnx.load(str(tiny.path)).graph.initializer}
    kernels = [(name, numpy_helper.to_array(tensors[name])) for name in ("w0", "w1", "w2")]
    found = [graph.with_kernels([kernel]) for kernel in kernels]
    assert [len(names) for names in found] == [1, 1, 1]
    assert len(set().union(*found)) == 3
    scaled = kernels[1][1] * np.linspace(0.5, -2, 16, dtype=np.float32)[:, None, None, None]
    assert graph.with_kernels([("w1", scaled)]) == found[1]
    with pytest.raises(UsageError, match="changed by the conversion"):
        graph.with_kernels([("w1", kernels[1][1][:, ::-1])])
