"""Every way to resize is brought over as ONNX Runtime does it, or refused by name."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.rewrites import identity

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def sizes(old: tuple[int, int], scales: tuple[float, float]) -> list[int]:
    return [int(np.floor(np.float32(s) * size)) for s, size in zip(scales, old, strict=True)]


def resizing(graph: Any, settings: str, old: tuple[int, int], scales: tuple[float, float]) -> Any:
    new = sizes(old, scales)
    region = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
    return graph(
        f"float[1,2,{old[0]},{old[1]}] x",
        f"float[1,2,{new[0]},{new[1]}] y",
        f"y = Resize <{settings}> (x, region, scales)",
        {"region": region, "scales": np.array([1, 1, *scales], np.float32)},
        19,
    )


FACTORS = st.sampled_from([0.25, 1 / 3, 0.5, 0.6, 0.75, 1.0, 1.05, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0])


@settings(max_examples=60)
@given(
    coordinates=st.sampled_from(COORDINATES),
    rounding=st.sampled_from(ROUNDINGS),
    old=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scales=st.tuples(FACTORS, FACTORS) | FACTORS.map(lambda factor: (factor, factor)),
)
def test_the_nearest_pixels_are_those_of_onnx_runtime(
    graph: Any,
    save: Any,
    coordinates: str,
    rounding: str,
    old: tuple[int, int],
    scales: tuple[float, float],
) -> None:
    assume(min(sizes(old, scales)) >= 1)
    mode = (
        f'mode="nearest", coordinate_transformation_mode="{coordinates}", nearest_mode="{rounding}"'
    )
    path = save(resizing(graph, mode, old, scales))
    if coordinates == "tf_crop_and_resize":  # it may make up what lies beyond the edges
        with suppress(BadInput):
            import_torch(path)
    else:
        assert import_torch(path).error == 0  # a wrong reading fails its parity gate


@pytest.mark.parametrize(
    ("factor", "ways"),
    [(2, {F.interpolate}), (0.5, {F.max_pool2d}), (1.5, {torch.index_select})],
)
def test_nearest_pixels_are_taken_in_a_way_that_tflite_has(
    graph: Any, save: Any, factor: float, ways: set[Any]
) -> None:
    mode = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
    module = import_torch(save(resizing(graph, mode, (4, 6), (factor, factor)))).module
    assert {node.target for node in module.graph.nodes if node.op == "call_function"} == ways


@settings(max_examples=60)
@given(
    mode=st.sampled_from(["linear", "cubic"]),
    coordinates=st.sampled_from([each for each in COORDINATES if "crop" not in each]),
    others=st.sampled_from(
        ["", ", antialias=1", ", cubic_coeff_a=-0.5", ", exclude_outside=1, cubic_coeff_a=-0.5"]
    ),
    old=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scales=st.tuples(FACTORS, FACTORS) | FACTORS.map(lambda factor: (factor, factor)),
)
def test_pixels_are_weighed_as_by_onnx_runtime(
    graph: Any,
    save: Any,
    mode: str,
    coordinates: str,
    others: str,
    old: tuple[int, int],
    scales: tuple[float, float],
) -> None:
    assume(min(sizes(old, scales)) >= 1)
    assume("exclude" not in others or mode == "cubic")
    how = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"{others}'
    assert import_torch(save(resizing(graph, how, old, scales))).error < 1e-5


def test_half_of_an_odd_size_is_no_product_with_all_pixels(graph: Any, save: Any) -> None:
    imported = import_torch(save(resizing(graph, 'mode="linear"', (9, 13), (0.5, 0.5))))
    called = {node.target for node in imported.module.graph.nodes if node.op == "call_function"}
    assert called == {F.interpolate, torch.narrow}


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_between_aligned_corners_any_factor_is_taken(graph: Any, save: Any, mode: str) -> None:
    """The corners say how far apart the pixels are, whatever the factor leaves over."""
    settings = f'mode="{mode}", coordinate_transformation_mode="align_corners"'
    assert import_torch(save(resizing(graph, settings, (5, 9), (1.5, 0.5)))).error < 1e-5


def test_a_factor_near_one_is_not_taken_for_one(graph: Any) -> None:
    settings = 'mode="linear", coordinate_transformation_mode="asymmetric"'
    model = resizing(graph, settings, (8, 8), (1.05, 1.05))
    model.graph.node.append(
        model.graph.node[0].__class__(op_type="Relu", input=["y"], output=["z"])
    )
    model.graph.output[0].name = "z"
    assert identity.rewrite(model) == 0
