"""A filter over pixels with zeros between them is a transposed convolution.

So StyleGAN enlarges a picture before it blurs it: each pixel gets an axis of its own, which is
padded. Runtimes copy that slowly, and of what the filter then reads three quarters are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.convolutions import pad_value
from edgeanim.graph.edit import Editor, attributes, rewrite_each, states_pads

_SETTINGS = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}


def rewrite(model: Any) -> int:
    """Returns the number of convolutions that are transposed now."""
    return rewrite_each(model, _transpose)


def _transpose(graph: Editor, node: Any) -> bool:
    kernel = graph.constant_of(node, 1) if node.op_type == "Conv" else None
    given = attributes(node)
    shape = graph.shapes.get(node.input[0], ()) if node.input else ()
    if (
        kernel is None
        or kernel.ndim != 4
        or len(shape) != 4
        or any(v != 1 for v in (*given.get("strides", ()), *given.get("dilations", ())))
        or not states_pads(given)
        or given.get("group", 1) not in (1, shape[1])
        or not set(given) <= _SETTINGS
    ):
        return False
    found = _sparse(graph, node.input[0], shape)
    if found is None:
        return False
    x, small, stride = found
    own, size = given.get("pads", [0] * 4), kernel.shape[2:]
    begins = [k - 1 - pad for k, pad in zip(size, own[:2], strict=True)]
    ends = [k - stride - pad for k, pad in zip(size, own[2:], strict=True)]
    if min(*begins, *ends) < 0:
        return False
    groups = given.get("group", 1)
    kernel = kernel.transpose(1, 0, 2, 3) if groups == 1 else kernel.reshape(groups, -1, *size)
    near = node.output[0]
    turned = graph.constant(kernel[..., ::-1, ::-1], near=node.input[1])
    y = graph.add(
        "ConvTranspose",
        [graph.reshaped(x, small, near=near), turned, *node.input[2:]],
        near=near,
        name=node.name,
        strides=[stride] * 2,
        pads=[*begins, *ends],
        group=groups,
    )
    graph.replace(node, y)
    return True


def _sparse(
    graph: Editor, name: str, shape: tuple[int, ...]
) -> tuple[str, tuple[int, ...], int] | None:
    """What `name` of this shape is a larger form of, with zeros between and behind its pixels: its
    name, the shape that it has then, and the stride."""
    pad = graph.maker_behind(name, ("Reshape",))
    if pad is None or pad.op_type != "Pad" or len(pad.input) > 3:
        return None
    apart, pads = graph.shapes.get(pad.input[0]), graph.setting_of(pad, "pads", 1)
    if apart is None or pads is None or pads.min() < 0:
        return None
    if attributes(pad).get("mode", "constant") != "constant" or pad_value(graph, pad) != 0:
        return None
    count = int(np.prod(apart))
    if count == 0 or shape[0] * shape[1] == 0 or int(np.prod(shape)) % count:
        return None
    stride = round((int(np.prod(shape)) / count) ** 0.5)
    if stride < 2 or any(side % stride for side in shape[2:]):
        return None
    small = (*shape[:2], shape[2] // stride, shape[3] // stride)
    pixels = np.arange(1, count + 1)
    edges = list(zip(*np.split(pads, 2), strict=True))
    padded = np.pad(pixels.reshape(apart), edges)
    wanted = np.zeros(shape, pixels.dtype)
    if padded.size != wanted.size or np.prod(small) != count:
        return None
    wanted[:, :, ::stride, ::stride] = pixels.reshape(small)
    return (pad.input[0], small, stride) if (padded.reshape(shape) == wanted).all() else None
