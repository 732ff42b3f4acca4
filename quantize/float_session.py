"""A float graph in ONNX Runtime, to be watched while it runs."""

from __future__ import annotations

from typing import Any

from edgeanim.core.quiet import quiet
from edgeanim.core.scratch import scratch_folder


def open_session(model: Any) -> Any:
    """An `onnxruntime.InferenceSession` of a `ModelProto`, on one thread of the CPU."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Every tensor may be asked for, so there is no pattern in which memory could be shared.
    options.enable_mem_pattern = False
    with scratch_folder("session") as scratch:
        path = scratch / "graph.onnx"
        onnx.save(model, str(path))
        with quiet():
            return onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
