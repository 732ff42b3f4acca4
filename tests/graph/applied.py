"""A rewrite applied to a copy of a graph, and what the runtimes make of one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino

from edgeanim.graph.reference import inputs_for
from edgeanim.graph.shapes import infer_shapes


def applied(module: ModuleType, model: Any) -> tuple[int, Any, Counter[str]]:
    """The rewrite's count, the rewritten copy of `model`, and its ops."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    count = module.rewrite(copy)
    onnx.checker.check_model(copy, full_check=True)
    return count, copy, Counter(node.op_type for node in copy.graph.node)


def by_openvino(model: Any) -> Any:
    """The first output, in float32, for the inputs of `inputs_for`."""
    read = openvino.Core().read_model(model.SerializeToString())
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(read, "CPU", exact)
    return compiled(list(inputs_for(model).values()))[0]


def executed_by_openvino(model: Any) -> set[str]:
    """The kinds of the ops that do work when OpenVINO runs a graph."""
    core = openvino.Core()
    read = core.read_model(model.SerializeToString())
    request = core.compile_model(read, "CPU", {"PERF_COUNT": "YES"}).create_infer_request()
    request.infer([np.zeros(port.shape, np.float32) for port in read.inputs])
    return {
        each.node_type
        for each in request.profiling_info
        if each.status == openvino.ProfilingInfo.Status.EXECUTED
    }


def optimised(model: Any, folder: Path) -> Counter[str]:
    """The ops that ONNX Runtime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3  # that such a file suits this machine only is no news
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)
