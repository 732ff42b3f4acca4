"""Graphs that split, gate, shuffle and group channels lose them in the ONNX file, with all sizes
that it holds, and are then quantised like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.graph.inspect import inspect_graph
from edgeanim.graph.pytorch.write_back import write_back
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.pruning.pruned import import_graph
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board
from tests.quantize.conftest import picture_spec
from tests.quantize.played import play, psnr
from tests.quantize.prune_one import build_again, prune_graph

SPEC = PruneSpec(ratio=0.5, of="channels", importance="magnitude", round_to=4, rounds=2, steps=0)

# What the body makes of `a` [1, 16, 32, 32] is `y`, of which the head makes the picture.
BODIES = {
    "a split and a gate": """
        b = Conv <pads=[1,1,1,1]> (a, w32x16)
        l, r = Split <axis=1, num_outputs=2> (b)
        s = Sigmoid (r)
        g = Mul (l, s)
        y = Resize <mode="nearest"> (g, , twice)""",
    "slices and a gate": """
        b = Conv <pads=[1,1,1,1]> (a, w32x16)
        l = Slice (b, zero, half, channels)
        r = Slice (b, half, whole, channels)
        e = Elu (l)
        s = Sigmoid (r)
        g = Mul (e, s)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a scale and a shift": """
        b = Conv <pads=[1,1,1,1]> (a, w32x16)
        l, r = Split <axis=1> (b, halves)
        n = InstanceNormalization (a, ones, zeros)
        s = Mul (n, l)
        t = Add (n, s)
        g = Add (t, r)
        y = Resize <mode="nearest"> (g, , , large)""",
    "a style of the picture": """
        o = Conv <strides=[4,4], pads=[1,1,1,1]> (image, w16x3)
        p = ReduceMean <keepdims=0> (o, plane)
        b = Gemm <alpha=0.5, beta=2.0, transB=1> (p, linear, shift)
        q = Reshape (b, pixel)
        l, r = Split <axis=1> (q, halves)
        n = InstanceNormalization (a, ones, zeros)
        s = Mul (n, l)
        g = Add (s, r)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a style by a product": """
        o = Conv <strides=[4,4], pads=[1,1,1,1]> (image, w16x3)
        p = ReduceMean <keepdims=0> (o, plane)
        b = MatMul (p, turned)
        q = Reshape (b, pixel)
        l, r = Split <axis=1> (q, halves)
        s = Mul (a, l)
        g = Add (s, r)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a squeeze by linear layers": """
        p = GlobalAveragePool (a)
        f = Flatten (p)
        b = Gemm <transB=1> (f, linear, shift)
        r = Relu (b)
        q = MatMul (r, linear)
        s = Sigmoid (q)
        u = Reshape (s, pixels)
        g = Mul (a, u)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a squeeze over the last axes": """
        p = ReduceMean (a, backwards)
        b = Conv (p, square)
        s = Sigmoid (b)
        g = Mul (a, s)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a norm over the whole picture": """
        m = ReduceMean (a, all)
        d = Sub (a, m)
        p = Mul (d, d)
        v = ReduceMean (p, all)
        e = Add (v, eps)
        q = Sqrt (e)
        n = Div (d, q)
        y = Resize <mode="nearest"> (n, , twice)""",
    "DepthToSpace DCR": """
        b = Conv <pads=[1,1,1,1]> (a, w64x16)
        y = DepthToSpace <blocksize=2> (b)""",
    "DepthToSpace CRD": """
        b = Conv <pads=[1,1,1,1]> (a, w64x16)
        y = DepthToSpace <blocksize=2, mode="CRD"> (b)""",
    "a shuffle written out": """
        b = Conv <pads=[1,1,1,1]> (a, w64x16)
        c = Reshape (b, blocks)
        d = Transpose <perm=[0,1,4,2,5,3]> (c)
        y = Reshape (d, large)""",
    "SpaceToDepth": """
        u = Resize <mode="nearest"> (a, , twice)
        c = SpaceToDepth <blocksize=2> (u)
        d = Conv <pads=[1,1,1,1]> (c, w64x64)
        y = DepthToSpace <blocksize=2> (d)""",
    "a norm over groups": """
        r = Reshape (a, rows)
        n = InstanceNormalization (r, ones4, zeros4)
        b = Reshape (n, small)
        s = Mul (b, scale)
        g = Add (s, offset)
        y = Resize <mode="nearest"> (g, , twice)""",
    "a norm over groups in one op": """
        b = GroupNormalization <num_groups=4> (a, scales, offsets)
        y = Resize <mode="nearest"> (b, , twice)""",
    "a norm over channels": """
        t = Transpose <perm=[0,2,3,1]> (a)
        n = LayerNormalization (t, scales, offsets)
        b = Transpose <perm=[0,3,1,2]> (n)
        y = Resize <mode="nearest"> (b, , twice)""",
    "a warp": """
        o = Conv <strides=[2,2], pads=[1,1,1,1]> (image, w2x3)
        q = Tanh (o)
        t = Transpose <perm=[0,2,3,1]> (q)
        g = GridSample <padding_mode="border"> (a, t)
        y = Resize <mode="nearest"> (g, , twice)""",
    "weighed pixels in rows": """
        r = Reshape (a, flat)
        m = ReduceMean <keepdims=1> (image, backwards)
        n = ReduceMean <keepdims=0> (m, last)
        p = ReduceMean <keepdims=1> (n, first)
        s = Mul (r, p)
        t = Add (s, r)
        b = Reshape (t, small)
        y = Resize <mode="nearest"> (b, , twice)""",
    "groups": """
        b = Conv <pads=[1,1,1,1], group=8> (a, w32x2)
        c = Relu (b)
        y = Resize <mode="nearest"> (c, , twice)""",
}
SIZES = {
    "zero": [0], "half": [16], "whole": [2**62], "channels": [1], "halves": [16, 16],
    "plane": [2, 3], "pixel": [1, 32, 1, 1], "pixels": [1, 16, 1, 1], "large": [1, 16, 64, 64],
    "blocks": [1, 16, 2, 2, 32, 32], "rows": [0, 4, -1], "small": [1, 16, 32, 32],
    "backwards": [-1, -2], "all": [1, 2, 3], "flat": [1, 16, -1], "last": [3], "first": [1],
}  # fmt: skip


def build(body: str, path: Path) -> GraphArtifact:
    text = f"""<ir_version: 10, opset_import: ["" : {21 if "GroupNorm" in body else 18}]>
        g (float[1,3,64,64] image) => (float[1,3,64,64] result) {{
        c0 = Conv <strides=[2,2], pads=[1,1,1,1]> (image, w16x3)
        a = Relu (c0) {body}
        h = Conv <pads=[1,1,1,1]> (y, head)
        result = Sigmoid (h) }}"""
    model = onnx.parser.parse_model(text)
    for i, node in enumerate(model.graph.node):
        node.name = f"node{i}"
    inputs = 32 if "group=8" in body else 16
    shapes = {
        "w16x3": (16, 3), "w32x16": (32, 16), "w64x16": (64, 16), "w64x64": (64, 64),
        "w32x2": (32, 2), "w2x3": (2, 3), "head": (3, inputs),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    stored = {
        name: rng.normal(0, (9 * shape[1]) ** -0.5, (*shape, 3, 3)).astype(np.float32)
        for name, shape in shapes.items()
    }
    stored |= {name: np.array(sizes, np.int64) for name, sizes in SIZES.items()}
    stored |= {"ones": np.ones(16, np.float32), "zeros": np.zeros(16, np.float32)}
    stored |= {"ones4": np.ones(4, np.float32), "zeros4": np.zeros(4, np.float32)}
    scales, offsets = rng.uniform(0.5, 1.5, (2, 16)).astype(np.float32)
    stored |= {"scales": scales, "offsets": offsets}
    stored |= {"scale": scales.reshape(-1, 1, 1), "offset": offsets.reshape(-1, 1, 1)}
    linear = rng.normal(0, 0.25, (32, 16)).astype(np.float32)
    stored |= {"linear": linear, "turned": linear.T, "shift": np.ones(32, np.float32)}
    stored |= {"square": linear[:16, :, None, None], "eps": np.array(1e-5, np.float32)}
    stored["twice"] = np.array([1, 1, 2, 2], np.float32)
    read = {name for node in model.graph.node for name in node.input}
    for name in sorted(read & stored.keys()):
        model.graph.initializer.append(onnx.numpy_helper.from_array(stored[name], name))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return GraphArtifact(picture_spec("g", "result", 64), path)


@pytest.mark.parametrize("body", BODIES)
def test_it_is_pruned_built_again_and_quantised(
    body: str, samples: ArraySamples, unseen: ArraySamples, board: Board, tmp_path: Path
) -> None:
    whole = build(BODIES[body], tmp_path / "whole.onnx")
    (tmp_path / "pruned").mkdir()
    pruned = prune_graph(whole, samples, SPEC, tmp_path / "pruned")
    onnx.checker.check_model(onnx.load(str(pruned.path)), full_check=True)
    assert inspect_graph(pruned).macs < 0.62 * inspect_graph(whole).macs
    plan = json.loads(pruned.path.with_suffix(".prune.json").read_text())
    assert all(group["after"] * 2 == group["before"] for group in plan["groups"])
    again = build_again(whole, pruned, tmp_path / "again.onnx")
    frames, _ = play(pruned, "onnxruntime", board, unseen, tmp_path / "float")
    rebuilt, _ = play(again, "onnxruntime", board, unseen, tmp_path / "rebuilt")
    np.testing.assert_array_equal(rebuilt, frames)
    made = get_scheme("onnx-qdq").quantize(
        pruned, samples, QuantizeSpec(ranges="minmax"), board, tmp_path / "made"
    )
    rounded, _ = play(made, "onnxruntime", board, unseen, tmp_path / "int8")
    assert psnr(frames, rounded) > 30


@pytest.mark.parametrize("body", ["a style of the picture", "a norm over channels"])
def test_all_that_recovery_trains_is_in_the_file(
    body: str, samples: ArraySamples, tmp_path: Path
) -> None:
    """Writing it fails if the file gives anything else than the module that was trained."""
    whole = build(BODIES[body], tmp_path / "whole.onnx")
    made = prune_graph(whole, samples, replace(SPEC, steps=20, learning_rate=0.03), tmp_path)
    plan = json.loads(made.path.with_suffix(".prune.json").read_text())
    assert min(plan["loss"]) < plan["loss"][0]


def test_sizes_are_left_as_they_are_written_where_no_channel_went(tmp_path: Path) -> None:
    """An end of `whole`, beyond all channels, would else be given as 32."""
    imported = import_graph(build(BODIES["slices and a gate"], tmp_path / "whole.onnx").path)
    write_back(imported, imported.module, tmp_path / "again.onnx")
    inputs = [
        [list(node.input) for node in model.graph.node if node.op_type == "Slice"]
        for model in (imported.normalized, onnx.load(str(tmp_path / "again.onnx")))
    ]
    assert inputs[0] == inputs[1]
    assert len(inputs[0]) == 2


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("importance", ["reconstruction", "taylor"])
def test_every_importance_tells_what_goes(
    body: str, importance: str, samples: ArraySamples, tmp_path: Path
) -> None:
    whole = build(BODIES[body], tmp_path / "whole.onnx")
    spec = replace(SPEC, of="macs", ratio=0.4, importance=importance, rounds=1)
    made = prune_graph(whole, samples, spec, tmp_path)
    assert inspect_graph(made).macs <= 0.6 * inspect_graph(whole).macs
