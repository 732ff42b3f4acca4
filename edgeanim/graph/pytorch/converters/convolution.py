"""Conv and ConvTranspose as `torch.nn` modules, of one to three dimensions, and Col2Im."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.edit import states_pads
from edgeanim.graph.pytorch.converters.builder import Builder, Converter, tensor

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONV_FUNCTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvTranspose2d(nn.ConvTranspose2d):  # type: ignore[misc]
    """A transposed convolution that is exported as one convolution and a pixel shuffle.

    With stride s, output s q + r of one axis is the sum over m of x[q - m] w[s m + r]: a small
    convolution for each of the s x s phases r, interleaved. INT8 has kernels for those everywhere,
    and the TFLite converter has no other form for the usual `output_padding=1`, and for groups one
    transposed convolution for each. It has none for a dilated kernel, which gets zeros between its
    taps.
    """

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """[N, C, H, W] to [N, out, (H - 1) s - 2 p + k + extra, ...]."""
        if output_size is not None or not torch.compiler.is_exporting():
            return super().forward(x, output_size)
        weight = _undilated(self.weight, self.dilation)
        settings = (self.stride, self.padding, self.output_padding)
        if not self.splits():
            return F.conv_transpose2d(x, weight, self.bias, *settings, self.groups)
        return _by_phases(
            x, weight, self.bias, *(value[0] for value in settings), groups=self.groups
        )

    def splits(self) -> bool:
        """Whether both axes are alike and the phases cover the whole output."""
        kernel = (self.kernel_size, self.dilation)
        settings = (self.stride, self.padding, self.output_padding, *kernel)
        stride, pad, extra, taps, dilation = (value[0] for value in settings)
        reach = dilation * (taps - 1) + 1
        return (
            all(value[0] == value[1] for value in settings)
            and stride > 1
            and reach - pad + extra <= stride * -(-reach // stride)
        )


class ComputedConvTranspose2d(nn.Module):  # type: ignore[misc]
    """A transposed convolution whose kernel is computed, exported in the same way."""

    def __init__(self, like: ConvTranspose2d) -> None:
        super().__init__()
        self.splits = like.groups == 1 and like.splits()
        self.settings = (like.stride, like.padding, like.output_padding, like.groups, like.dilation)

    def forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Like that of `ConvTranspose2d`, with its weight and bias."""
        if not torch.compiler.is_exporting():
            return F.conv_transpose2d(x, weight, bias, *self.settings)
        *settings, groups, dilation = self.settings
        weight = _undilated(weight, dilation)
        if not self.splits:
            return F.conv_transpose2d(x, weight, bias, *settings, groups)
        return _by_phases(x, weight, bias, *(value[0] for value in settings))


def _undilated(weight: torch.Tensor, dilation: tuple[int, ...]) -> torch.Tensor:
    """A kernel [I, O, kh, kw] with zeros in the places that its dilation leaves out, an axis at a
    time: TFLite has values of five axes."""
    for axis, step in enumerate(dilation, 2):
        if step > 1:
            size, reach = list(weight.shape), step * (weight.shape[axis] - 1) + 1
            size[axis] *= step
            taps = [weight, *[torch.zeros_like(weight)] * (step - 1)]
            weight = torch.stack(taps, axis + 1).reshape(size).narrow(axis, 0, reach)
    return weight


