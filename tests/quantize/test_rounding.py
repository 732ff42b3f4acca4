"""Rounding that compensates: on the grid, better on what was seen, kept by every quantiser."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize import rounding
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.rounding import (
    compensated,
    load_kernels,
    replace_kernels,
    round_kernels,
    save_kernels,
)
from edgeanim.quantize.schemes import get_scheme
from edgeanim.quantize.schemes.base import seven_bits, weight_limit
from edgeanim.targets.board import Board
from tests.quantize.conftest import picture_spec
from tests.quantize.played import SCHEMES, backend_of, play, psnr


def steps_of(rows: np.ndarray, like: np.ndarray, limit: float) -> np.ndarray:
    """Rows in steps of the grids that a quantiser makes of the rows `like`."""
    peak = np.abs(like).max(1, keepdims=True)
    return rows / np.where(peak > 0, peak / limit, 1.0)


@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from([127.0, 64.0, 63.5]),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_what_is_made_lies_on_the_grid_and_loses_no_more_than_the_nearest(
    rows: int, depth: int, limit: float, seed: int, alike: float
) -> None:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(rows, depth)).astype(np.float32)
    w[rng.integers(rows)] *= rng.integers(2)  # a row may be all zeros
    seen = rng.normal(size=(50, depth)) + 3 * alike * rng.normal(size=(50, 1))
    moments = seen.T @ seen
    made = compensated(w, moments, limit)
    # The quantiser finds the same scale, so it rounds nothing any more but the largest weight, if
    # that lies between two steps.
    np.testing.assert_allclose(np.abs(made).max(1), np.abs(w).max(1), rtol=1e-6)
    steps, last = steps_of(made, w, limit), np.floor(limit)
    whole = np.rint(steps).clip(-last, last)
    off = np.abs(steps - whole) > 1e-3
    assert not (off & (np.abs(steps) < limit - 1e-3)).any()
    assert off.sum(1).max() <= (last != limit)
    scale = np.abs(w).max(1, keepdims=True) / limit
    nearest = np.rint(steps_of(w, w, limit)).clip(-last, last) * scale
    damped = moments + 0.01 * np.trace(moments) / depth * np.eye(depth)

    def loss(q: np.ndarray) -> np.ndarray:
        return np.einsum("rd,rd->r", (q - w) @ damped, q - w)

    assert (loss(whole * scale) <= loss(nearest) * (1 + 1e-3) + 1e-9).all()


@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_a_grid_that_ends_between_two_steps_is_not_stretched_by_its_largest_weight(
    seen: float,
) -> None:
    """Of 63.5 steps the last one would be the 64th."""
    w = np.array([[1.0, 0.3, -0.26], [-1.0, 0.1, 0.7]], np.float32)
    made = compensated(w, seen * np.eye(3), 3.5)
    np.testing.assert_allclose(made * 3.5, [[3.5, 1.0, -1.0], [-3.5, 0.0, 2.0]], rtol=1e-6)


def test_a_kernel_with_large_weights_of_both_signs_keeps_its_balance() -> None:
    rng = np.random.default_rng(1)
    # Smooth pictures: all weights of a patch meet nearly the same value.
    seen = rng.uniform(0, 1, (4000, 1)) + rng.normal(0, 0.02, (4000, 27))
    w = rng.normal(0, 3, (16, 27))
    w -= w.mean(1, keepdims=True)
    step = np.abs(w).max(1, keepdims=True) / 127
    nearest = np.rint(w / step) * step
    made = compensated(w.astype(np.float32), seen.T @ seen, 127)
    plain = np.square(seen @ (nearest - w).T).mean()
    ours = np.square(seen @ (made - w).T).mean()
    assert ours < 0.1 * plain


def test_weak_channels_make_up_for_strong_ones() -> None:
    """Pictures of much in common whose channels differ thirtyfold in strength."""
    left = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        w = rng.normal(size=(16, 27)).astype(np.float32)
        seen = rng.normal(size=(2000, 1)) + rng.normal(0, 0.3, (2000, 27))
        seen *= rng.permutation(np.geomspace(1, 30, 27))
        step = np.abs(w).max(1, keepdims=True) / 127
        made = compensated(w, seen.T @ seen, 127)
        plain, ours = (np.square(seen @ (q - w).T).sum() for q in (np.rint(w / step) * step, made))
        left.append(ours / plain)
    assert np.mean(left) < 0.12


def test_no_activations_at_all_means_rounding_to_the_nearest() -> None:
    w = np.array([[1.0, 0.3, -0.26]], np.float32)
    np.testing.assert_allclose(
        compensated(w, np.zeros((3, 3)), 4) * 4, [[4.0, 1.0, -1.0]], rtol=1e-6
    )


def convolution(path: Path, kernel: np.ndarray, size: int, **attributes: object) -> GraphArtifact:
    """A graph of two convolutions, so that the first one is no head."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    c_out = len(kernel)
    last = np.random.default_rng(5).normal(size=(3, c_out, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "k"], ["mid"], "first", **attributes),
            helper.make_node("Conv", ["mid", "last"], ["result"], "second"),
        ],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "k"), numpy_helper.from_array(last, "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return GraphArtifact(picture_spec("net", "result", size), path)


@pytest.mark.parametrize(
    ("groups", "attributes"),
    [
        (1, {"pads": [1, 1, 1, 1]}),
        (1, {"pads": [2, 0, 1, 3], "strides": [2, 1]}),
        (1, {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
        (3, {"group": 3}),
    ],
)
def test_the_moments_are_those_of_the_patches_that_the_kernel_meets(
    groups: int, attributes: dict[str, object], tmp_path: Path
) -> None:
    """A picture of one value: then every inner patch is that value, and what rounding minimises is
    the error of the kernel's sum."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(6, 3 // groups, 3, 3)).astype(np.float32)
    artifact = convolution(tmp_path / "net.onnx", kernel, 24, **attributes)
    flat = ArraySamples({"image": np.full((2, 1, 3, 24, 24), 0.5, np.float32)})
    made = round_kernels(artifact, flat, [127])[127]["first"]
    assert made.shape == kernel.shape
    step = np.abs(kernel).max((1, 2, 3)) / 127
    error = np.abs((made - kernel).sum((1, 2, 3))) / step
    assert error.max() < 1.0


@pytest.mark.parametrize(
    ("groups", "pads", "strides", "dilations"),
    [
        (1, (2, 0, 1, 3), (2, 1), (1, 1)),
        (1, (0, 0, 0, 0), (1, 3), (2, 3)),
        (3, (1,) * 4, (1, 1), (1, 1)),
    ],
)
def test_a_kernel_on_its_patches_gives_what_the_convolution_gives(
    groups: int, pads: tuple[int, ...], strides: tuple[int, int], dilations: tuple[int, int]
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 3, 9, 8)).astype(np.float32)
    kernel = rng.normal(size=(6, 3 // groups, 3, 2)).astype(np.float32)
    top, left, bottom, right = pads
    padded = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    whole = torch.nn.functional.conv2d(
        padded, torch.from_numpy(kernel), stride=strides, dilation=dilations, groups=groups
    )
    wanted = whole.movedim(1, -1).flatten(0, -2).numpy()
    layer = rounding._Layer("conv", "image", kernel, groups, pads, strides, dilations)
    met = layer._patches(x, 40 * len(wanted)).reshape(40 * len(wanted), groups, -1)
    rows = kernel.reshape(groups, 6 // groups, -1)
    found = np.einsum("pgd,god->pgo", met, rows).reshape(len(met), -1)
    apart = np.abs(found[:, None] - wanted).max(2)
    assert apart.min(1).max() < 1e-4, "no patch but those of an output"
    assert apart.min(0).max() < 1e-4, "and of every output some"


def test_a_kernel_that_several_nodes_share_is_left_out(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    kernel = np.random.default_rng(3).normal(size=(3, 3, 3, 3)).astype(np.float32)
    artifact = convolution(tmp_path / "net.onnx", kernel, 16)
    flat = ArraySamples({"image": np.full((2, 1, 3, 16, 16), 0.5, np.float32)})
    assert set(round_kernels(artifact, flat, [127])[127]) == {"first", "second"}
    model = onnx.load(str(artifact.path))
    model.graph.node[1].input[0] = "again"
    model.graph.node.insert(1, helper.make_node("Conv", ["mid", "k"], ["again"], "twin"))
    onnx.save(model, str(artifact.path))
    assert set(round_kernels(artifact, flat, [127])[127]) == {"second"}


def test_kernels_with_automatic_pads_are_left_out(tmp_path: Path) -> None:
    kernel = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    artifact = convolution(tmp_path / "net.onnx", kernel, 16, auto_pad="SAME_UPPER")
    flat = ArraySamples({"image": np.full((2, 1, 3, 16, 16), 0.5, np.float32)})
    assert set(round_kernels(artifact, flat, [127])[127]) == {"second"}


def test_kernels_are_stored_and_read_back(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    kernels = round_kernels(unet, samples, [127])[127]
    again = round_kernels(unet, samples, [64, 127])[127]  # whatever else it is rounded to
    save_kernels(kernels, tmp_path)
    stored = load_kernels(tmp_path)
    assert list(stored) == list(kernels) == list(again)
    for name, kernel in kernels.items():
        assert np.array_equal(stored[name], kernel)
        assert np.array_equal(again[name], kernel)


@pytest.mark.parametrize("content", [b"no archive", pickle.dumps("mine"), b""])
def test_what_else_lies_in_the_place_of_stored_kernels_is_told(
    content: bytes, tmp_path: Path
) -> None:
    """As it may in the artifact store, put there with the hash that it has."""
    save_kernels({"conv": np.ones((1, 1, 3, 3), np.float32)}, tmp_path)
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(BadInput, match=file.name):
            load_kernels(tmp_path)
        file.write_bytes(whole)


def test_only_the_named_nodes_get_their_kernels(unet: GraphArtifact, samples: ArraySamples) -> None:
    import onnx
    from onnx import numpy_helper

    kernels = round_kernels(unet, samples, [127])[127]
    before, model = onnx.load(str(unet.path)), onnx.load(str(unet.path))
    replace_kernels(model, kernels, ["enc1"])
    inputs = {node.name: node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    pairs = zip(before.graph.initializer, model.graph.initializer, strict=True)
    changed = {old.name for old, new in pairs if old.raw_data != new.raw_data}
    assert changed == {inputs["enc1"]}
    now = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert np.array_equal(now[inputs["enc1"]], kernels["enc1"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_quantiser_keeps_the_kernels_and_drifts_less(
    scheme: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    board: Board,
    tmp_path: Path,
) -> None:
    """Seven-bit weights, so that weights and not activations are what costs."""
    spec = QuantizeSpec(reduce_range=True)
    form = get_scheme(scheme)
    assert seven_bits(spec, board)
    limit = weight_limit(form, spec, board)
    kernels = round_kernels(unet, samples, [limit])[limit]
    table = form.collect(unet, samples, board)
    wanted, _ = play(unet, "onnxruntime", board, unseen, tmp_path / "float")
    found = {}
    for name, given_kernels in (("nearest", None), ("compensated", kernels)):
        made = form.quantize(
            unet, samples, spec, board, tmp_path / name, None, table, given_kernels
        )
        got, _ = play(made, backend_of(scheme), board, unseen, tmp_path / f"{name}-compiled")
        found[name] = psnr(wanted, got)
    assert found["compensated"] > found["nearest"] + (1.0 if scheme != "tflite-int8" else 0.0)
