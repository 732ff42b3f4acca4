"""What TFLite's INT8 does with recurrent ops, padded pools and convolutions of zeros."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.targets.backends import OpProfile
from edgeanim.targets.board import Board
from tests.quantize.played import in_float_and_int8, play, psnr
from tests.quantize.written import RECURRENT, with_recurrent, written


@RECURRENT
def test_tflite_takes_the_steps_of_recurrent_ops(
    samples: ArraySamples, unet: GraphArtifact, board: Board, tmp_path: Path, op: str, gates: str
) -> None:
    source = GraphArtifact(unet.spec, with_recurrent(tmp_path, op, gates, 12))
    exact, got, executed = in_float_and_int8(source, "tflite-int8", samples, board, tmp_path)
    floating, _ = play(source, "tflite", board, samples, tmp_path / "converted")
    assert psnr(exact, floating) > 80
    assert psnr(exact, got) > 30
    assert executed.int8 > 0


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
    wanted, got, profile = in_float_and_int8(source, "tflite-int8", samples, board, folder)
    assert psnr(wanted, got) > 30
    return profile
