"""Linear layers over pixels or tokens become convolutions of one pixel.

ConvNeXt blocks, transformers and coordinate nets multiply [.., P, C] by a stored [C, O]: a 1 x 1
convolution, which every runtime computes as fast. INT8 and pruning work on convolutions, so that
such a net has them too. Reshapes and transpositions to [1, C, h, w] and back stand around each; the
reshapes sink below what works element by element and cancel, and `layout` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt, prod
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.rewrites.layout import BINARY, TO_FIRST, TO_LAST, UNARY

LEAST_PIXELS = 64
"""Of fewer, a style or a key point, say, a product is no work over pixels."""


@dataclass(frozen=True)
class _Layer:
    """What a product multiplies by, [C, O], and adds, and the value that it is all in."""

    matrix: AnyArray
    bias: AnyArray | None
    result: Any


def rewrite(model: Any) -> int:
    """Returns the number of linear layers that are convolutions now, which keep their names."""
    rows: set[str] = set()
    count = rewrite_each(model, partial(_restate, rows))
    while count and rewrite_each(model, partial(_sink, rows)):
        pass
    return count


def _restate(rows: set[str], graph: Editor, node: Any) -> bool:
    """One layer between a way to [1, C, h, w] and one back; `rows` learns of [1, h, w, C]."""
    layer = _layer(graph, node)
    shape = graph.shapes.get(node.input[0], ()) if layer else ()
    if layer is None or prod(shape[:-1]) < LEAST_PIXELS:
        return False
    near, x, size = node.output[0], node.input[0], _rows(shape)
    if size != shape:
        x = graph.reshaped(x, size, near=near)
    x = graph.add("Transpose", [x], near=near, perm=TO_FIRST)
    x = graph.add("Transpose", [_convolved(graph, node, x, layer)], near=near, perm=TO_LAST)
    rows.add(x)
    if size != shape:
        x = graph.reshaped(x, (*shape[:-1], layer.matrix.shape[1]), near=near)
    graph.replace(layer.result, x)
    return True


def _layer(graph: Editor, node: Any) -> _Layer | None:
    """A product with a stored matrix, and the stored bias that is added to it."""
    matrix = graph.constant_of(node, 1) if node.op_type in ("Gemm", "MatMul") else None
    if matrix is None or matrix.ndim != 2 or matrix.dtype != np.float32:
        return None
    if node.op_type == "Gemm":
        return _gemm(graph, node, matrix)
    after = graph.only_user(node.output[0])
    if after is not None and after.op_type == "Add":
        other = next((i for i, name in enumerate(after.input) if name != node.output[0]), 0)
        bias = graph.constant_of(after, other)
        same = graph.shapes.get(after.output[0]) == graph.shapes.get(node.output[0])
        if bias is not None and same and _fits(bias, matrix):
            return _Layer(matrix, bias.reshape(-1), after)
    return _Layer(matrix, None, node)


def _gemm(graph: Editor, node: Any, matrix: AnyArray) -> _Layer | None:
    given = attributes(node)
    plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0 and not given.get("transA", 0)
    matrix = matrix.T if given.get("transB", 0) else matrix
    if not plain:
        return None
    if not graph.has_input(node, 2):
        return _Layer(matrix, None, node)
    bias = graph.constant_of(node, 2)
    if bias is None or not _fits(bias, matrix):
        return None
    return _Layer(matrix, bias.reshape(-1), node)


def _fits(bias: AnyArray, matrix: AnyArray) -> bool:
    """Whether the bias has a number for each column of the matrix, along its last axis."""
    return bool(bias.size == matrix.shape[1] == (bias.shape or (0,))[-1])


def _rows(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape [1, h, w, C] of pixels [.., C]: as it is, or the most even one."""
    if len(shape) == 4 and shape[0] == 1:
        return tuple(shape)
    pixels = prod(shape[:-1])
    height = next(n for n in range(isqrt(pixels), 0, -1) if pixels % n == 0)
    return (1, height, pixels // height, shape[-1])


def _convolved(graph: Editor, node: Any, x: str, layer: _Layer) -> str:
    """Add the convolution of [1, C, h, w], which takes the product's name."""
    import onnx

    kernel = layer.matrix.T[:, :, None, None]
    inputs = [x, graph.constant(kernel, near=node.input[1])]
    if layer.bias is not None:
        inputs.append(graph.constant(layer.bias, near=f"{node.output[0]}/bias"))
    made = graph.fresh(f"{node.output[0]}/pixels")
    graph.append(onnx.helper.make_node("Conv", inputs, [made], node.name))
    return made


def _sink(rows: set[str], graph: Editor, node: Any) -> bool:
    """`op(Reshape(x))` becomes `Reshape(op(x))` where x has the pixels in `rows`, and two reshapes
    in a row become one or none."""
    if node.op_type == "Reshape":
        return _merge(rows, graph, node)
    if node.op_type not in UNARY | BINARY or len(node.output) != 1:
        return False
    count = len(node.input) if node.op_type in BINARY else 1
    made = graph.shapes.get(node.output[0])
    found = [_behind(rows, graph, name, made) for name in node.input[:count]]
    inputs = [name for name in found if name]
    shapes = {graph.shapes.get(name) for name in inputs if name in rows}
    if made is None or len(inputs) < len(found) or len(shapes) != 1:
        return False
    shape = shapes.pop() or ()
    by_channel = any(name in graph.constants and graph.constants[name].size > 1 for name in inputs)
    if by_channel and shape[-1:] != made[-1:]:  # the heads of an attention, say
        return False
    near, given = node.output[0], attributes(node)
    x = graph.add(node.op_type, [*inputs, *node.input[count:]], near=near, **given)
    rows.add(x)
    graph.replace(node, graph.reshaped(x, made, near=near))
    return True


def _merge(rows: set[str], graph: Editor, node: Any) -> bool:
    inner = graph.maker(node.input[0], "Reshape")
    if inner is None or inner.input[0] not in rows:
        return False
    x, made = inner.input[0], graph.shapes.get(node.output[0])
    shape = graph.shapes.get(x)  # unknown until the next round, if it is new
    if made is None or shape is None or node.output[0] in graph.outputs:
        return False
    graph.replace(node, x if made == shape else graph.reshaped(x, made, near=x))
    return True


def _behind(rows: set[str], graph: Editor, name: str, made: tuple[int, ...] | None) -> str | None:
    """The value in `rows` that `name` is in the shape `made`; itself if it is a number for each
    channel or for all; else `None`."""
    stored = graph.constants.get(name)
    if stored is not None:
        return name if stored.size == (stored.shape or (1,))[-1] and stored.ndim <= 4 else None
    inner = graph.maker(name, "Reshape")
    fits = inner is not None and inner.input[0] in rows and graph.shapes.get(name) == made
    return inner.input[0] if inner is not None and fits else None
