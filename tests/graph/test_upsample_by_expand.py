"""Nearest upsampling of quantised convolutions: the same numbers, without a Resize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import upsample_by_expand
from tests.graph.applied import applied, optimised

QUANTISED = """
    xq = QuantizeLinear (x, scale, zero)
    xd = DequantizeLinear (xq, scale, zero)
    kd = DequantizeLinear (kernel, scale, none)
    c = Conv <pads = [1, 1, 1, 1]> (xd, kd)
    r = Relu (c)
    rq = QuantizeLinear (r, scale, zero)
    rd = DequantizeLinear (rq, scale, zero)
"""


def constants(channels: int, factor: int) -> dict[str, Any]:
    rng = np.random.default_rng(channels)
    return {
        "scale": np.array(0.02, np.float32),
        "zero": np.array(100, np.uint8),
        "none": np.array(0, np.int8),
        "kernel": rng.integers(-20, 20, (channels, 3, 3, 3)).astype(np.int8),
        "scales": np.array([1, 1, factor, factor], np.float32),
    }


def upsampling(
    graph: Any, steps: str, resize: str, channels: int, size: tuple[int, int], factor: int
) -> Any:
    height, width = size
    return graph(
        f"float[2,3,{height},{width}] x",
        f"float[2,{channels},{height * factor},{width * factor}] y",
        f"{steps} u = Resize <{resize}> (rd,, scales)\n y = Neg (u)",
        constants(channels, factor),
    )


ASYMMETRIC = 'coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
FLOAT = QUANTISED.replace("rd = Deq", "unread = Deq").replace("r = R", "rd = Relu (c)\n r = R")
FLOAT_KERNEL = "kd = Cast <to = 1> (kernel)"
OF_A_SINE = QUANTISED.replace("r = Relu (c)", "r = Sin (c)")
OF_A_FLOAT_KERNEL = QUANTISED.replace("kd = DequantizeLinear (kernel, scale, none)", FLOAT_KERNEL)
OF_A_CONVOLUTION = QUANTISED.replace("r = Relu (c)", "").replace("(r, scale", "(c, scale")


@settings(max_examples=25)
@given(
    channels=st.integers(1, 9),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    factor=st.integers(2, 4),
    resize=st.sampled_from([ASYMMETRIC, 'nearest_mode = "round_prefer_floor"']),
)
def test_pixels_are_copied_to_the_very_places(
    graph: Any, difference: Any, channels: int, size: tuple[int, int], factor: int, resize: str
) -> None:
    model = upsampling(graph, QUANTISED, resize, channels, size, factor)
    count, copy, ops = applied(upsample_by_expand, model)
    assert count == 1
    assert ops["Resize"] == 0
    assert difference(model, copy) == 0


@pytest.mark.parametrize(
    ("steps", "resize"),
    [
        (QUANTISED, 'mode = "linear"'),
        (QUANTISED, 'coordinate_transformation_mode = "align_corners"'),
        (FLOAT, ASYMMETRIC),
        (OF_A_SINE, ASYMMETRIC),
        (OF_A_FLOAT_KERNEL, ASYMMETRIC),
    ],
)
def test_other_upsamplings_stay(graph: Any, steps: str, resize: str) -> None:
    model = upsampling(graph, steps, resize, 4, (5, 6), 2)
    assert applied(upsample_by_expand, model)[0] == 0


def test_the_runtime_takes_the_transposes_out(graph: Any, tmp_path: Path) -> None:
    after = """
        uq = QuantizeLinear (u, scale, zero)
        ud = DequantizeLinear (uq, scale, zero)
        fd = DequantizeLinear (further, scale, none)
        v = Conv <pads = [1, 1, 1, 1]> (ud, fd)
        vq = QuantizeLinear (v, scale, zero)
        y = DequantizeLinear (vq, scale, zero)
    """
    model = graph(
        "float[1,3,8,8] x",
        "float[1,16,16,16] y",
        f"{OF_A_CONVOLUTION} u = Resize <{ASYMMETRIC}> (rd,, scales)\n {after}",
        {**constants(16, 2), "further": np.full((16, 16, 3, 3), 1, np.int8)},
    )
    before = optimised(model, tmp_path)
    after_it = optimised(applied(upsample_by_expand, model)[1], tmp_path)
    assert (before["Resize"], after_it["Resize"], after_it["Expand"]) == (1, 0, 1)
    assert after_it["QLinearConv"] == before["QLinearConv"] == 2
    assert after_it["Transpose"] == before["Transpose"]
    assert after_it["DequantizeLinear"] == before["DequantizeLinear"]
