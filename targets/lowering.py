"""Rewrites that a runtime needs before it can execute a graph well."""

from __future__ import annotations

from pathlib import Path

from edgeanim.core.packages import require
from edgeanim.targets.checks import runtime_errors


def lower(source: Path, target: Path, backend: str) -> None:
    """Copy an ONNX graph with the ops written out that the runtime itself has only slowly.

    GridSample as clamp and flat gather, DepthToSpace as two transpositions. External weights are
    brought into the one file. `BadInput` if the graph does not parse.
    """
    require(f"The backend {backend!r}", "onnx", extra="compress")
    import onnx

    with runtime_errors("This is not a readable ONNX graph", source, damaged=True):
        model = onnx.load(str(source))
    ops = {node.op_type for node in model.graph.node}
    if "GridSample" in ops:
        from edgeanim.graph.rewrites import warp

        warp.rewrite(model)
    if "DepthToSpace" in ops:
        from edgeanim.graph.rewrites import shuffle

        shuffle.rewrite(model)
    onnx.save(model, str(target))
