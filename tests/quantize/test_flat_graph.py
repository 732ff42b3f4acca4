"""Which convolution of a TFLite file an ONNX node became."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput
from edgeanim.quantize.flat_graph import FlatGraph, _scaled
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_rows_that_a_batch_norm_scaled_are_recognised(rows: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(rows, length)).astype(np.float32)
    scale = rng.uniform(0.1, 9, (rows, 1)) * rng.choice([-1, 1], (rows, 1))
    assert _scaled((kernel * scale).astype(np.float32), kernel)
    other = kernel.copy()
    other[0, 0] += 3 * np.abs(kernel[0]).max()
    assert not _scaled(other, kernel)


@pytest.mark.slow  # the conversion
def test_a_kernel_finds_its_op(
    tiny: GraphArtifact, board: Board, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import onnx
    from onnx import numpy_helper

    folder = tmp_path_factory.mktemp("tflite")
    graph = FlatGraph(get_backend("tflite").compile(tiny, board, folder).files[0])
    tensors = {t.name: t for t in onnx.load(str(tiny.path)).graph.initializer}
    kernels = [(name, numpy_helper.to_array(tensors[name])) for name in ("w0", "w1", "w2")]
    found = [graph.holders([kernel]) for kernel in kernels]
    assert [len(names) for names in found] == [1, 1, 1]
    assert len(set().union(*found)) == 3
    scaled = kernels[1][1] * np.linspace(0.5, -2, 16, dtype=np.float32)[:, None, None, None]
    assert graph.holders([("w1", scaled)]) == found[1]
    with pytest.raises(BadInput, match="changed by the conversion"):
        graph.holders([("w1", kernels[1][1][:, ::-1])])
