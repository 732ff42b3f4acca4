"""ONNX to torch: equal numbers, static modules, and errors that name the op."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, GateFailed
from edgeanim.core.quiet import quiet
from edgeanim.graph.pytorch import converters
from edgeanim.graph.pytorch.from_torch import export_onnx
from edgeanim.graph.pytorch.to_torch import import_torch

pytestmark = pytest.mark.usefixtures("operators_read_once")


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
    from edgeanim.quantize.pruning.surgeon import Surgeon

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
    before = sum(p.numel() for p in imported.module.parameters())
    surgeon = Surgeon(imported.module, imported.example())
    groups = surgeon.groups()
    assert [group.count for group in groups] == [16, 16, 16]
    surgeon.cut([strand for group in groups for strand in group.strands[:8]])
    assert imported.module(*imported.example())[0].shape == (1, 3, 32, 32)
    assert sum(p.numel() for p in imported.module.parameters()) < 0.4 * before


def test_an_unknown_op_names_itself_and_what_remains(graph: Any, save: Any) -> None:
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", "a = Relu (x) \n y = Acos (a)")
    with pytest.raises(BadInput) as caught:
        import_torch(save(model))
    text = str(caught.value)
    assert "The op Acos of node 'node1' cannot be brought into PyTorch" in text
    assert "ONNX Runtime and OpenVINO can still run this model" in text


def test_types_that_pytorch_does_not_mix_are_refused(graph: Any, save: Any) -> None:
    body = "d = Cast <to=11> (x) \n m = MatMul (d, w) \n y = Cast <to=1> (m)"
    path = save(graph("float[1,3,8,8] x", "float[1,3,8,8] y", body, {"w": np.eye(8)}))
    with pytest.raises(BadInput, match=r"PyTorch says .*still run this model"):
        import_torch(path)


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("d = Cast <to=99> (x) \n y = Relu (d)", {}),
        ("y = Conv (x, w, b)", {"w": (3, 3, 1, 1), "b": (2,)}),
    ],
)
def test_what_the_reference_refuses_is_bad_input(
    graph: Any, save: Any, body: str, weights: dict[str, tuple[int, ...]]
) -> None:
    path = save(graph("float[1,3,8,8] x", "float[1,3,8,8] y", body, weights))
    with pytest.raises(BadInput):
        import_torch(path)


def test_an_extension_before_an_op_that_others_define_is_named(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y",
        "a = com.microsoft.QuickGelu (x) \n b = Neg (a) \n y = Celu (b)",
    )
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(BadInput, match="The op QuickGelu of node 'node0'"):
        import_torch(save(model))


def test_an_output_of_open_shape_may_be_read_by_other_nodes(graph: Any, save: Any) -> None:
    """As exporters declare the state of a recurrent net, which its last convolution reads."""
    model = graph(
        "float[1,4,8,8] x",
        "float[N,C,8,8] state, float[N,1,8,8] y",
        """s = Shape <start=1, end=2> (x) \n h = Div (s, two) \n ends = Concat <axis=0> (h, h)
           state, other = Split <axis=1> (x, ends) \n y = Conv (state, w)""",
        {"two": np.array([2]), "w": (1, 2, 1, 1)},
    )
    imported = import_torch(save(model))
    first, _ = imported.module(*imported.example())
    assert first.shape == (1, 2, 8, 8)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('y = Resize <mode="cubic", coordinate_transformation_mode="tf_crop_and_resize"> '
         '(x, region, s)', "Resize of node 'node0'.*tf_crop"),
        ('h = Concat <axis=3> (x, x) \n y = Resize <axes=[2,3], mode="linear", '
         'keep_aspect_ratio_policy="not_larger"> (h, , , b)',
         "Resize of node 'node1'.*keeps the aspect ratio"),
        ('g = Transpose <perm=[0,2,3,1]> (two) \n y = GridSample <mode="bicubic"> (x, g)',
         "GridSample of node 'node1'.*bicubic"),
        ("y = AveragePool <kernel_shape=[3,3], dilations=[2,2], pads=[2,2,2,2]> (x)", "dilated"),
        ("y = Dropout (x, half, yes)", "Dropout of node 'node0'.*training mode"),
        ("y = CumSum <exclusive=1> (x, three)", "leaves out the place itself"),
        ('y = Pad <mode="edge"> (x, shift)', "Pad of node 'node0'.*crops"),
        ('h = Slice (x, none, three, three) \n y = Pad <mode="wrap"> (h, far)',
         "Pad of node 'node1'.*PyTorch says"),
        ("r = Relu (x) \n m = ReduceMean (r) \n n = InstanceNormalization (m, one, one) \n"
         "y = Add (n, x)", None),
        ("w = Relu (x) \n y = InstanceNormalization (x, v, v)", None),
        ("v2 = ReduceMean <keepdims=0> (x, all) \n"
         "y = InstanceNormalization (x, v2, v)", None),
    ],
)  # fmt: skip
def test_an_unusual_form_says_why(graph: Any, save: Any, body: str, why: str | None) -> None:
    weights = {
        "s": np.array([1, 1, 1, 2], np.float32), "v": np.ones(3, np.float32), "two": (1, 2, 8, 8),
        "one": (1,), "all": np.array([0, 2, 3]),
        "shift": np.array([0, 0, -1, 0, 0, 0, 1, 0], np.int64), "b": np.array([5, 7]),
        "region": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32),
        "far": np.array([0, 0, 0, 5, 0, 0, 0, 0]),
        "none": np.array([0]), "three": np.array([3]),
        "half": np.array(0.5, np.float32), "yes": np.array(True),
    }  # fmt: skip
    out = "float[n,c,h,w] y" if "Resize" in body else "float[1,3,8,8] y"
    path = save(graph("float[1,3,8,8] x", out, body, weights, 19))
    if why is None:
        assert import_torch(path).error <= 1e-5
    else:
        with pytest.raises(BadInput, match=why):
            import_torch(path)


def test_inputs_are_called_as_they_like(graph: Any, save: Any) -> None:
    model = graph("float[1,4] self, float[1,4] forward", "float[1,4] y", "y = Sub (self, forward)")
    imported = import_torch(save(model))
    one, other = imported.example()
    assert torch.equal(imported.module(one, other)[0], one - other)


STEEP = """c = Conv (x, w)
           m = Mul (c, steep)
           y = Sin (m)"""
"""What two runtimes give differs by some hundreds of the convolution's last bits."""


