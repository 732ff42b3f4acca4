"""INT8 as the public tools make it with all their defaults: the yardstick beside our own.

ONNX Runtime's `quantize_static` behind its own preprocessing, `nncf.quantize` on OpenVINO's IR, and
ai-edge-quantizer's `static_wi8_ai8` on our TFLite conversion, each with its own calibration on the
samples given. Only the ends of the TFLite form stay float32, as they are in every other form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeanim.core.artifact import Array, GraphArtifact, Samples, relayout
from edgeanim.core.packages import require
from edgeanim.core.quiet import quiet
from edgeanim.core.signals import own_signal_stack
from edgeanim.pipeline.work import Work
from edgeanim.quantize.schemes.tflite_int8 import BACKEND
from edgeanim.targets.tflite_graph import file_tensors, open_interpreter

Tool = Callable[[Work, GraphArtifact, Samples, Path], GraphArtifact]


def onnxruntime_static(
    work: Work,  # noqa: ARG001 the tool asks nothing of the board
    graph: GraphArtifact,
    samples: Samples,
    out: Path,
) -> GraphArtifact:
    """`quant_pre_process`, then `quantize_static`."""
    require("ONNX Runtime's quantiser", "onnxruntime.quantization", extra="compress")
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Mapping[str, Array] | None:
            return next(self.left, None)

    path, prepared = out / f"{graph.spec.name}.onnx", out / "prepared.onnx"
    with quiet():
        # Shapes are static already; the symbolic pass needs a package more.
        quant_pre_process(str(graph.path), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(path), Reader())
    prepared.unlink()
    return GraphArtifact(graph.spec, path, "onnx-qdq")


def nncf_default(
    work: Work,  # noqa: ARG001 the tool looks at the machine that it runs on
    graph: GraphArtifact,
    samples: Samples,
    out: Path,
) -> GraphArtifact:
    """`nncf.quantize`."""
    require("NNCF's quantiser", "nncf", "openvino", extra="compress")
    import nncf
    import openvino as ov

    with own_signal_stack(), quiet():
        model = ov.Core().read_model(str(graph.path))
        quantized = nncf.quantize(model, nncf.Dataset(list(samples)))
        path = out / f"{graph.spec.name}.xml"
        ov.save_model(quantized, str(path), compress_to_fp16=False)
    return GraphArtifact(graph.spec, path, "openvino-int8")


def ai_edge_static(work: Work, graph: GraphArtifact, samples: Samples, out: Path) -> GraphArtifact:
    """The recipe `static_wi8_ai8`, but for the ends."""
    require("TFLite's quantiser", "ai_edge_quantizer.quantizer", extra="compress")
    from ai_edge_quantizer import quantizer, recipe

    converted = work.compile(graph, BACKEND)
    source = converted.files[0]
    arguments = {
        tensor.name: tensor.argument or tensor.name
        for tensor in file_tensors(open_interpreter(source), "input")
    }
    pairs = list(zip(graph.spec.inputs, converted.spec.inputs, strict=True))

    def fed() -> Iterator[dict[str, Array]]:
        for sample in samples:
            yield {
                arguments[converted.bindings[own.name]]: relayout(
                    sample[own.name], own.layout, there.layout
                )
                for own, there in pairs
            }

    ends: list[Any] = [
        {"regex": ".*", "operation": end, "algorithm_key": "no_quantize", "op_config": {}}
        for end in ("INPUT", "OUTPUT")
    ]
    path = out / f"{graph.spec.name}.tflite"
    with quiet():
        job = quantizer.Quantizer(str(source), [*recipe.static_wi8_ai8(), *ends])
        signature = next(iter(open_interpreter(source).get_signature_list()))
        job.quantize(job.calibrate({signature: list(fed())})).export_model(str(path))
    return GraphArtifact(graph.spec, path, "tflite-int8")


DEFAULTS: Mapping[str, tuple[str, Tool]] = {
    "onnx-qdq": ("ORT static", onnxruntime_static),
    "openvino-int8": ("NNCF", nncf_default),
    "tflite-int8": ("ai-edge-quantizer", ai_edge_static),
}
"""The tool and what it is called, by the form of INT8 that it makes."""