def _by_phases(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int,
    pad: int,
    extra: int,
    *,
    groups: int = 1,
) -> torch.Tensor:
    if groups > 1:  # [I, O / g, k, k] as the [I / g, O, k, k] of all groups
        weight = weight.reshape(groups, -1, *weight.shape[1:]).transpose(0, 1).flatten(1, 2)
    # TFLite reverses one axis at a time.
    channels_in, channels, kernel = weight.shape[:3]
    taps = -(-kernel // stride)
    missing = stride * taps - kernel
    phases = F.pad(weight, (0, missing, 0, missing))
    phases = phases.reshape(channels_in, channels, taps, stride, taps, stride).flip(2).flip(4)
    phases = phases.permute(1, 3, 5, 0, 2, 4).reshape(-1, channels_in, taps, taps)
    if bias is not None:
        bias = torch.stack([bias] * stride**2, 1).reshape(-1)
    y = F.conv2d(x, phases, bias, padding=taps - 1, groups=groups)
    y = F.pixel_shuffle(y, stride)
    height, width = ((n - 1) * stride - 2 * pad + kernel + extra for n in x.shape[2:])
    return y[:, :, pad : pad + height, pad : pad + width]


_TRANSPOSE = {1: nn.ConvTranspose1d, 2: ConvTranspose2d, 3: nn.ConvTranspose3d}


def split_pads(pads: list[int]) -> tuple[list[int], list[int]]:
    """ONNX's pads (all begins, then all ends) as begins and ends."""
    half = len(pads) // 2
    return pads[:half], pads[half:]


def torch_pads(begins: list[int], ends: list[int]) -> list[int]:
    """The same for `F.pad`: pairs, the last axis first."""
    pairs = list(zip(begins, ends, strict=True))
    return [side for pair in reversed(pairs) for side in pair]


def conv(b: Builder, node: Any) -> fx.Node:
    """Unequal pads become a pad before the convolution."""
    given = b.attrs(node)
    if given.get("auto_pad", "NOTSET") != "NOTSET":
        raise b.refuse(node, f"auto_pad={given['auto_pad']} could not be spelt out")
    rank = len(b.shape(node.input[0], node)) - 2
    if rank not in _CONV:
        raise b.refuse(node, f"it has {rank} dimensions")
    settings: dict[str, Any] = {
        "stride": tuple(given.get("strides", [1] * rank)),
        "dilation": tuple(given.get("dilations", [1] * rank)),
        "groups": given.get("group", 1),
    }
    x = b.value(node.input[0])
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * rank))))
    if begins == ends:
        settings["padding"] = tuple(begins)
    else:
        x = b.call(F.pad, x, torch_pads(begins, ends))
    weight = b.onnx.constant_of(node, 1)
    bias = b.onnx.constant_of(node, 2)
    if weight is None or (b.present(node, 2) and bias is None):
        inputs = [b.value(name) for name in node.input[1:] if name]
        return b.call(_CONV_FUNCTION[rank], x, *inputs, **settings)
    module = _CONV[rank](
        weight.shape[1] * settings["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        bias=bias is not None,
        **settings,
    )
    _load(module, weight, bias)
    return b.module(node, module, x)


def conv_transpose(b: Builder, node: Any) -> fx.Node:
    """Unequal pads become a crop after the convolution."""
    given = b.attrs(node)
    if not states_pads(given) or "output_shape" in given:
        raise b.refuse(node, "its pads are given by the output's shape")
    weight, bias = b.onnx.constant_of(node, 1), b.onnx.constant_of(node, 2)
    computed = weight is None or (b.present(node, 2) and bias is None)
    kernel = b.shape(node.input[1], node)
    rank = len(kernel) - 2
    if computed and rank != 2:
        raise b.refuse(node, "its weight or its bias is not constant")
    if rank not in _TRANSPOSE:
        raise b.refuse(node, f"it has {rank} dimensions")
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * rank))))
    module = _transposed(given, kernel, begins, ends, bias is not None)
    if computed:
        inputs = [b.value(name) for name in node.input if name]
        y = b.module(node, ComputedConvTranspose2d(module), *inputs)
    else:
        _load(module, weight, bias)
        y = b.module(node, module, b.value(node.input[0]))
    if begins == ends:
        return y
    for axis, (begin, size) in enumerate(
        zip(begins, b.shape(node.output[0], node)[2:], strict=True), start=2
    ):
        y = b.call(torch.narrow, y, axis, begin, size)
    return y


def _transposed(
    given: Mapping[str, Any],
    kernel: tuple[int, ...],
    begins: list[int],
    ends: list[int],
    bias: bool,
) -> nn.Module:
    """The layer for a node with these attributes and a kernel of this shape, as yet without its
    weights; where its pads are unequal, it has none."""
    rank = len(kernel) - 2
    extra = list(given.get("output_padding", [0] * rank))
    even = begins == ends
    # What is cropped behind need not be added first.
    added = extra if even else [max(0, m - end) for m, end in zip(extra, ends, strict=True)]
    groups = given.get("group", 1)
    return _TRANSPOSE[rank](
        kernel[0],
        kernel[1] * groups,
        kernel[2:],
        stride=tuple(given.get("strides", [1] * rank)),
        padding=tuple(begins) if even else 0,
        output_padding=tuple(added),
        groups=groups,
        bias=bias,
        dilation=tuple(given.get("dilations", [1] * rank)),
    )


def col2im(b: Builder, node: Any) -> fx.Node:
    """Windows [N, C k k, L] put in their places and summed: a transposed convolution by ones, each
    at a place of its own. Such as tile the picture are moved."""
    given = b.attrs(node)
    size, window = ([int(v) for v in b.constant(node, i, "size")] for i in (1, 2))
    rank = len(size)
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * rank))))
    strides, dilations = (list(given.get(n, [1] * rank)) for n in ("strides", "dilations"))
    if rank != 2 or begins != ends:
        raise b.refuse(node, "it has unequal pads, or not two dimensions")
    count, channels = b.shape(node.output[0], node)[:2]
    covered = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilations, window, begins, strict=True)]
    steps = [divmod(n - c, s) for n, c, s in zip(size, covered, strides, strict=True)]
    rows, columns = (step + 1 for step, _ in steps)
    x = b.value(node.input[0])
    if strides == window and covered == window and not any(rest for _, rest in steps):
        x = b.call(torch.reshape, x, (count * channels * window[0], window[1], rows, columns))
        x = b.call(torch.permute, x, (0, 2, 3, 1))
        x = b.call(torch.reshape, x, (count * channels, window[0], rows, size[1]))
        x = b.call(torch.transpose, x, 1, 2)
        return b.call(torch.reshape, x, (count, channels, *size))
    taps = window[0] * window[1]
    layer = ConvTranspose2d(
        taps, 1, tuple(window), tuple(strides), tuple(begins), tuple(rest for _, rest in steps),
        dilation=tuple(dilations),
    )  # fmt: skip
    ones = b.buffer(node, torch.eye(taps).reshape(taps, 1, *window))
    x = b.call(torch.reshape, x, (count * channels, taps, rows, columns))
    y = b.module(node, ComputedConvTranspose2d(layer), x, ones)
    return b.call(torch.reshape, y, (count, channels, *size))


def _load(module: Any, weight: Any, bias: Any) -> None:
    module.weight = nn.Parameter(tensor(weight))
    if bias is not None:
        module.bias = nn.Parameter(tensor(bias))


CONVERTERS: dict[str, Converter] = {
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
}
