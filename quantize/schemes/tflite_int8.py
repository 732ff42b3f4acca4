"""INT8 for TFLite: static INT8 activations and per-channel weights by ai-edge-quantizer.

The graph is first converted to float32 TFLite; only the chain of convolutions in it is quantised.
Inputs and outputs stay float32. Ranges are our own: the quantiser's calibration keeps a moving
average that weighs the first sample most, and it cannot stream.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Container, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact, Samples, relayout
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import UsageError
from edgeanim.core.files import write_bytes
from edgeanim.core.native import native_name
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.reading.read import load_onnx
from edgeanim.quantize.chain import check_names, find_chain
from edgeanim.quantize.onnx_nodes import has_convolutions, name_nodes
from edgeanim.quantize.ranges.histogram import Histogram, Histograms
from edgeanim.quantize.runtimes.tflite_ops import TfliteOps
from edgeanim.quantize.schemes.base import CompiledFloat, Scheme, Source

# Whose float32 file the quantiser works on.
BACKEND = "tflite"
_KERNEL_AXES = (3, 4)
"""Of sequences and pictures: TFLite has no convolution of volumes in INT8."""


class TfLiteInt8(Scheme):
    """The scheme `tflite-int8`.

    `keep_float` can name convolutions only, which are found by their weights: all other nodes lose
    their names on the way. XNNPACK multiplies without saturation, so `reduce_range` and the board's
    silicon make no difference.
    """

    name: ClassVar[str] = "tflite-int8"
    packages: ClassVar[tuple[str, ...]] = (
        "onnx",
        "ai_edge_litert.interpreter",
        "ai_edge_quantizer.quantizer",
    )
    watches: ClassVar[str] = "tflite"
    seven_bit_limit: ClassVar[float] = 127.0

    def takes_any_of(self, path: Path, keep_float: Collection[str]) -> bool:
        """See `Scheme.takes_any_of`: TFLite has no convolution of volumes in INT8."""
        return has_convolutions(path, keep_float, kernel_axes=_KERNEL_AXES)

    def watch(self, source: Source) -> Histograms:
        """See `Scheme.watch`: those of the converted graph."""
        converted = source.compiled(source.artifact, BACKEND)
        return _collect(converted, source.artifact.spec.inputs, source.samples)

    def in_float(self, artifact: GraphArtifact, out: Path, compiled: CompiledFloat) -> Path:
        """See `Scheme.in_float`: `<graph>.tflite`."""
        path = out / f"{artifact.spec.name}.tflite"
        write_bytes(path, compiled(artifact, BACKEND).files[0].read_bytes())
        return path

    def write(self, source: Source, spec: QuantizeSpec, histograms: Histograms, out: Path) -> Path:
        """See `Scheme.write`: `<graph>.tflite`."""
        from ai_edge_quantizer import quantizer

        artifact = source.artifact
        kept = kernels_of(artifact.path, spec.keep_float)
        graph = TfliteOps(source.compiled(artifact, BACKEND).files[0])
        chain = find_chain(graph.nodes(graph.with_kernels(kept)), where=artifact.path)
        given = kernels_of(artifact.path, tuple(source.kernels))
        pairs = [(kernel, source.kernels[name]) for name, kernel in given]
        graph.replace_kernels(pairs, chain.without_spared)
        with quiet(), scratch_folder("tflite") as scratch:
            rounded = scratch / "rounded.tflite"
            graph.write(rounded)
            recipe = _recipe(graph, chain.without_spared)
            job = quantizer.Quantizer(str(rounded), recipe)
            ranges = graph.statistics(histograms, spec.ranges, chain.without_spared)
            made = job.quantize(ranges, enable_progress_report=False)
            write_bytes(rounded, bytes(made.quantized_model))
            finished = TfliteOps(rounded)
            finished.restore_float_outputs()
            finished.write(rounded)
            path = out / f"{artifact.spec.name}.tflite"
            write_bytes(path, rounded.read_bytes())
        return path


SCHEME = TfLiteInt8()


def kernels_of(path: Path, keep_float: tuple[str, ...]) -> list[tuple[str, Array]]:
    """The kernels [O, I/g, ...] of the convolutions named by `keep_float`, each with its name, but
    for those of volumes, which stay in float anyway. `UsageError` for the name of anything else."""
    if not keep_float:
        return []
    from onnx import numpy_helper

    model = load_onnx(path)
    name_nodes(model)
    nodes = {node.name: node for node in model.graph.node}
    check_names(keep_float, list(nodes), where=path.stem)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = []
    for name in keep_float:
        node = nodes[name]
        if node.op_type != "Conv" or node.input[1] not in weights:
            raise UsageError(
                f"`keep_float` names {name!r}, a {node.op_type}; for TFLite it can name "
                "convolutions only.",
                where=path.stem,
                hint="Leave it out for this backend.",
            )
        kernel = numpy_helper.to_array(weights[node.input[1]])
        if kernel.ndim in _KERNEL_AXES:
            kernels.append((name, kernel))
    return kernels


def _recipe(graph: TfliteOps, names: Sequence[str]) -> Any:
    from ai_edge_quantizer import recipe_manager

    manager = recipe_manager.RecipeManager()
    for name in names:
        manager.add_static_config(
            regex=f"^{re.escape(name)}$",
            operation_name=graph.types[name],
            activation_num_bits=8,
            weight_num_bits=8,
        )
    return manager.get_quantization_recipe()


def _collect(
    converted: CompiledGraph, inputs: Sequence[TensorSpec], samples: Samples
) -> Histograms:
    """Those of what convolutions and glue of the float graph read and give, run sample by sample.

    Those that hold an infinity, as what pads a maximum does, have none: nothing that runs in INT8
    reads them.
    """
    from ai_edge_litert.interpreter import Interpreter

    asked = TfliteOps(converted.files[0]).activations

    with native_name(converted.files[0]) as file, quiet():
        interpreter = Interpreter(
            model_path=file,
            num_threads=1,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    positions = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    histograms: dict[str, Histogram] = defaultdict(Histogram)
    endless: set[str] = set()
    for sample in samples:
        for spec, target in zip(inputs, converted.spec.inputs, strict=True):
            index = positions[converted.bindings[spec.name]]
            interpreter.set_tensor(index, relayout(sample[spec.name], spec.layout, target.layout))
        interpreter.invoke()
        for name, values in _activations(interpreter, asked):
            if np.isinf(values).any():
                endless.add(name)
            else:
                histograms[name].add(values)
    return {name: found for name, found in histograms.items() if name not in endless}


def _activations(interpreter: Any, asked: Container[str]) -> Iterator[tuple[str, Array]]:
    """The float tensors `asked` for that have a value in the last run."""
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.float32 and detail["name"] in asked:
            try:
                yield detail["name"], interpreter.get_tensor(detail["index"])
            except ValueError:  # a tensor of a fused op, which is never computed
                continue
