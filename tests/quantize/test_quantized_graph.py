"""What an 8-bit form is kept under in the store, and what it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.pipeline import methods
from edgeanim.pipeline.methods import quantized_graph
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.schemes import get_scheme
from edgeanim.quantize.schemes.base import weight_limit
from edgeanim.targets.board import Board
from tests.quantize.played import SCHEMES


def test_other_frames_to_calibrate_on_give_another_form(
    tiny: GraphArtifact, samples: ArraySamples, unseen: ArraySamples, board: Board, tmp_path: Path
) -> None:
    work = Work(board, Store(tmp_path))
    one, other, again = (
        quantized_graph(work, tiny, each, "onnx-qdq", QuantizeSpec()).path
        for each in (samples, unseen, samples)
    )
    assert one.read_bytes() != other.read_bytes()
    assert again == one


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("in_7_bits", [False, True])
def test_kernels_are_rounded_to_the_grid_of_their_own_scheme(
    tiny: GraphArtifact,
    samples: ArraySamples,
    board: Board,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    in_7_bits: bool,
) -> None:
    """On a coarser one they would only drift more."""
    given: dict[str, Array] = {}

    def write(self: Any, *args: Any) -> None:  # noqa: ARG001
        *_, out, _compile, _histograms, kernels = args
        given.update(kernels)
        (out / "made.onnx").touch()

    def rounded(_graph: object, _samples: object, limits: list[float]) -> dict[float, Any]:
        return {limit: {"conv": np.full(1, limit, np.float32)} for limit in limits}

    monkeypatch.setattr(type(get_scheme(scheme)), "quantize", write)
    monkeypatch.setattr(methods, "round_kernels", rounded)
    monkeypatch.setattr(methods, "histograms_of", lambda *_: {})
    spec = QuantizeSpec(reduce_range=in_7_bits)
    quantized_graph(Work(board, Store(tmp_path)), tiny, samples, scheme, spec)
    assert given["conv"].item() == weight_limit(get_scheme(scheme), spec, board)
