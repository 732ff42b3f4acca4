"""ONNX to torch: equal numbers, static modules, and errors that name the op."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.core.quiet import quiet
from edgeanim.graph import converters
from edgeanim.graph.from_torch import export_onnx
from edgeanim.graph.to_torch import import_torch

X = "float[1,8,10,12] x"
FULL = "float[1,8,10,12] y"
I64 = np.int64

# One line each: outputs, body, weights, opset. The gate of `import_torch` is the comparison.
OPS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "conv grouped": (FULL, "y = Conv <group=4, pads=[1,1,1,1]> (x, w)", {"w": (8, 2, 3, 3)}, 18),
    "conv dilated": (
        "float[1,4,6,8] y", "y = Conv <dilations=[2,2]> (x, w, b)",
        {"w": (4, 8, 3, 3), "b": (4,)}, 18),
    "conv unequal pads": (
        "float[1,4,11,13] y", "y = Conv <pads=[0,1,2,1]> (x, w)", {"w": (4, 8, 2, 2)}, 18),
    "conv computed weight": (
        FULL, "v = Tanh (w) \n m = ReduceMean (x) \n u = Mul (v, m) \n y = Conv (x, u)",
        {"w": (8, 8, 1, 1)}, 18),
    "conv transpose": (
        "float[1,6,20,24] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (x, w, b)",
        {"w": (8, 6, 3, 3), "b": (6,)}, 18),
    "conv transpose unequal": (
        "float[1,6,20,24] y", "y = ConvTranspose <strides=[2,2], pads=[0,0,1,1]> (x, w)",
        {"w": (8, 6, 3, 3)}, 18),
    "batch norm": (
        FULL, "r = Relu (x) \n y = BatchNormalization (r, a, b, c, d)",
        {"a": (8,), "b": (8,), "c": (8,), "d": np.ones(8, np.float32)}, 18),
    "instance norm": (FULL, "y = InstanceNormalization (x, a, b)", {"a": (8,), "b": (8,)}, 18),
    "layer norm": (FULL, "y = LayerNormalization (x, a, b)", {"a": (12,), "b": (12,)}, 18),
    "group norm": (
        FULL, "y = GroupNormalization <num_groups=2> (x, a, b)", {"a": (8,), "b": (8,)}, 21),
    "activations": (
        FULL,
        """a = LeakyRelu <alpha=0.3> (x)
           b = HardSwish (a)
           c = HardSigmoid (b)
           d = Elu (c)
           e = Softplus (d)
           f = PRelu (e, slope)
           g = Clip (f, , six)
           y = Erf (g)""",
        {"slope": (8, 1, 1), "six": np.array(0.6, np.float32)}, 18),
    "gelu": (FULL, 'y = Gelu <approximate="tanh"> (x)', {}, 20),
    "arithmetic": (
        FULL,
        """a = Mul (x, v)
           b = Add (a, v)
           c = Sub (one, b)
           d = Abs (c)
           e = Sqrt (d)
           f = Div (e, v)
           g = Pow (f, two)
           h = Exp (x)
           i = Max (g, h, x)
           j = Neg (i)
           y = Min (j, x)""",
        {"v": (8, 1, 1), "one": np.array(1.0, np.float32), "two": np.array([2.0], np.float32)}, 18),
    "where": (FULL, "c = Greater (x, zero) \n y = Where (c, x, zero)",
              {"zero": np.array(0, np.float32)}, 18),
    "softmax": (FULL, "y = Softmax <axis=1> (x)", {}, 18),
    "reductions": (
        "float[1,8,1,12] y, float[1,8] z",
        "y = ReduceMean (x, rows) \n z = ReduceSum <keepdims=0> (x, both)",
        {"rows": np.array([2], I64), "both": np.array([-1, -2], I64)}, 18),
    "reductions old": (
        "float[1,8,1,1] y, float[8,12] z",
        "y = ReduceMax <axes=[2,3]> (x) \n z = ReduceL2 <axes=[0,2], keepdims=0> (x)", {}, 17),
    "concat split": (
        "float[1,10,10,12] y",
        "a, b = Split <axis=1> (x, sizes) \n y = Concat <axis=1> (b, a, b)",
        {"sizes": np.array([6, 2], I64)}, 18),
    "slice": (
        "float[1,3,10,6] y", "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([1, -1000], I64), "ends": np.array([4, 1000], I64),
         "axes": np.array([1, 3], I64), "steps": np.array([1, 2], I64)}, 18),
    "slice flip": (
        FULL, "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([-1], I64), "ends": np.array([-1000], I64),
         "axes": np.array([3], I64), "steps": np.array([-1], I64)}, 18),
    "reshape transpose": (
        "float[1,12,80] y",
        "r = Reshape (x, s) \n t = Transpose <perm=[0,3,1,2]> (r) \n y = Reshape (t, u)",
        {"s": np.array([0, 8, -1, 12], I64), "u": np.array([1, 12, 80], I64)}, 18),
    "squeeze unsqueeze": (
        "float[1,8,1,1,1] y",
        """p = GlobalAveragePool (x)
           s = Squeeze (p, last)
           u = Unsqueeze (s, axes)
           y = Relu (u)""",
        {"last": np.array([2, 3], I64), "axes": np.array([2, 3, -1], I64)}, 18),
    "expand tile": (
        "float[1,8,10,24] y",
        "m = ReduceMean <axes=[3]> (x) \n e = Expand (m, s) \n t = Tile (e, r) \n y = Relu (t)",
        {"s": np.array([1, 8, 10, 12], I64), "r": np.array([1, 1, 1, 2], I64)}, 17),
    "gather": (
        "float[1,8,3,12] y, float[1,8,12] z",
        "y = Gather <axis=2> (x, some) \n z = Gather <axis=2> (x, last)",
        {"some": np.array([7, 0, 2], I64), "last": np.array(-1, I64)}, 18),
    "pads": (
        "float[1,8,20,22] y",
        """r = Pad <mode="reflect"> (x, p)
           e = Pad <mode="edge"> (r, p)
           c = Pad (e, q, value, axes)
           y = Tanh (c)""",
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1], I64), "q": np.array([1, 3, 1, 1], I64),
         "value": np.array(0.7, np.float32), "axes": np.array([2, 3], I64)}, 18),
    "pools": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)""", {}, 18),
    "pools unequal": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER"> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1],
                            count_include_pad=1> (x)""", {}, 18),
    "resize nearest": (
        "float[1,8,20,24] y",
        """y = Resize <mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric"> (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "resize linear": (
        "float[1,8,15,18] y", 'y = Resize <mode="linear"> (x, , , sizes)',
        {"sizes": np.array([1, 8, 15, 18], I64)}, 18),
    "resize aligned": (
        "float[1,8,20,24] y",
        """y = Resize <mode="linear", coordinate_transformation_mode="align_corners">
               (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "depth to space": (
        "float[1,2,20,24] y, float[1,2,20,24] z, float[1,32,5,6] w",
        """y = DepthToSpace <blocksize=2> (x)
           z = DepthToSpace <blocksize=2, mode="CRD"> (x)
           w = SpaceToDepth <blocksize=2> (x)""", {}, 18),
    "gemm": (
        "float[1,5] y",
        """p = GlobalAveragePool (x)
           f = Flatten (p)
           y = Gemm <transB=1, alpha=0.5, beta=2.0> (f, w, b)""",
        {"w": (5, 8), "b": (5,)}, 18),
    "matmul einsum": (
        "float[1,8,10,10] y, float[1,8] z, float[1,8,10,5] v",
        """t = Transpose <perm=[0,1,3,2]> (x)
           y = MatMul (x, t)
           z = Einsum <equation="bchw->bc"> (x)
           v = MatMul (x, w)""",
        {"w": (12, 5)}, 18),
    "warp": (FULL, "g = Tanh (grid) \n y = GridSample (x, g)", {"grid": (1, 10, 12, 2)}, 18),
}  # fmt: skip


@pytest.mark.parametrize("case", OPS)
def test_each_op_equals_onnx_runtime_and_exports(graph: Any, save: Any, case: str) -> None:
    outputs, body, weights, opset = OPS[case]
    imported = import_torch(save(graph(X, outputs, body, weights, opset)), tolerance=1e-5)
    assert imported.error <= 1e-5
    example = imported.example()
    with quiet():
        program = torch.export.export(imported.module, example)
    with torch.no_grad():
        wanted, made = imported.module(*example), program.module()(*example)
    for one, other in zip(wanted, made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def _spec(channels: int, size: int, out: tuple[int, ...]) -> GraphSpec:
    return GraphSpec(
        "net",
        "net.onnx",
        "frame",
        (TensorSpec("x", "driving_frame", (1, channels, size, size), "NCHW", range=(0.0, 1.0)),),
        (TensorSpec("y", "frame", out, "NCHW"),),
    )


@st.composite
def nets(draw: st.DrawFn) -> nn.Sequential:
    """Small convolutional nets: down and up again, with the usual norms and activations."""
    channels, level, layers = 3, 0, []
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(["plain", "down", "up", "shuffle", "transposed"]))
        bias = draw(st.booleans())
        if kind == "down" and level > -2:
            layers.append(nn.Conv2d(channels, width, 3, 2, 1, bias=bias))
            level -= 1
        elif kind == "transposed" and level < 1:
            layers.append(nn.ConvTranspose2d(channels, width, 3, 2, 1, 1, bias=bias))
            level += 1
        elif kind == "shuffle" and level < 1:
            layers += [nn.Conv2d(channels, 4 * width, 1, bias=bias), nn.PixelShuffle(2)]
            level += 1
        else:
            if kind == "up" and level < 1:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
                level += 1
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3, bias=bias)]
        norms = [nn.Identity, nn.BatchNorm2d, lambda n: nn.InstanceNorm2d(n, affine=True)]
        layers.append(draw(st.sampled_from(norms))(width))
        acts = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Hardswish, lambda: nn.LeakyReLU(0.2)]
        layers.append(draw(st.sampled_from(acts))())
        channels = width
    return nn.Sequential(*layers).eval()


@settings(deadline=None, max_examples=6)
@given(net=nets(), seed=st.integers(0, 99))
def test_torch_to_onnx_and_back(tmp_path_factory: Any, net: nn.Sequential, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3)
        example = torch.rand(1, 3, 16, 16)
        wanted = net(example)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    export_onnx(net, _spec(3, 16, tuple(wanted.shape)), path)
    with torch.no_grad():
        (made,) = import_torch(path).module(example)
    torch.testing.assert_close(wanted, made, rtol=1e-4, atol=1e-4)


def test_an_imported_module_trains_and_has_plain_layers(tiny_onnx: Callable[..., Path]) -> None:
    module = import_torch(tiny_onnx(16, 4)).module
    assert sum(isinstance(layer, nn.Conv2d) for layer in module.modules()) == 3
    picture = torch.rand(1, 3, 16, 16)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        loss = (module(picture)[0] - picture).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_an_imported_module_can_be_pruned(graph: Any, save: Any) -> None:
    import torch_pruning

    model = graph(
        "float[1,3,16,16] x",
        "float[1,3,32,32] y",
        """a = Conv <pads=[1,1,1,1]> (x, wa)
           n = InstanceNormalization (a, s, o)
           r = Relu (n)
           b = Conv <pads=[1,1,1,1]> (r, wb)
           c = Concat <axis=1> (r, b)
           t = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (c, wt)
           g = Mul (t, gain)
           q = Relu (g)
           y = Conv <pads=[1,1,1,1]> (q, wy)""",
        {
            "wa": (16, 3, 3, 3), "s": (16,), "o": (16,), "wb": (16, 16, 3, 3),
            "wt": (32, 16, 3, 3), "gain": (16, 1, 1), "wy": (3, 16, 3, 3),
        },
    )  # fmt: skip
    imported = import_torch(save(model))
    convolutions = [m for m in imported.module.modules() if isinstance(m, nn.Conv2d)]
    before = sum(p.numel() for p in imported.module.parameters())
    with quiet():
        torch_pruning.pruner.MagnitudePruner(
            imported.module,
            imported.example(),
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=0.5,
            ignored_layers=convolutions[-1:],
        ).step()
    assert imported.module(*imported.example())[0].shape == (1, 3, 32, 32)
    assert sum(p.numel() for p in imported.module.parameters()) < 0.4 * before


def test_an_unknown_op_names_itself_and_what_remains(graph: Any, save: Any) -> None:
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", "a = Relu (x) \n y = Shrink (a)")
    with pytest.raises(BadInput) as caught:
        import_torch(save(model))
    text = str(caught.value)
    assert "The op Shrink of node 'node1' cannot be brought into PyTorch" in text
    assert "ONNX Runtime and OpenVINO can still run this model" in text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('y = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , s)',
         "Resize of node 'node0'.*asymmetric"),
        ("w = Relu (x) \n y = InstanceNormalization (x, v, v)", None),
        ("v2 = ReduceMean <axes=[0,2,3], keepdims=0> (x) \n"
         "y = InstanceNormalization (x, v2, v)", None),
    ],
)  # fmt: skip
def test_an_unusual_form_says_why(graph: Any, save: Any, body: str, why: str | None) -> None:
    weights = {"s": np.array([1, 1, 1, 2], np.float32), "v": np.ones(3, np.float32)}
    out = "float[1,3,8,16] y" if "Resize" in body else "float[1,3,8,8] y"
    path = save(graph("float[1,3,8,8] x", out, body, weights, 17))
    if why is None:
        assert import_torch(path).error <= 1e-5
    else:
        with pytest.raises(BadInput, match=why):
            import_torch(path)


def test_the_gate_names_the_first_op_that_differs(
    graph: Any, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(builder: converters.Builder, node: Any) -> Any:
        return builder.call(torch.mul, builder.value(node.input[0]), 1.01)

    monkeypatch.setitem(converters.CONVERTERS, "Tanh", wrong)
    model = graph(
        "float[1,3,8,8] x", "float[1,3,8,8] y", "a = Relu (x) \n b = Tanh (a) \n y = Exp (b)"
    )
    with pytest.raises(GateFailed, match=r"result of Tanh node 'node1' differs .* the first op"):
        import_torch(save(model))


def test_the_style_net_comes_over(style_model: Path) -> None:
    imported = import_torch(style_model)
    assert imported.error <= 1e-5
    assert imported.input_shapes == ((1, 384, 384, 3), (1, 1, 1, 100))
    norms = [m for m in imported.module.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 13


@pytest.mark.slow
def test_the_style_net_becomes_tflite_without_layout_transposes(
    style_model: Path, tmp_path: Path
) -> None:
    from edgeanim.core import offline

    offline.apply()
    imported = import_torch(style_model)
    example = imported.example()
    path = tmp_path / "style.tflite"
    with quiet():
        import litert_torch
        from ai_edge_litert.interpreter import Interpreter

        litert_torch.convert(imported.module, example).export(str(path))
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        for details, value in zip(interpreter.get_input_details(), example, strict=True):
            interpreter.set_tensor(details["index"], value.numpy())
        interpreter.invoke()
    made = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        wanted = imported.module(*example)[0].numpy()
    assert np.abs(made - wanted).max() <= 1e-4
    ops = interpreter._get_ops_details()
    assert not any(op["op_name"] in ("TRANSPOSE", "GATHER_ND", "MIRROR_PAD") for op in ops)
