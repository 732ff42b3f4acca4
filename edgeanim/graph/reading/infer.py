"""What the tensors of a bare image-to-image ONNX mean: by shapes, names and last ops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeanim.core.contract import Contract
from edgeanim.graph.queries import graph_inputs, shape_of
from edgeanim.graph.reading.picture_ranges import declared_ranges, input_range, output_range
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.reading.roles import DEFAULT_RANGE, Range, finished_picture, spec_of_shapes
from edgeanim.graph.reference import Reference, inputs_for


def infer_contract(onnx_path: Path) -> Contract:
    """The contract of an image-to-image graph (see `roles.spec_of_shapes`).

    A picture's range is what the file says of it; else the output's follows from its last bounded
    op, an input's from the numbers that normalise it. The output's is 0..1 where nothing tells, an
    input's the output's. `BadInput` if the graph is not of that kind.
    """
    return contract_of(read_onnx(onnx_path), onnx_path)


def contract_of(model: Any, path: Path) -> Contract:
    """`infer_contract` for a model that is already read from `path`."""
    inputs = {value.name: shape_of(value) or () for value in graph_inputs(model)}
    outputs = output_shapes(model, path)
    declared = declared_ranges(model)
    frame = finished_picture(outputs, path)
    values = declared.get(frame) or output_range(model, frame) or DEFAULT_RANGE
    given = _ranges_given(model, inputs, declared)
    graph = spec_of_shapes(path, inputs, outputs, values, given)
    return Contract(name=graph.name, graphs=(graph,))


def _ranges_given(
    model: Any, inputs: Iterable[str], declared: Mapping[str, Range]
) -> dict[str, Range]:
    """Those of the inputs that the file or its first ops tell."""
    found = {name: declared.get(name) or input_range(model, name) for name in inputs}
    return {name: span for name, span in found.items() if span is not None}


def output_shapes(model: Any, where: object) -> dict[str, tuple[int, ...]]:
    """The outputs' shapes: as declared, or found by running the graph once where they are not."""
    declared = {value.name: shape_of(value) for value in model.graph.output}
    known = {name: shape for name, shape in declared.items() if shape is not None}
    if len(known) == len(declared):
        return known
    made = Reference(model, where=where).run(inputs_for(model))
    return {name: tuple(made[name].shape) for name in declared}
