"""Rewrites that a runtime needs before it can execute a graph well, a function for each runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeanim.core.packages import require


def lowered_for_onnxruntime(source: Path) -> Any:
    """An ONNX graph as a `ModelProto`, with external weights brought in: GridSample as clamp and
    flat gather, DepthToSpace as two transpositions, a GELU that is written out as one op, pads and
    resizes of all axes, cubic ones as products. `BadInput` if it does not parse."""
    model = _read(source, "onnxruntime")
    ops = {node.op_type for node in model.graph.node}
    if "GridSample" in ops:
        from edgeanim.graph.rewrites import warp

        warp.rewrite(model)
    if "DepthToSpace" in ops:
        from edgeanim.graph.rewrites import depth_to_space

        depth_to_space.rewrite(model)
    if "Erf" in ops:
        from edgeanim.graph.rewrites import gelu

        gelu.rewrite(model)
    if "Pad" in ops:
        from edgeanim.graph.rewrites import pad_axes

        pad_axes.rewrite(model)
    if "Resize" in ops:
        from edgeanim.graph.rewrites import resize_axes, resize_by_weights

        resize_axes.rewrite(model)
        resize_by_weights.rewrite_cubic(model)
    return model


def lowered_for_openvino(source: Path) -> Any:
    """The same for OpenVINO, as `lower_for_openvino` says."""
    model = _read(source, "openvino")
    lower_for_openvino(model)
    return model


def lower_for_openvino(model: Any) -> None:
    """Channels are cut apart in planes and brought into another order by exchanges, pads are pixels
    where the windows of a mean end behind them, those that wrap around are slices, reductions whose
    axes it overlooks are in parts, resizes that smooth or are cubic are products, as Fourier
    transforms are, norms over groups or over channels leave a map where it lies, and volumes, for
    which it has no GridSample, are warped by gathers; in place."""
    from edgeanim.graph.rewrites import (
        ceil_means,
        channels_last_norm,
        fourier,
        pad_axes,
        permutations,
        planar_split,
        reductions,
        resize_axes,
        resize_by_weights,
        warp,
        wrap_pad,
    )

    if any(node.op_type == "GridSample" for node in model.graph.node):
        warp.rewrite(model, warp.VOLUMES)
    fourier.rewrite(model)
    planar_split.rewrite(model)
    permutations.rewrite(model)
    ceil_means.rewrite(model)
    reductions.rewrite(model)
    pad_axes.rewrite(model)
    resize_axes.rewrite(model)
    resize_by_weights.rewrite(model)
    wrap_pad.rewrite(model)
    channels_last_norm.rewrite(model)


def _read(source: Path, backend: str) -> Any:
    require(f"The backend {backend!r}", "onnx", extra="compress")
    from edgeanim.graph.reading.read import load_onnx
    from edgeanim.graph.shapes import infer_shapes

    model = load_onnx(source)
    infer_shapes(model)  # rewrites go by them, and few files say those of what lies between
    return model
