"""Graphs that the converter to TFLite takes with help alone: its gate compares what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.targets.lite_graphs import WEIGHED, convert, ops_of, weighed


def test_weights_of_one_shape_are_not_taken_for_each_other(tmp_path: Path) -> None:
    products = "".join(f"v{k + 1} = MatMul (v{k}, w{k})\n" for k in range(6))
    convert(
        tmp_path,
        f"g (float[1,8,8,16] v0) => (float[1,8,8,16] v6) {{ {products} }}",
        {f"w{k}": (16, 16) for k in range(6)},
        plain="v0 v6",
    )


def test_arithmetic_on_more_axes_than_tflite_has_converts(tmp_path: Path) -> None:
    """As in a convex upsampling, which weighs nine neighbours for each of 2 x 2 pixels."""
    graph = """g (float[1,36,4,4] weights, float[1,27,4,4] neighbours) => (float[1,12,4,4] y)
        <int64[7] sw = {1,1,9,2,2,4,4}, int64[7] sn = {1,3,9,1,1,4,4}, int64[1] nine = {2},
         int64[4] end = {1,12,4,4}>
        {
            w = Reshape (weights, sw)
            s = Softmax <axis=2> (w)
            n = Reshape (neighbours, sn)
            p = Mul (s, n)
            u = ReduceSum <keepdims=0> (p, nine)
            y = Reshape (u, end)
        }"""
    convert(tmp_path, graph)


def test_distances_between_the_points_of_several_splines_convert(tmp_path: Path) -> None:
    """TFLite has powers of four axes at most."""
    graph = """g (float[1,3,5,2] p) => (float[1,3,5,5] y)
        <int64[1] rows = {3}, int64[1] columns = {2}, int64[1] last = {4}>
        {
            a = Unsqueeze (p, rows)
            b = Unsqueeze (p, columns)
            d = Sub (a, b)
            y = ReduceL2 <keepdims=0> (d, last)
        }"""
    convert(tmp_path, graph, plain="p y")


def test_zeros_between_pixels_convert(tmp_path: Path) -> None:
    """As StyleGAN upsamples: each pixel in axes of its own, which are padded. TFLite pads five."""
    graph = """g (float[1,2,4,6] x) => (float[1,2,8,12] y)
        <int64[6] apart = {1,2,4,1,6,1}, int64[12] one = {0,0,0,0,0,0, 0,0,0,1,0,1},
         int64[4] end = {1,2,8,12}>
        {
            a = Reshape (x, apart)
            p = Pad (a, one)
            y = Reshape (p, end)
        }"""
    convert(tmp_path, graph)


def test_a_matrix_that_is_repeated_for_each_pixel_converts(tmp_path: Path) -> None:
    """As first order motion models turn a grid by each key point's jacobian, in six axes; and what
    is repeated as a whole, in five."""
    graph = """g (float[1,4,2,2] jacobians, float[1,2,4,4] grid)
        => (float[1,4,4,4] y, float[1,2,8,6] z)
        <int64[6] each = {1,4,1,1,2,2}, int64[6] pixels = {1,1,4,4,1,1},
         int64[6] columns = {1,1,4,4,2,1}, int64[6] points = {1,4,1,1,1,1},
         int64[5] some = {1,2,4,2,2}, int64[5] twice = {1,1,2,1,2},
         int64[4] end = {1,2,8,8}, int64[4] begin = {0,0,0,0}, int64[4] cut = {1,2,8,6},
         int64[1] last = {-1}, int64[1] first = {4}, int64[4] map = {1,4,4,4}>
        {
            a = Reshape (jacobians, each)
            b = Tile (a, pixels)
            t = Transpose <perm=[0,2,3,1]> (grid)
            c = Reshape (t, columns)
            d = Tile (c, points)
            m = MatMul (b, d)
            n = Squeeze (m, last)
            u = ReduceSum <keepdims=0> (n, first)
            y = Reshape (u, map)
            e = Reshape (grid, some)
            f = Tile (e, twice)
            h = Reshape (f, end)
            z = Slice (h, begin, cut)
        }"""
    convert(tmp_path, graph)


@pytest.mark.parametrize("pooled", [(1,), (2,), (3,), (1, 3), (2, 3)])
def test_maps_spread_between_convolutions_convert(pooled: tuple[int, ...], tmp_path: Path) -> None:
    """As a mask that is expanded beside features, and what is pooled over rows or columns."""
    axes = ",".join(map(str, pooled))
    graph = f"""g (float[1,3,4,6] x) => (float[1,3,4,6] y)
        <int64[4] all = {{1,4,4,6}}, int64[{len(pooled)}] axes = {{{axes}}}>
        {{
            a = Conv (x, v)
            m = ReduceMax (a, axes)
            b = Expand (m, all)
            c = Concat <axis=1> (a, b)
            y = Conv (c, w)
        }}"""
    convert(tmp_path, graph, {"v": (4, 3, 1, 1), "w": (3, 8, 1, 1)})


@pytest.mark.parametrize("kind", [6, 7, 9], ids=["int32", "int64", "bool"])
def test_what_is_no_float_is_spread_between_convolutions(kind: int, tmp_path: Path) -> None:
    """The converter refuses masks that are broadcast there, and whole numbers end the process."""
    graph = f"""g (float[1,3,4,6] x) => (float[1,3,4,6] y)
        <int64[4] all = {{1,4,4,6}}, int64[1] rows = {{2}}>
        {{
            a = Conv (x, v)
            m = ReduceMax (a, rows)
            c = Cast <to={kind}> (m)
            e = Expand (c, all)
            f = Cast <to=1> (e)
            p = Mul (a, f)
            y = Conv (p, w)
        }}"""
    convert(tmp_path, graph, {"v": (4, 3, 1, 1), "w": (3, 4, 1, 1)})


@pytest.mark.parametrize("stride", [1, 2])
def test_a_dilated_transposed_convolution_converts(stride: int, tmp_path: Path) -> None:
    size = 3 * stride + 5
    graph = f"""g (float[1,3,4,4] x) => (float[1,5,{size},{size}] y) {{
            y = ConvTranspose <strides=[{stride},{stride}], dilations=[2,2]> (x, w)
        }}"""
    convert(tmp_path, graph, {"w": (3, 5, 3, 3)})


@pytest.mark.parametrize(("channels", "groups"), [(24, 24), (32, 4)])
def test_a_transposed_convolution_in_groups_is_one_convolution(
    channels: int, groups: int, tmp_path: Path
) -> None:
    """The converter made one for each group, which took four times as long or more."""
    graph = f"""g (float[1,{channels},8,6] x) => (float[1,{channels},16,12] y) {{
            y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], group={groups}> (x, w, b)
        }}"""
    each = channels // groups
    made = convert(tmp_path, graph, {"w": (channels, each, 4, 4), "b": (channels,)})
    assert "TRANSPOSE_CONV" not in ops_of(made)


@pytest.mark.parametrize("how", ["", ", antialias=1"])
def test_half_of_an_odd_size_converts(how: str, tmp_path: Path) -> None:
    """As an `interpolate(x, scale_factor=0.5)` makes, with and without smoothing."""
    graph = f"""g (float[1,3,9,7] x) => (float[1,3,4,3] y) <float[4] half = {{1,1,0.5,0.5}}>
        {{
            a = Conv (x, v)
            b = Resize <mode="linear"{how}> (a, , half)
            y = Conv (b, w)
        }}"""
    made = convert(tmp_path, graph, {"v": (4, 3, 1, 1), "w": (3, 4, 1, 1)})
    assert "TRANSPOSE" not in ops_of(made)


@pytest.mark.parametrize("times", [(1, 2, 1, 1), (1, 1, 2, 3)])
def test_maps_repeated_between_convolutions_convert(times: tuple[int, ...], tmp_path: Path) -> None:
    channels, height, width = (4 * count for count in times[1:])
    graph = f"""g (float[1,3,4,4] x) => (float[1,3,{height},{width}] y)
        <int64[4] times = {{{",".join(map(str, times))}}}>
        {{
            a = Conv (x, v)
            b = Tile (a, times)
            y = Conv (b, w)
        }}"""
    convert(tmp_path, graph, {"v": (4, 3, 1, 1), "w": (3, channels, 1, 1)})


def test_a_convolution_of_a_spectrum_converts(tmp_path: Path) -> None:
    """As fast Fourier convolutions (Chi and others, 2020) are exported, which mend pictures."""
    graph = """g (float[1,3,8,6] x) => (float[1,3,8,6] y)
        <int64[1] last = {4}, int64 length = {6}, int64[4] maps = {1,8,8,4},
         int64[5] parts = {1,4,2,8,4}>
        {
            a = Conv (x, v)
            b = Unsqueeze (a, last)
            c = DFT <axis=3, onesided=1> (b)
            d = DFT <axis=2> (c)
            e = Transpose <perm=[0,1,4,2,3]> (d)
            f = Reshape (e, maps)
            i = Conv (f, s)
            j = Relu (i)
            k = Reshape (j, parts)
            l = Transpose <perm=[0,1,3,4,2]> (k)
            m = DFT <axis=2, inverse=1> (l)
            n = DFT <axis=3, inverse=1, onesided=1> (m, length)
            o = Squeeze (n, last)
            q = Add (a, o)
            y = Conv (q, u)
        }"""
    weights = {"v": (4, 3, 1, 1), "s": (8, 8, 1, 1), "u": (3, 4, 1, 1)}
    convert(tmp_path, graph, weights)


@pytest.mark.parametrize("spread", ["Expand (p, wide)", "Tile (p, wide)"])
def test_what_is_pooled_over_a_picture_converts_beside_its_features(
    tmp_path: Path, spread: str
) -> None:
    """Channels last, which the convolution makes of the pooled values, its shape was no longer
    that of the broadcast."""
    graph = f"""g (float[1,3,8,12] x) => (float[1,2,8,12] y) <int64[4] wide = {{1,1,8,12}}>
        {{
            a = Conv (x, wa)
            p = GlobalAveragePool (a)
            e = {spread}
            c = Concat <axis=1> (a, e)
            y = Conv (c, wb)
        }}"""
    convert(tmp_path, graph, {"wa": (4, 3, 1, 1), "wb": (2, 8, 1, 1)})


@pytest.mark.parametrize("pixel", ["Reshape (m, pixel)", "Unsqueeze (m, last)"])
@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_a_vector_of_a_linear_layer_without_bias_styles_a_map(
    tmp_path: Path, op: str, pixel: str
) -> None:
    """The converter made a product of it that has more axes than TFLite knows."""
    graph = f"""g (float[1,3,8,12] x) => (float[1,2,8,12] y)
        <int64[4] pixel = {{1,4,1,1}}, int64[2] last = {{2,3}}>
        {{
            a = Conv (x, wa)
            p = GlobalAveragePool (a)
            f = Flatten (p)
            m = Gemm (f, ws)
            s = {pixel}
            b = {op} (a, s)
            y = Conv (b, wb)
        }}"""
    convert(tmp_path, graph, {"wa": (4, 3, 1, 1), "ws": (4, 4), "wb": (2, 4, 1, 1)})


@pytest.mark.parametrize("product", ["MatMul (f, m)", 'Einsum <equation = "bi,oi->bo"> (f, m)'])
def test_a_vector_times_a_computed_matrix_weighs_a_map(product: str, tmp_path: Path) -> None:
    """The converter made a product of it that has more axes than TFLite knows."""
    convert(tmp_path, weighed(product), WEIGHED)


def test_computed_places_are_looked_up_without_a_check_of_each(tmp_path: Path) -> None:
    """With one, the file holds a NaN for places outside, which calibration takes for a result."""
    graph = """g (float[1,8,4,4] x) => (float[1,4,4,5] y, float[1,4,4,5] z) <int64[1] last = {3}>
        {
            a = ArgMax <axis=1, keepdims=0> (x)
            i = Unsqueeze (a, last)
            y = GatherND (palette, i)
            z = Gather (palette, a)
        }"""
    palette = np.random.default_rng(0).random((8, 5), dtype=np.float32)
    ops = ops_of(convert(tmp_path, graph, {"palette": palette}, plain="y z"))
    assert "EMBEDDING_LOOKUP" in ops
    assert not ops & {"GATHER", "GATHER_ND"}


@pytest.mark.parametrize(
    ("rest", "numbers"),
    [
        ("s = Sub (one, z)", "one"),
        ("s = Sub (ones, z)", "one ones"),
        ("s = Div (one, e)", "one"),
        ("s = Reciprocal (e)", "one"),
    ],
)
def test_a_number_before_a_map_stays_before_it(rest: str, numbers: str, tmp_path: Path) -> None:
    """Of a convolutional GRU, whose candidate is laid out anew, 1 - z became z - 1."""
    graph = f"""g (float[1,16,32,32] x, float[1,16,32,32] h) => (float[1,16,32,32] y) {{
            a = Conv <pads = [1,1,1,1]> (x, gates)
            b = Sigmoid (a)
            z, r = Split <axis = 1, num_outputs = 2> (b)
            e = Add (z, one)
            {rest}
            k = Mul (s, h)
            c = Mul (r, h)
            d = SpaceToDepth <blocksize = 2> (c)
            f = Conv <pads = [1,1,1,1]> (d, candidate)
            q = DepthToSpace <blocksize = 2> (f)
            t = Tanh (q)
            n = Mul (z, t)
            y = Add (k, n)
        }}"""
    rng = np.random.default_rng(0)
    kernels = {
        "gates": rng.normal(0, 0.1, (32, 16, 3, 3)).astype(np.float32),
        "candidate": rng.normal(0, 0.1, (64, 64, 3, 3)).astype(np.float32),
    }
    ones = {"one": np.array(1, np.float32), "ones": np.ones((1, 16, 1, 1), np.float32)}
    weights = kernels | {name: ones[name] for name in numbers.split()}
    convert(tmp_path, graph, weights, plain="x h y")
