"""Ops that work on each element: activations, arithmetic, comparisons."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.builder import MOST_AXES, Builder, Converter, merged, tensor
from edgeanim.graph.rewrites.identity import drops

_PLAIN: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs, "Atan": torch.atan, "Ceil": torch.ceil, "Cos": torch.cos, "Erf": torch.erf,
    "Exp": torch.exp, "Floor": torch.floor, "HardSwish": F.hardswish, "IsNaN": torch.isnan,
    "Log": torch.log, "Mish": F.mish, "Neg": torch.neg, "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal, "Relu": F.relu, "Round": torch.round, "Sigmoid": torch.sigmoid,
    "Sign": torch.sign, "Sin": torch.sin, "Softplus": F.softplus, "Softsign": F.softsign,
    "Sqrt": torch.sqrt, "Tanh": torch.tanh,
}  # fmt: skip

_BINARY: dict[str, Callable[..., Any]] = {
    "Add": operator.add, "Mul": operator.mul, "Sub": operator.sub,
    "Equal": torch.eq, "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Less": torch.lt,
    "LessOrEqual": torch.le, "And": torch.logical_and, "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}  # fmt: skip

_NUMBER_FIRST = ("Add", "Div", "Mul", "Pow", "Sub")
"""Those with a number as first operand; torch compares only tensors with numbers."""


def _plain(function: Callable[..., Any]) -> Converter:
    return lambda b, node: b.call(function, b.value(node.input[0]))


def _operands(b: Builder, node: Any) -> list[Any]:
    left, right = node.input
    shapes = [b.onnx.shapes.get(name, ()) for name in (left, right)]
    number_first = node.op_type in _NUMBER_FIRST and right not in b.onnx.constants
    first = b.operand(left, shapes[1]) if number_first else b.value(left)
    return [first, b.operand(right, shapes[0])]


def _binary(function: Callable[..., Any]) -> Converter:
    return lambda b, node: _combined(b, node, function)


def _combined(b: Builder, node: Any, function: Callable[..., Any]) -> fx.Node:
    """The function of both operands, with fewer axes where TFLite has no form for so many."""
    shapes = [b.onnx.shapes.get(name) for name in (*node.input, *node.output)]
    if None in shapes or max(len(shape or ()) for shape in shapes) <= MOST_AXES:
        return b.call(function, *_operands(b, node))
    left, right = _merged(shapes[0] or (), shapes[1] or ())
    values = [
        b.call(torch.reshape, b.value(name), shape)
        for name, shape in zip(node.input, (left, right), strict=True)
    ]
    return b.call(torch.reshape, b.call(function, *values), shapes[2])


def _merged(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Two shapes that broadcast, with axes made one that are repeated alike."""
    rank = max(len(one), len(other))
    padded = ((1,) * (rank - len(shape)) + tuple(shape) for shape in (one, other))
    pairs = [pair for pair in zip(*padded, strict=True) if pair != (1, 1)]
    repeats = [tuple(size == 1 for size in pair) for pair in pairs]
    sides = ([pair[side] for pair in pairs] for side in (0, 1))
    return tuple(tuple(size for _, size in merged(sizes, repeats)) for sizes in sides)


def div(b: Builder, node: Any) -> fx.Node:
    """Whole numbers divide towards zero in ONNX."""
    operands = _operands(b, node)
    if not b.whole.isdisjoint(node.input):
        return b.call(torch.div, *operands, rounding_mode="trunc")
    return b.call(operator.truediv, *operands)


def modulo(b: Builder, node: Any) -> fx.Node:
    """What is left has the sign of the divisor, or with `fmod` of what is divided."""
    function = torch.fmod if b.attrs(node).get("fmod", 0) else torch.remainder
    return b.call(function, *_operands(b, node))


def mean(b: Builder, node: Any) -> fx.Node:
    """Of several values, element by element."""
    return b.call(operator.truediv, _many(operator.add)(b, node), len(node.input))


def dropout(b: Builder, node: Any) -> Sequence[fx.Node]:
    """At inference nothing is dropped, and the mask says so."""
    if drops(b.onnx, node):
        raise b.refuse(node, "it is in training mode")
    x = b.value(node.input[0])
    return [b.call(torch.clone, x), b.call(torch.ones_like, x, dtype=torch.bool)]


def power(b: Builder, node: Any) -> fx.Node:
    """Squares and cubes are products: quicker, and TFLite has powers of few axes only."""
    x, exponent = _operands(b, node)
    if exponent not in (2, 3):
        return b.call(operator.pow, x, exponent)
    square = b.call(operator.mul, x, x)
    return square if exponent == 2 else b.call(operator.mul, square, x)


def clip(b: Builder, node: Any) -> fx.Node:
    """Limits are attributes up to opset 10 and inputs since; none is no limit."""
    given = b.attrs(node)
    limits: list[float | None] = []
    for index, name in ((1, "min"), (2, "max")):
        if b.present(node, index):
            limits.append(b.constant(node, index, name).item())
        else:
            limits.append(given.get(name))
    x = b.value(node.input[0])
    if limits == [0.0, 6.0]:
        return b.call(F.relu6, x)
    return x if limits == [None, None] else b.call(torch.clamp, x, *limits)


