"""Each op's converter: ONNX Runtime's numbers, and back to ONNX again."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
import torch

from edgeanim.core.errors import BadInput
from edgeanim.core.quiet import quiet
from edgeanim.graph.pytorch.to_torch import import_torch
from tests.graph.op_cases import CASES
from tests.graph.op_cases.case import I64, X


@pytest.mark.parametrize("case", CASES)
def test_each_op_equals_onnx_runtime_and_exports(graph: Any, save: Any, case: str) -> None:
    outputs, body, weights, opset = CASES[case]
    # The gate of `import_torch` is the comparison.
    imported = import_torch(save(graph(X, outputs, body, weights, opset)), tolerance=1e-5)
    assert imported.error <= 1e-5
    assert all(parameter.is_contiguous() for parameter in imported.module.parameters())
    example = imported.example()
    with quiet():
        program = torch.export.export(imported.module, example)
    with torch.no_grad():
        wanted, made = imported.module(*example), program.module()(*example)
    for one, other in zip(wanted, made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert_gradients_alike(imported.module, example)


def assert_gradients_alike(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> None:
    """That training would see the same whichever way values lie in memory: PyTorch 2.13's own
    backward pass of an instance norm does not, if what comes back to it is channels-last."""

    def gradients(layout: torch.memory_format) -> list[torch.Tensor]:
        def laid(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor

        given = [laid(tensor).requires_grad_() for tensor in example]
        made = [tensor for tensor in module(*given) if tensor.requires_grad]
        rng = torch.Generator().manual_seed(0)
        back = [laid(torch.randn(tensor.shape, generator=rng)) for tensor in made]
        learned = [*given, *module.parameters()]
        found = torch.autograd.grad(made, learned, back, allow_unused=True) if made else []
        return [torch.zeros(()) if each is None else each for each in found]

    layouts = (torch.contiguous_format, torch.channels_last)
    for one, other in zip(*map(gradients, layouts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_squares_and_cubes_are_products(graph: Any, save: Any) -> None:
    outputs = "float[1,8,10,12] y, float[1,8,10,12] z"
    model = graph(X, outputs, "y = Pow (x, two) \n z = Pow (x, three)", weights={
        "two": np.array(2, np.float32), "three": np.array([3], np.float32)})  # fmt: skip
    imported = import_torch(save(model), tolerance=1e-5)
    called = {node.target for node in imported.module.graph.nodes if node.op == "call_function"}
    assert called == {operator.mul}


def test_a_norm_of_zeros_can_be_trained_through(graph: Any, save: Any) -> None:
    """The way from a point to itself, in a thin-plate spline, made all that was trained NaN."""
    model = graph(X, "float[1,8,10,1] y", "y = ReduceL2 (x, last)", weights={"last": np.array([3])})
    x = torch.zeros(1, 8, 10, 12, requires_grad=True)
    (y,) = import_torch(save(model)).module(x)
    y.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_every_second_pixel_is_taken_by_a_pool(graph: Any, save: Any) -> None:
    """As a wavelet or a focus layer does: TFLite has its own slice with steps in float only."""
    body = "y = Slice (x, starts, ends, axes, steps)"
    weights = {"starts": [1, 0], "ends": [10, 99], "axes": [2, 3], "steps": [2, 3]}
    model = graph(X, "float[1,8,5,4] y", body, {k: np.array(v) for k, v in weights.items()})
    imported = import_torch(save(model))
    assert imported.error == 0
    (pool,) = [n for n in imported.module.graph.nodes if n.target is torch.nn.functional.max_pool2d]
    assert pool.args[1:] == (1, (2, 3))


def test_pixels_from_the_first_one_on_need_no_slice_before_the_pool(graph: Any, save: Any) -> None:
    """The TFLite converter writes an op that TFLite lacks for one that takes all."""
    body = "y = Slice (x, starts, ends, axes, steps)"
    weights = {"starts": [0, 0], "ends": [10, 99], "axes": [2, 3], "steps": [2, 2]}
    model = graph(X, "float[1,8,5,6] y", body, {k: np.array(v) for k, v in weights.items()})
    called = [n.target for n in import_torch(save(model)).module.graph.nodes if n.args[1:]]
    assert called == [torch.nn.functional.max_pool2d]


@pytest.mark.parametrize(
    ("how", "sizes", "why"),
    [
        ("LSTM <hidden_size=4, clip=1.0> (s, w, r)", (8, 10), "its clip is 1.0"),
        ("LSTM <hidden_size=4> (s, w, r, , , , , p)", (8, 10), "peepholes"),
        ("LSTM <hidden_size=4> (s, w, r, , lengths)", (8, 2), "of several lengths"),
        ("LSTM <hidden_size=4> (s, w, r)", (320, 3), "320 steps, and at most 256"),
        (
            'LSTM <hidden_size=4, activations=["HardSigmoid","Tanh","Tanh"]> (s, w, r)',
            (8, 10),
            "Hardsigmoid",
        ),
    ],
)
def test_what_a_recurrent_op_does_besides_is_refused(
    graph: Any, save: Any, how: str, sizes: tuple[int, int], why: str
) -> None:
    length, count = sizes
    width = 960 // length // count
    model = graph(
        X, f"float[{length},1,{count},4] y", f"s = Reshape (x, steps) \n y = {how}",
        {"steps": np.array([length, count, width], I64), "w": (1, 16, width), "r": (1, 16, 4),
         "p": (1, 12), "lengths": np.array([8, 5], np.int32)},
    )  # fmt: skip
    with pytest.raises(BadInput, match=why):
        import_torch(save(model))