def test_what_rounding_alone_moves_passes_the_gate(graph: Any, save: Any) -> None:
    weights = {"w": (3, 16, 3, 3), "steep": np.array(300, np.float32)}
    path = save(graph("float[1,16,32,32] x", "float[1,3,30,30] y", STEEP, weights))
    assert 1e-4 < import_torch(path).error < 1e-2


def test_what_rounding_does_not_explain_fails_the_gate(
    graph: Any, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(builder: converters.Builder, node: Any) -> Any:
        return builder.call(torch.add, builder.call(torch.sin, builder.value(node.input[0])), 0.02)

    monkeypatch.setitem(converters.CONVERTERS, "Sin", wrong)
    weights = {"w": (3, 16, 3, 3), "steep": np.array(300, np.float32)}
    path = save(graph("float[1,16,32,32] x", "float[1,3,30,30] y", STEEP, weights))
    with pytest.raises(GateFailed, match=r"result of Sin node .* the limit is .e-03"):
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


@pytest.mark.parametrize(
    ("body", "function"),
    [
        # As PyTorch's exporters write a Gelu, and with the factors in another order.
        (
            "d = Div (x, root) \n e = Erf (d) \n o = Add (e, one) \n p = Mul (x, o) \n"
            "y = Mul (p, half)",
            nn.functional.gelu,
        ),
        (
            "d = Mul (x, inverse) \n e = Erf (d) \n o = Add (one, e) \n h = Mul (half, x) \n"
            "y = Mul (h, o)",
            nn.functional.gelu,
        ),
        ("g = HardSigmoid <alpha=0.16666667> (x) \n y = Mul (x, g)", nn.functional.hardswish),
        # None of either: another slope, another factor, another value.
        ("d = Div (x, one) \n e = Erf (d) \n o = Add (e, one) \n y = Mul (x, o)", None),
        ("g = HardSigmoid <alpha=0.16666667> (x) \n t = Tanh (x) \n y = Mul (t, g)", None),
    ],
)
def test_activations_in_parts_are_one_function(
    graph: Any, save: Any, body: str, function: Callable[..., Any] | None
) -> None:
    numbers = {"root": 2**0.5, "inverse": 0.5**0.5, "one": 1.0, "half": 0.5}
    weights: dict[str, Any] = {"w": (3, 3, 1, 1)}
    weights |= {name: np.array(value, np.float32) for name, value in numbers.items()}
    model = graph("float[1,3,8,8] f", "float[1,3,8,8] y", f"x = Conv (f, w) \n {body}", weights)
    calls = [n.target for n in import_torch(save(model)).module.graph.nodes if n.op != "output"]
    assert (calls[-1:] == [function] and len(calls) == 3) == (function is not None)
