"""The rewrites that make a graph faster: ONNX Runtime computes the same before and after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeanim.graph.edit import infer_shapes
from edgeanim.graph.read import read_onnx
from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import (
    flat_norm,
    identity,
    instance_norm,
    norm_scale,
    packing,
    shuffle,
    transposed,
    upsampled,
)
from edgeanim.graph.to_torch import import_torch

PICTURE = "float[1,3,12,16] x"
sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
sizes = st.tuples(st.integers(4, 9), st.integers(4, 9))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))


def applied(module: ModuleType, model: Any) -> tuple[int, Any, Counter[str]]:
    """The rewrite's count, the rewritten copy of `model`, and its ops."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    count = module.rewrite(copy)
    onnx.checker.check_model(copy, full_check=True)
    return count, copy, Counter(node.op_type for node in copy.graph.node)


def padded(mode: str, begins: tuple[int, int], ends: tuple[int, int]) -> dict[str, np.ndarray]:
    return {"edges": np.array([0, 0, *begins, 0, 0, *ends])} if mode != "own" else {}


@settings(deadline=None, max_examples=60)
@given(
    size=sizes,
    kernel=kernels,
    factor=st.integers(2, 3),
    mode=st.sampled_from(["own", "constant", "edge", "reflect"]),
    begins=sides,
    ends=sides,
    coordinates=st.sampled_from(["asymmetric", "half_pixel"]),
    biased=st.booleans(),
)
def test_a_convolution_moves_below_its_upsampling(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    factor: int,
    mode: str,
    begins: tuple[int, int],
    ends: tuple[int, int],
    coordinates: str,
    biased: bool,
) -> None:
    spans = zip(size, begins, ends, kernel, strict=True)
    height, width = (s * factor + b + e - k + 1 for s, b, e, k in spans)
    rounding = "floor" if coordinates == "asymmetric" else "round_prefer_floor"
    pad = "" if mode == "own" else f'<mode="{mode}"> (up, edges)'
    own = f"pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]" if mode == "own" else ""
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x",
        f"float[1,5,{height},{width}] y",
        f"""up = Resize <mode="nearest", coordinate_transformation_mode="{coordinates}",
                         nearest_mode="{rounding}"> (x, none, scales)
            {"p = Pad " + pad if pad else "p = Identity (up)"}
            {"y" if mode != "own" else "c"} = Conv <{own or "pads=[0,0,0,0]"}>
                (p, w{", b" if biased else ""})
            {"" if mode != "own" else "y = Relu (c)"}""",
        {
            "w": (5, 3, *kernel),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, factor, factor], np.float32),
            **({"b": (5,)} if biased else {}),
            **padded(mode, begins, ends),
        },
    )
    assume(not (mode == "reflect" and max(*begins, *ends) >= factor * min(size)))
    identity.rewrite(model)
    count, copy, ops = applied(upsampled, model)
    assert difference(model, copy) <= 2e-6
    if kernel == (3, 3) and factor == 2 and (mode != "reflect" or max(*begins, *ends) < factor):
        assert count == 1
        assert ops["Resize"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        'mode="linear"',
        'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="ceil"',
        'mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="floor"',
        'mode="nearest", coordinate_transformation_mode="align_corners"',
    ],
)
def test_other_resizings_stay(graph: Any, settings: str) -> None:
    model = graph(
        "float[1,3,6,8] x",
        "float[1,4,10,14] y",
        f"up = Resize <{settings}> (x, none, scales) \n y = Conv (up, w)",
        {
            "w": (4, 3, 3, 3),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
        },
    )
    assert applied(upsampled, model)[0] == 0


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(8, 17), st.integers(8, 17)),
    kernel=kernels,
    mode=st.sampled_from(["own", "constant", "edge", "reflect"]),
    begins=sides,
    ends=sides,
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    lanes=st.sampled_from([4, 8, 16]),
)
def test_narrow_convolutions_are_packed(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    mode: str,
    begins: tuple[int, int],
    ends: tuple[int, int],
    channels: tuple[int, int],
    lanes: int,
) -> None:
    spans = zip(size, begins, ends, kernel, strict=True)
    height, width = (s + b + e - k + 1 for s, b, e, k in spans)
    own = f"pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]"
    model = graph(
        f"float[1,{channels[0]},{size[0]},{size[1]}] x",
        f"float[1,{channels[1]},{height},{width}] y",
        f"y = Conv <{own}> (x, w, b)"
        if mode == "own"
        else f'p = Pad <mode="{mode}"> (x, edges) \n y = Conv (p, w, b)',
        {
            "w": (channels[1], channels[0], *kernel),
            "b": (channels[1],),
            **padded(mode, begins, ends),
        },
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    with pytest.MonkeyPatch.context() as patch:  # packed wherever it can be, paying or not
        patch.setattr(packing, "MOVE", 0)
        patch.setattr(packing, "GAIN", 0.5)
        packing.rewrite(copy, lanes=lanes)
    onnx.checker.check_model(copy, full_check=True)
    assert difference(model, copy) <= 2e-6


def head(graph: Any, channels: int, out: int, kernel: int) -> Any:
    side = 48 - kernel + 1
    return graph(
        f"float[1,{channels},48,48] x",
        f"float[1,{out},{side},{side}] y",
        "y = Conv (x, w)",
        {"w": (out, channels, kernel, kernel)},
    )


def test_packing_pays_for_few_outputs_and_wide_kernels_only(graph: Any) -> None:
    assert applied(packing, head(graph, 8, 3, 9))[0] == 1
    assert applied(packing, head(graph, 16, 3, 7))[0] == 1
    assert applied(packing, head(graph, 32, 32, 3))[0] == 0
    assert applied(packing, head(graph, 64, 3, 1))[0] == 0


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=st.integers(2, 3),
    begins=sides,
    ends=sides,
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_transposed_convolutions_become_plain(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    begins: tuple[int, int],
    ends: tuple[int, int],
    extra: tuple[int, int],
) -> None:
    assume(max(extra) < stride)
    spans = zip(size, kernel, begins, ends, extra, strict=True)
    out = [(s - 1) * stride + k - b - e + x for s, k, b, e, x in spans]
    assume(min(out) > 0)
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x",
        f"float[1,4,{out[0]},{out[1]}] y",
        f"""y = ConvTranspose <strides=[{stride},{stride}], output_padding=[{extra[0]},{extra[1]}],
                pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]> (x, w, b)""",
        {"w": (3, 4, *kernel), "b": (4,)},
    )
    count, copy, ops = applied(transposed, model)
    assert difference(model, copy) <= 2e-6
    if kernel in ((3, 3), (4, 4)) and begins == ends == (1, 1):
        assert (count, ops["ConvTranspose"]) == (1, 0)


