"""A PRelu with a slope for each channel becomes sums and products between 8-bit values.

ONNX Runtime has no 8-bit PRelu, so that the whole map is converted to float and back around one.
But PRelu is max(x, 0) + slope min(x, 0), and in 8 bits it multiplies and adds. The two parts are
whole steps of x, looked up in tables for which LeakyRelus stand: one with a slope of 0, and one
with a slope of 1 whose rounding cuts off all above zero. The slopes and their products are rounded
as well, each by at most half of 1/255 of the largest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, rewrite_each
from edgeanim.graph.queries import is_per_channel

_TOP = 255


def rewrite(model: Any) -> int:
    """Returns the number of PRelus that were taken apart: those from a DequantizeLinear to
    QuantizeLinears of unsigned 8 bits."""
    return rewrite_each(model, _take_apart)


def _take_apart(graph: Editor, node: Any) -> bool:
    slopes = graph.constant_of(node, 1) if node.op_type == "PRelu" else None
    if slopes is None or not is_per_channel(slopes) or not _is_between(graph, node):
        return False
    source = graph.maker(node.input[0], "DequantizeLinear")
    step, zero = graph.scalar_of(source, 1), graph.constant_of(source, 2)
    if step is None or zero is None or zero.dtype != np.uint8 or zero.size != 1 or not zero.any():
        return False
    near, lowest = node.output[0], -step * int(zero.item())
    risen = graph.add("LeakyRelu", [node.input[0]], near=near, alpha=0.0)
    fallen = graph.add("LeakyRelu", [node.input[0]], near=near, alpha=1.0)
    factors = _rounded(graph, slopes, near=near)
    product = graph.add("Mul", [_through(graph, fallen, step, _TOP, near=near), factors], near=near)
    ends = np.sort([0.0, lowest * float(slopes.min()), lowest * float(slopes.max())])
    product = _through(graph, product, *_grid(ends[0], ends[-1]), near=near)
    risen = _through(graph, risen, step, int(zero.item()), near=near)
    graph.replace(node, graph.add("Add", [risen, product], near=near))
    return True


def _is_between(graph: Editor, node: Any) -> bool:
    """Whether it reads an 8-bit value, and all that read it round it."""
    return (
        graph.maker(node.input[0], "DequantizeLinear") is not None
        and node.output[0] not in graph.outputs
        and all(reader.op_type == "QuantizeLinear" for reader in graph.users(node.output[0]))
    )


def _grid(low: float, high: float) -> tuple[float, int]:
    """The step and the zero point of unsigned 8 bits that span these ends."""
    step = (high - low) / _TOP or 1.0
    return step, round(-low / step)


def _rounded(graph: Editor, values: AnyArray, *, near: str) -> str:
    """Constants in unsigned 8 bits of their own range, dequantised."""
    step, zero = _grid(min(0.0, float(values.min())), max(0.0, float(values.max())))
    stored = np.clip(np.rint(values / step) + zero, 0, _TOP).astype(np.uint8)
    inputs = [graph.constant(stored, near=near), *_scale(graph, step, zero, near=near)]
    return graph.add("DequantizeLinear", inputs, near=near)


def _through(graph: Editor, value: str, step: float, zero: int, *, near: str) -> str:
    """A value rounded to steps of unsigned 8 bits."""
    scale = _scale(graph, step, zero, near=near)
    return graph.add(
        "DequantizeLinear",
        [graph.add("QuantizeLinear", [value, *scale], near=near), *scale],
        near=near,
    )


def _scale(graph: Editor, step: float, zero: int, *, near: str) -> list[str]:
    return [
        graph.constant(np.array(step, np.float32), near=near),
        graph.constant(np.array(zero, np.uint8), near=near),
    ]
