"""OpenVINO's own form of a graph: a pair of files."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeanim.core.contract import FEATURE, GraphSpec, TensorSpec
from edgeanim.core.errors import disk_errors
from edgeanim.core.quiet import quiet
from edgeanim.targets.checks import runtime_errors
from edgeanim.targets.openvino_tied import untie


def with_features_innermost(
    model: Any, spec: GraphSpec, bindings: dict[str, str]
) -> tuple[Any, GraphSpec]:
    """`model` with the features that graphs hand to each other in NHWC, and `spec` of it.

    OpenVINO's convolutions compute with the channels innermost. Features of a still come again in
    every frame, and would be brought into that order in every frame.
    """
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    if not any(tensor.role.startswith(FEATURE) for tensor in (*spec.inputs, *spec.outputs)):
        return model, spec
    ends = PrePostProcessor(model)

    def changed(tensor: TensorSpec, end: Any) -> TensorSpec:
        if not tensor.role.startswith(FEATURE) or tensor.layout != "NCHW":
            return tensor
        port = end(bindings[tensor.name])
        port.model().set_layout(Layout("NCHW"))
        port.tensor().set_layout(Layout("NHWC"))
        return tensor.in_layout("NHWC")

    inputs = tuple(changed(tensor, ends.input) for tensor in spec.inputs)
    outputs = tuple(changed(tensor, ends.output) for tensor in spec.outputs)
    return ends.build(), replace(spec, inputs=inputs, outputs=outputs)


def save_ir(model: Any, xml: Path) -> None:
    """Write an `openvino.Model` to `xml` and the `.bin` beside it, the main one last.

    They appear when both are complete: no half a pair is ever seen. Tied kernels are made `untie`d.
    """
    import openvino

    untie(model)
    with disk_errors(xml):
        xml.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=xml.parent))
        try:
            with runtime_errors("OpenVINO cannot write this graph", xml), quiet():
                # Its default compresses weights to fp16: a float32 graph would differ by 1e-3.
                openvino.save_model(model, str(partial / xml.name), compress_to_fp16=False)
            weights = (partial / xml.name).with_suffix(".bin")
            if not weights.stat().st_size:
                weights.write_bytes(b"\0")  # of a graph without any: an empty file is a damaged one
            for suffix in (".bin", ".xml"):
                (partial / xml.name).with_suffix(suffix).replace(xml.with_suffix(suffix))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