@pytest.mark.parametrize("shape", ["1,3,1,1", "3,1,1"])
def test_a_computed_scale_and_shift_join_their_norm(
    graph: Any, difference: Any, shape: str
) -> None:
    model = graph(
        f"float[1,3,12,16] x, float[{shape}] gamma, float[{shape}] beta",
        "float[1,3,12,16] y",
        """n = InstanceNormalization (x, ones, zeros)
           m = Mul (gamma, n)
           s = Add (m, beta)
           y = Relu (s)""",
        {"ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32)},
    )
    count, copy, ops = applied(norm_scale, model)
    assert count == 2
    assert (ops["Mul"], ops["Add"]) == (0, 0)
    assert difference(model, copy) <= 1e-5


def test_a_scale_by_pixel_or_on_a_used_norm_stays(graph: Any) -> None:
    model = graph(
        "float[1,3,12,16] x, float[1,1,12,16] mask, float[1,3,1,1] gamma",
        "float[1,3,12,16] y, float[1,3,12,16] z",
        """n = InstanceNormalization (x, ones, zeros)
           y = Mul (n, mask)
           o = InstanceNormalization (x, ones, zeros)
           g = Mul (o, gamma)
           z = Add (g, o)""",
        {"ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32)},
    )
    assert applied(norm_scale, model)[0] == 0


def test_a_norm_is_flattened_and_restored(graph: Any, difference: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "n = InstanceNormalization <epsilon=0.01> (x, s, b) \n y = Relu (n)",
        {"s": (3,), "b": (3,)},
    )
    count, flat, ops = applied(flat_norm, model)
    assert (count, ops["Reshape"]) == (1, 2)
    assert difference(model, flat) <= 1e-6
    count, restored, ops = applied(instance_norm, flat)
    assert (count, ops["Reshape"]) == (1, 0)
    assert difference(model, restored) <= 1e-6


def test_a_norm_of_other_groups_stays_flat(graph: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        """f = Reshape (x, halves)
           n = InstanceNormalization (f, s, b)
           y = Reshape (n, full)""",
        {"s": (6,), "b": (6,), "halves": np.array([1, 6, 96]), "full": np.array([1, 3, 12, 16])},
    )
    assert applied(instance_norm, model)[0] == 0


def test_a_resize_to_its_own_size_vanishes(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,12,16] x",
        "float[1,3,12,16] y",
        'r = Resize <mode="nearest"> (x, none, scales) \n y = Relu (r)',
        {"none": np.zeros(0, np.float32), "scales": np.ones(4, np.float32)},
    )
    count, copy, ops = applied(identity, model)
    assert (count, ops) == (1, {"Relu": 1})
    assert difference(model, copy) == 0


def residual_gan(graph: Any) -> Any:
    """A generator in small: upsampled, transposed and narrow convolutions, norms, reflection."""
    return graph(
        "float[1,3,16,20] x",
        "float[1,3,64,80] y",
        """p1 = Pad <mode="reflect"> (x, three)
           c1 = Conv (p1, w1, b1)
           n1 = InstanceNormalization (c1, s, t)
           r1 = Relu (n1)
           up = Resize <mode="nearest"> (r1, none, twice)
           p2 = Pad <mode="reflect"> (up, one)
           c2 = Conv (p2, w2)
           r2 = Relu (c2)
           t3 = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (r2, w3)
           r3 = Relu (t3)
           p4 = Pad <mode="reflect"> (r3, three)
           c4 = Conv (p4, w4, b4)
           y = Tanh (c4)""",
        {
            **dict.fromkeys(("b1", "s", "t"), (8,)),
            "w1": (8, 3, 7, 7),
            "w2": (8, 8, 3, 3),
            "w3": (8, 8, 3, 3),
            "w4": (3, 8, 7, 7),
            "b4": (3,),
            "three": np.array([0, 0, 3, 3, 0, 0, 3, 3]),
            "one": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            "none": np.zeros(0, np.float32),
            "twice": np.array([1, 1, 2, 2], np.float32),
        },
    )


def test_a_generator_is_restructured_as_a_whole(graph: Any, difference: Any, save: Any) -> None:
    model = residual_gan(graph)
    before = model.SerializeToString()
    made = restructure(model).model
    assert model.SerializeToString() == before
    ops = Counter(node.op_type for node in made.graph.node)
    assert (ops["Resize"], ops["ConvTranspose"], ops["DepthToSpace"]) == (0, 0, 3)
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert set(names) <= {node.name for node in made.graph.node}, "convolutions keep their names"
    assert difference(model, made) <= 1e-5
    assert not restructure(made), "once is enough"
    import_torch(save(made))  # passes the gate


def test_the_style_net_keeps_its_numbers(style_model: Path, difference: Any) -> None:
    model = read_onnx(style_model)
    made = restructure(model).model
    ops = Counter(node.op_type for node in made.graph.node)
    assert (ops["Resize"], ops["DepthToSpace"], ops["SpaceToDepth"]) == (0, 3, 1)
    assert ops["Mul"] == 0
    bottleneck = np.load(style_model.with_name("style_bottleneck.npy"))[:1]
    picture = np.random.default_rng(0).uniform(0, 1, (1, 384, 384, 3)).astype(np.float32)
    feeds = dict(zip([v.name for v in model.graph.input], (picture, bottleneck), strict=True))
    assert difference(model, made, feeds) <= 2e-5


@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_is_two_transpositions(graph: Any, difference: Any, block: int) -> None:
    model = graph(
        f"float[1,{2 * block**2},5,4] x",
        f"float[1,2,{5 * block},{4 * block}] y",
        f"y = DepthToSpace <blocksize={block}> (x)",
    )
    count, copy, ops = applied(shuffle, model)
    assert (count, ops) == (1, {"Reshape": 3, "Transpose": 2})
    assert difference(model, copy) == 0


def test_a_shuffle_with_channels_first_stays(graph: Any) -> None:
    body = 'y = DepthToSpace <blocksize=2, mode="CRD"> (x)'
    assert applied(shuffle, graph("float[1,8,5,4] x", "float[1,2,10,8] y", body))[0] == 0
