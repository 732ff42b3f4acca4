"""Weights for processors whose 8-bit multiply-add saturates, and graphs that need another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board, load_board


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
    from edgeanim.quantize.mixed.sensitivity import rounded_weights

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
