from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput
from edgeanim.core.recipe import RANGES, QuantizeSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.ranges.errors import LEVELS
from edgeanim.quantize.ranges.histogram import (
    BINS,
    Histogram,
    Histograms,
    load_histograms,
    save_histograms,
)
from edgeanim.quantize.ranges.histograms_onnx import collect_histograms
from edgeanim.quantize.ranges.methods import TensorRange, find_range, ranges_in
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board

values = hnp.arrays(
    np.float32,
    st.integers(1, 200),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)


def counted(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def error(x: np.ndarray, low: float, high: float) -> float:
    """Mean squared error of rounding `x` to `LEVELS` levels from `low` to `high`."""
    step = (high - low) / (LEVELS - 1)
    return float(np.mean(((np.round(x / step) * step).clip(low, high) - x) ** 2))


@given(st.lists(values, min_size=1, max_size=5), st.randoms())
def test_the_order_of_the_samples_makes_no_difference(parts: list[np.ndarray], rnd: object) -> None:
    shuffled = list(parts)
    rnd.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = counted(*parts), counted(*shuffled)
    assert (one.low, one.high, one.width) == (other.low, other.high, other.width)
    np.testing.assert_array_equal(one.counts, other.counts)
    assert one.counts.sum() == sum(len(part) for part in parts)


@given(values)
def test_every_value_lies_in_its_bin(x: np.ndarray) -> None:
    histogram = counted(x)
    held = histogram.centres[histogram.counts > 0]
    for value in x:
        assert np.abs(held - value).min() <= histogram.width / 2 * (1 + 1e-6)
    assert histogram.width * BINS <= 8 * max(np.abs(x).max(), np.finfo(np.float32).tiny)


@settings(deadline=None, max_examples=40)
@given(values, st.sampled_from(RANGES))
def test_every_range_holds_zero_and_stays_within_the_extremes(x: np.ndarray, method: str) -> None:
    found = find_range(counted(x), method)  # type: ignore[arg-type]
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    slack = 1e-6 * max(-low, high)
    assert low - slack <= found.low <= 0 <= found.high <= high + slack
    assert 0 <= found.bound <= max(-low, high) + slack
    if method == "minmax":
        assert (found.low, found.high, found.bound) == (low, high, max(-low, high))


def test_percentile_leaves_out_the_tails_and_no_more() -> None:
    x = np.linspace(-1, 3, 100_000, dtype=np.float32)
    found = find_range(counted(x), "percentile")
    assert (x < found.low).mean() == pytest.approx(1e-4, abs=3e-4)
    assert found.low < -0.99
    assert 2.99 < found.high < 3.0001


@pytest.mark.parametrize("side", [-1, 1])
def test_percentile_leaves_out_what_is_rarer_than_one_in_ten_thousand_on_either_side(
    side: int,
) -> None:
    body = np.random.default_rng(0).uniform(-1, 1, (10, 10_000)).astype(np.float32)
    for rare, clipped in ((5, True), (20, False)):
        x = body.copy()
        x[0, :rare] = 40 * side
        found = find_range(counted(*x), "percentile")
        ends = (-found.low, found.high)[::side]
        assert ends[0] == pytest.approx(1, abs=0.02)
        assert ends[1] == pytest.approx(1 if clipped else 40, abs=0.02)


def test_percentile_is_as_narrow_as_one_in_ten_thousand_allows_to_a_bin() -> None:
    x = np.random.default_rng(5).normal(size=(10, 10_000)).astype(np.float32)
    found, width = find_range(counted(*x), "percentile"), counted(*x).width
    assert (x < found.low).sum() <= 10 < (x < found.low + width).sum()
    assert (x >= found.high).sum() <= 10 < (x >= found.high - width).sum()
    assert found.bound == max(-found.low, found.high)


def test_the_symmetric_bound_by_mse_has_the_least_error_of_its_own() -> None:
    x = np.random.default_rng(6).laplace(size=(10, 10_000)).astype(np.float32)
    x[x < 0] /= 4  # else it would be that of the range
    bound, peak = find_range(counted(*x), "mse").bound, float(x.max())
    for other in (0.8 * bound, 1.2 * bound, peak):
        assert error(x, -bound, bound) < error(x, -other, other)


def test_the_symmetric_bound_by_entropy_clips_an_outlier() -> None:
    x = np.random.default_rng(7).normal(size=20_000).astype(np.float32)
    x[0] = -60
    assert 2 < find_range(counted(x), "entropy").bound < 20


def test_mse_rounds_better_than_the_extremes_where_the_tails_are_long() -> None:
    x = np.random.default_rng(1).laplace(size=100_000).astype(np.float32)
    best = find_range(counted(x), "mse")
    assert error(x, best.low, best.high) < 0.85 * error(x, float(x.min()), float(x.max()))
    for share in (0.5, 0.8, 1.2):  # and better than its neighbours
        assert error(x, best.low, best.high) <= 1.01 * error(x, share * best.low, share * best.high)


def test_entropy_clips_an_outlier_and_keeps_a_uniform_whole() -> None:
    rng = np.random.default_rng(2)
    uniform = rng.uniform(-1, 1, 100_000).astype(np.float32)
    assert find_range(counted(uniform), "entropy").high > 0.99
    normal = rng.normal(size=100_000).astype(np.float32)
    far = find_range(counted(normal, np.array([60.0], np.float32)), "entropy")
    assert far.high < 12


def test_entropy_asks_what_a_relu_lets_through_and_not_how_much_it_holds_back() -> None:
    passed = np.random.default_rng(3).laplace(size=100_000).astype(np.float32)
    passed = np.abs(passed) + np.float32(0.01)
    alone = find_range(counted(passed), "entropy")
    among = find_range(counted(passed, *[np.zeros(100_000, np.float32)] * 9), "entropy")
    assert among == alone


@pytest.mark.parametrize("shape", [(64, 64, 24), (24, 64, 64), (96, 100, 21), (128, 128, 35)])
def test_every_channel_and_every_column_is_counted_alike(shape: tuple[int, ...]) -> None:
    """Though of many values only some are: a channel that is passed over would be clipped."""
    for axis in (0, 2):
        own = np.arange(1, shape[axis] + 1, dtype=np.float32) * BINS / 4 / shape[axis]
        x = np.broadcast_to(own if axis == 2 else own[:, None, None], shape)
        found = counted(x)
        picked = found.counts[found.counts > 0]
        assert len(picked) == shape[axis]
        assert picked.max() < 1.5 * picked.min()


def test_nan_is_refused() -> None:
    with pytest.raises(BadInput, match="NaN"):
        counted(np.array([1, np.nan], np.float32))
    with pytest.raises(BadInput, match="NaN"):  # in a later sample too
        counted(np.ones(2, np.float32), np.array([1, np.nan], np.float32))


@settings(deadline=None, max_examples=20)
@given(st.lists(values, max_size=4))
def test_ranges_from_disk_are_those_from_memory(parts: list[np.ndarray]) -> None:
    histograms = {f"t:{i}/é": counted(part) for i, part in enumerate(parts)}
    with TemporaryDirectory() as folder:
        save_histograms(histograms, Path(folder))
        again = load_histograms(Path(folder))
    assert list(again) == list(histograms)
    for method in RANGES:
        assert ranges_in(again, method, again) == ranges_in(histograms, method, histograms)


def test_a_tensor_that_was_never_seen_has_no_range() -> None:
    histograms = {"a:0": counted(np.array([-1, 2.5], np.float32))}
    assert ranges_in(histograms, "minmax", ["a:0"]) == {"a:0": TensorRange(-1, 2.5, 2.5)}
    with pytest.raises(BadInput, match="'b'"):
        ranges_in(histograms, "minmax", ["b"])


def test_ranges_of_a_graph_are_those_of_its_tensors(
    tiny: GraphArtifact, samples: ArraySamples
) -> None:
    import onnxruntime

    seen = collect_histograms(tiny, samples)
    session = onnxruntime.InferenceSession(str(tiny.path), providers=["CPUExecutionProvider"])
    results = np.stack([session.run(["result"], dict(sample))[0] for sample in samples])
    found = ranges_in(seen, "minmax", ["image", "conv2_out"])
    assert found["image"].high == samples.arrays["image"].max()
    assert found["conv2_out"].high == pytest.approx(
        float(np.log(results.max() / (1 - results.max()))), abs=1e-3
    )


def test_ranges_are_found_within_local_functions(
    tiny: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    """ONNX Runtime was asked for values that are in them alone, and quantising ended with its
    error."""
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1,3,64,64] image) => (float[1,3,64,64] result) { result = local.net (image) }
      <opset_import: ["": 18], domain: "local"> net (a) => (c) {
        b = Add (a, a)
        c = Add (b, a) }"""
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    seen = collect_histograms(replace(tiny, path=path), samples)
    highest = float(samples.arrays["image"].max())
    found = [each.high for each in ranges_in(seen, "minmax", list(seen)).values()]
    assert sorted(found) == pytest.approx([highest, 2 * highest, 3 * highest])


@pytest.fixture(scope="module")
def seen(unet: GraphArtifact, samples: ArraySamples) -> Histograms:
    return collect_histograms(unet, samples)


@pytest.mark.parametrize(
    ("scheme", "method"),
    [("onnx-qdq", "entropy"), ("onnx-qdq", "minmax"), ("openvino-int8", "mse")],
)
def test_the_ranges_written_are_the_ranges_found(
    scheme: str,
    method: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    seen: Histograms,
    board: Board,
    tmp_path: Path,
) -> None:
    spec = QuantizeSpec(ranges=method)  # type: ignore[arg-type]
    made = get_scheme(scheme).quantize(unet, samples, spec, board, tmp_path, histograms=seen)
    wanted = find_range(seen["dec1.relu"], spec.ranges)
    low, high = written_range(made, "dec1.relu")
    assert low == pytest.approx(wanted.low, abs=1e-6)
    assert high == pytest.approx(wanted.high, rel=1e-3)


def test_zero_is_a_level_of_every_range_that_openvino_gets(
    unet: GraphArtifact,
    samples: ArraySamples,
    seen: Histograms,
    board: Board,
    tmp_path: Path,
) -> None:
    """Else what pads a convolution would not be zero in INT8."""
    import openvino

    ends = np.array([-0.337, 1.0], np.float32)
    uneven = {name: counted(ends * find_range(at, "minmax").bound) for name, at in seen.items()}
    spec = QuantizeSpec(ranges="minmax")
    scheme = get_scheme("openvino-int8")
    made = scheme.quantize(unet, samples, spec, board, tmp_path, histograms=uneven)
    found = 0
    for op in openvino.Core().read_model(str(made.path)).get_ops():
        if op.get_type_name() == "FakeQuantize":
            low, high = (float(op.input_value(i).get_node().data.ravel()[0]) for i in (1, 2))
            assert low <= 0 <= high
            level = -low / ((high - low) / 255)
            assert level == pytest.approx(round(level), abs=1e-3)
            found += 1
    assert found > 8


def written_range(made: GraphArtifact, tensor: str) -> tuple[float, float]:
    """The range that the file itself gives to `tensor`."""
    if made.path.suffix == ".onnx":
        import onnx
        from onnx import numpy_helper

        model = onnx.load(str(made.path))
        values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        node = next(
            n for n in model.graph.node if n.op_type == "QuantizeLinear" and tensor in n.input
        )
        scale, zero = float(values[node.input[1]]), int(values[node.input[2]])
        return -zero * scale, (255 - zero) * scale
    import openvino

    for op in openvino.Core().read_model(str(made.path)).get_ops():
        if op.get_type_name() == "FakeQuantize" and tensor in op.input_value(0).get_names():
            low, high = (float(op.input_value(i).get_node().data.item()) for i in (1, 2))
            return low, high
    raise AssertionError(f"{tensor} is not quantised")
