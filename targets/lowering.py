"""Rewrites that a runtime needs before it can execute a graph well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeanim.targets.checks import require, runtime_errors


def lower_warp(source: Path, target: Path, backend: str) -> None:
    """Copy an ONNX graph with its GridSample ops written as clamp and flat gather.

    For runtimes whose own GridSample is slow or, as in TFLite's decomposition, forty ops long.
    External weights are brought into the one file. `BadInput` if the graph does not parse.
    """
    onnx: Any = require("onnx", "compress", backend)
    with runtime_errors("This is not a readable ONNX graph", source, damaged=True):
        model = onnx.load(str(source))
    if any(node.op_type == "GridSample" for node in model.graph.node):
        from edgeanim.graph.rewrites import warp

        warp.rewrite(model)
    onnx.save(model, str(target))
