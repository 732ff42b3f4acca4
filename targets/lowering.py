"""Rewrites that a runtime needs before it can execute a graph well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeanim.core.packages import require
from edgeanim.targets.checks import runtime_errors


def lowered(source: Path, backend: str) -> Any:
    """An ONNX graph as a `ModelProto` in the form in which this backend runs it well.

    ONNX Runtime: GridSample as clamp and flat gather, DepthToSpace as two transpositions, a GELU
    that is written out as one op. OpenVINO:
    channels are cut apart in planes, pads that wrap around are slices, norms over groups or over
    channels leave a map where it lies, and volumes, for which it has no GridSample, are warped by
    gathers. External weights are brought into the one model.
    `BadInput` if the graph does not parse.
    """
    require(f"The backend {backend!r}", "onnx", extra="compress")
    import onnx

    with runtime_errors("This is not a readable ONNX graph", source, damaged=True):
        model = onnx.load(str(source))
    ops = {node.op_type for node in model.graph.node}
    if "GridSample" in ops:
        from edgeanim.graph.rewrites import warp

        warp.rewrite(model, warp.VOLUMES if backend == "openvino" else warp.RANKS)
    if backend == "openvino":
        from edgeanim.graph.rewrites import planar, unmoved, wrapped

        planar.rewrite(model)
        wrapped.rewrite(model)
        unmoved.rewrite(model)
        return model
    if "DepthToSpace" in ops:
        from edgeanim.graph.rewrites import shuffle

        shuffle.rewrite(model)
    if "Erf" in ops:
        from edgeanim.graph.rewrites import gelu

        gelu.rewrite(model)
    return model