def cast(b: Builder, node: Any) -> fx.Node:
    """To whatever type torch has under the same name."""
    import onnx

    name = onnx.helper.tensor_dtype_to_np_dtype(b.attrs(node)["to"]).name
    dtype = getattr(torch, name, None)
    if dtype is None:
        raise b.refuse(node, f"torch has no type {name}")
    return b.call(torch.Tensor.to, b.value(node.input[0]), dtype)


def identity(b: Builder, node: Any) -> fx.Node:
    """What is left of these gives one value as two outputs, or an input as an output."""
    return b.call(torch.clone, b.value(node.input[0]))


def cast_like(b: Builder, node: Any) -> fx.Node:
    """To the type of another value."""
    return b.call(torch.Tensor.type_as, *[b.value(name) for name in node.input])


def prelu(b: Builder, node: Any) -> fx.Node:
    """One slope, or one per channel."""
    slope = b.constant(node, 1, "slope")
    missing = len(b.shape(node.input[0], node)) - slope.ndim
    aligned = (1,) * missing + slope.shape
    if slope.size > 1 and aligned[1:2] != (slope.size,):
        raise b.refuse(node, "its slope is neither one number nor one per channel")
    module = nn.PReLU(slope.size)
    module.weight = nn.Parameter(tensor(slope.reshape(-1)))
    return b.module(node, module, b.value(node.input[0]))


def _with(function: Callable[..., Any], name: str, default: float) -> Converter:
    def convert(b: Builder, node: Any) -> fx.Node:
        return b.call(function, b.value(node.input[0]), b.attrs(node).get(name, default))

    return convert


def hard_sigmoid(b: Builder, node: Any) -> fx.Node:
    """max(0, min(1, alpha x + beta)); torch's own has alpha = 1/6, beta = 1/2."""
    given = b.attrs(node)
    alpha, beta = given.get("alpha", 0.2), given.get("beta", 0.5)
    x = b.value(node.input[0])
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return b.call(F.hardsigmoid, x)
    return b.call(torch.clamp, b.call(operator.add, b.call(operator.mul, x, alpha), beta), 0.0, 1.0)


def selu(b: Builder, node: Any) -> fx.Node:
    """gamma times the Elu with alpha."""
    given = b.attrs(node)
    x = b.call(F.elu, b.value(node.input[0]), given.get("alpha", 1.67326319217681884765625))
    return b.call(operator.mul, x, given.get("gamma", 1.05070102214813232421875))


def thresholded_relu(b: Builder, node: Any) -> fx.Node:
    """What is above alpha; 0 elsewhere."""
    return b.call(F.threshold, b.value(node.input[0]), b.attrs(node).get("alpha", 1.0), 0.0)


def gelu(b: Builder, node: Any) -> fx.Node:
    """Exact or by tanh."""
    form = b.attrs(node).get("approximate", "none")
    return b.call(F.gelu, b.value(node.input[0]), approximate=form)


def _softmax(function: Callable[..., Any]) -> Converter:
    def convert(b: Builder, node: Any) -> fx.Node:
        x, axis = b.value(node.input[0]), b.attrs(node).get("axis", -1)
        shape = b.onnx.shapes.get(node.input[0], ())
        if len(shape) <= MOST_AXES:
            return b.call(function, x, axis)
        axis %= len(shape)
        x = b.call(torch.reshape, x, (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])))
        return b.call(torch.reshape, b.call(function, x, 1), shape)

    return convert


def _many(function: Callable[..., Any]) -> Converter:
    def convert(b: Builder, node: Any) -> fx.Node:
        values = [b.value(name) for name in node.input]
        return reduce(lambda one, other: b.call(function, one, other), values)

    return convert


def where(b: Builder, node: Any) -> fx.Node:
    """Both branches are computed."""
    return b.call(torch.where, *[b.value(name) for name in node.input])


CONVERTERS: dict[str, Converter] = {
    **{op: _plain(function) for op, function in _PLAIN.items()},
    **{op: _binary(function) for op, function in _BINARY.items()},
    "Cast": cast,
    "CastLike": cast_like,
    "Clip": clip,
    "Div": div,
    "Dropout": dropout,
    "Elu": _with(F.elu, "alpha", 1.0),
    "Gelu": gelu,
    "Identity": identity,
    "HardSigmoid": hard_sigmoid,
    "LeakyRelu": _with(F.leaky_relu, "alpha", 0.01),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Max": _many(torch.maximum),
    "Mean": mean,
    "Min": _many(torch.minimum),
    "Mod": modulo,
    "PRelu": prelu,
    "Pow": power,
    "Selu": selu,
    "Softmax": _softmax(torch.softmax),
    "Sum": _many(operator.add),
    "ThresholdedRelu": thresholded_relu,
    "Where": where,
}
