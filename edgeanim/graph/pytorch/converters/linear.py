"""Matrix products: Gemm, MatMul, Einsum, the grid of an affine warp, and Fourier transforms."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.builder import Builder, Converter, tensor
from edgeanim.graph.rewrites.fourier import order_of, product_of


def gemm(b: Builder, node: Any) -> fx.Node:
    """alpha A B + beta C; an `nn.Linear` where B and C are weights."""
    given = b.attrs(node)
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    left = b.value(node.input[0])
    if given.get("transA", 0):
        left = b.call(torch.transpose, left, 0, 1)
    weight = b.onnx.constant_of(node, 1)
    bias = b.onnx.constant_of(node, 2)
    if weight is not None and (bias is not None or not b.present(node, 2)):
        matrix = weight if given.get("transB", 0) else weight.T
        if bias is None or (bias.size, *bias.shape[-1:]) == matrix.shape[:1] * 2:
            return b.module(
                node,
                _linear(matrix * alpha, None if bias is None else bias.reshape(-1) * beta),
                left,
            )
    right = b.value(node.input[1])
    if given.get("transB", 0):
        right = b.call(torch.transpose, right, 0, 1)
    product = b.call(torch.matmul, left, right)
    if alpha != 1.0:
        product = b.call(operator.mul, product, alpha)
    if not b.present(node, 2):
        return product
    shift = b.value(node.input[2])
    if beta != 1.0:
        shift = b.call(operator.mul, shift, beta)
    return b.call(operator.add, product, shift)


def matmul(b: Builder, node: Any) -> fx.Node:
    """An `nn.Linear` where the right side is a weight matrix."""
    weight = b.onnx.constant_of(node, 1)
    if weight is not None and weight.ndim == 2:
        return b.module(node, _linear(weight.T, None), b.value(node.input[0]))
    return b.call(torch.matmul, b.value(node.input[0]), b.value(node.input[1]))


def einsum(b: Builder, node: Any) -> fx.Node:
    """The equation as it is written."""
    equation = b.attrs(node)["equation"]
    return b.call(torch.einsum, equation, *[b.value(name) for name in node.input])


def affine_grid(b: Builder, node: Any) -> fx.Node:
    """The positions of all pixels, and a one each, times the matrices."""
    count, _, *size = (int(n) for n in b.constant(node, 1, "size"))
    axes = len(size)
    still = torch.eye(axes, axes + 1)[None]
    aligned = bool(b.attrs(node).get("align_corners", 0))
    places = F.affine_grid(still, [1, 1, *size], align_corners=aligned).reshape(1, -1, axes)
    places = F.pad(places, (0, 1), value=1.0)
    matrices = b.call(torch.transpose, b.value(node.input[0]), 1, 2)
    grid = b.call(torch.matmul, b.buffer(node, places), matrices)
    return b.call(torch.reshape, grid, (count, *size, axes))


def fourier(b: Builder, node: Any) -> fx.Node:
    """The numbers along the axis times a stored matrix, which no training changes."""
    found = product_of(b.onnx, node)
    if found is None:
        raise b.refuse(node, "its axis or its length is computed, or its spectrum is not whole")
    axis, matrix = found
    before, parts, *after = matrix.shape
    shape = b.shape(node.input[0], node)
    order = order_of(len(shape), axis)
    others = [shape[i] for i in order[:-2]]
    x = b.call(torch.permute, b.value(node.input[0]), order)
    x = b.call(torch.reshape, x, (*others, before * parts))
    product = torch.from_numpy(matrix.reshape(before * parts, -1))
    y = b.call(torch.reshape, b.call(torch.matmul, x, b.buffer(node, product)), (*others, *after))
    return b.call(torch.permute, y, [order.index(i) for i in range(len(shape))])


def _linear(matrix: Any, bias: Any) -> nn.Linear:
    """`matrix` is [out, in], as in torch."""
    module = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None)
    module.weight = nn.Parameter(tensor(matrix))
    if bias is not None:
        module.bias = nn.Parameter(tensor(bias))
    return module


CONVERTERS: dict[str, Converter] = {
    "AffineGrid": affine_grid,
    "DFT": fourier,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
}
