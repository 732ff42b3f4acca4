"""Others' ONNX files that mean one static float32 graph of RGB, though they do not say so.

A batch of any size is played as one picture, half floats and doubles compute in float32, pictures
of bytes are floats in 0..255, pictures in BGR are in RGB, single numbers have an axis, nodes that
stand in any order, as float16 converters leave them, are sorted, nodes of one name, which ONNX
Runtime refuses, are numbered, and inputs that nothing reads, which runtimes drop or keep as they
like, are left out. All else is `read_onnx`'s to judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import attributes, editing
from edgeanim.graph.nested import all_nodes, nested_graphs, nested_inputs, read_instead
from edgeanim.graph.queries import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    FLOAT16,
    graph_inputs,
    shape_of,
    stored_tensors,
    unread_inputs,
)
from edgeanim.graph.reading.byte_pictures import byte_pictures, to_floats
from edgeanim.graph.reading.channel_order import bgr_pictures, to_rgb
from edgeanim.graph.reading.checks import graph_errors
from edgeanim.graph.reading.protobuf import MAX_BYTES, parse_onnx
from edgeanim.graph.reading.read import load_onnx
from edgeanim.graph.shapes import infer_shapes

_HALF = (FLOAT16, BFLOAT16)
_OTHER_FLOATS = (*_HALF, DOUBLE)
_TYPES = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")
"""Attributes that name a type."""


@dataclass(frozen=True)
class Adoption:
    """What the file `path` does not say: the names that its inputs have for their `batch`, whether
    it has `halves` or `doubles`, which ends are pictures of bytes (`in_bytes`) or in BGR
    (`in_bgr`) or `numbers` without an axis, the inputs that are `unread`, and the names that
    several nodes have (`shared`); or its nodes stand in no order."""

    path: Path
    batch: frozenset[str]
    halves: bool
    doubles: bool
    in_bytes: tuple[str, ...]
    in_bgr: tuple[str, ...]
    numbers: tuple[str, ...]
    unread: tuple[str, ...]
    shared: tuple[str, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """A sentence for each thing that `model` changes."""
        told = [f"The input {name!r} is left out, as nothing reads it." for name in self.unread]
        if self.batch:
            told.append(f"The batch ({', '.join(sorted(self.batch))}) is fixed at 1.")
        if self.halves:
            told.append("The file's half floats are computed in float32.")
        if self.doubles:
            told.append("The file's doubles are computed in float32.")
        if self.in_bytes:
            told.append(f"Bytes ({', '.join(self.in_bytes)}) are given as float32 in 0..255.")
        if self.in_bgr:
            told.append(f"Colours ({', '.join(self.in_bgr)}) are in the order RGB, not BGR.")
        if self.numbers:
            told.append(f"Single numbers ({', '.join(self.numbers)}) have the shape [1].")
        if self.shared:
            told.append(f"Nodes of one name are numbered ({', '.join(self.shared[:3])}).")
        return tuple(told)

    def model(self) -> Any:
        """The file as a `ModelProto` that is static and float32, weights inline; `BadInput` if it
        would exceed 2 GiB."""
        model = load_onnx(self.path)
        with graph_errors(self.path):
            self._change(model)
        if model.ByteSize() > MAX_BYTES:
            raise BadInput("In float32 the weights of this model exceed 2 GiB.", where=self.path)
        return model

    def _change(self, model: Any) -> None:
        kept = [value for value in model.graph.input if value.name not in self.unread]
        model.graph.ClearField("input")
        model.graph.input.extend(kept)
        if self.batch:
            _fix_batch(model, self.batch)
        if self.halves or self.doubles:
            _to_float32(model)
        to_floats(model, self.in_bytes)
        if self.shared:
            _number(model)
        del model.graph.value_info[:]
        with editing(model):
            pass  # sorts the nodes, which finding the types needs
        _remove_redundant_casts(model)
        _give_axes(model, self.numbers)
        to_rgb(model, self.in_bgr)


def adopt(path: Path) -> Adoption | None:
    """What has to be made of a file; `None` if it is as it should be. `BadInput` if the file does
    not parse."""
    model = parse_onnx(path)
    found = Adoption(
        path,
        batch=_batch(model),
        halves=_holds(model, *_HALF),
        doubles=_holds(model, DOUBLE),
        in_bytes=byte_pictures(model),
        in_bgr=bgr_pictures(model),
        numbers=_single_numbers(model),
        unread=tuple(unread_inputs(model)),
        shared=_shared_names(model),
    )
    return None if _is_sorted(model.graph) and not found.changes else found


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those nested in its nodes."""
    yield graph
    for node in graph.node:
        for nested in nested_graphs(node):
            if nested.node:  # an attribute that holds no graph gives an empty one
                yield from _graphs(nested)


def _holds(model: Any, *kinds: int) -> bool:
    """Whether an end has one of these types, or a stored tensor; single numbers apart, which
    exporters write as doubles for no reason."""
    ends = (*model.graph.input, *model.graph.output)
    return any(value.type.tensor_type.elem_type in kinds for value in ends) or any(
        tensor.data_type in kinds and (tensor.dims or tensor.data_type in _HALF)
        for tensor in stored_tensors(model)
    )


def _single_numbers(model: Any) -> tuple[str, ...]:
    """The ends that nodes read or make and that hold one float without an axis, which no contract
    can tell of."""
    made = {name for node in model.graph.node for name in node.output}
    unread = unread_inputs(model)
    values = [value for value in graph_inputs(model) if value.name not in unread]
    values += [value for value in model.graph.output if value.name in made]
    return tuple(
        value.name
        for value in values
        if shape_of(value) == () and value.type.tensor_type.elem_type in (FLOAT, *_OTHER_FLOATS)
    )


def _give_axes(model: Any, names: Collection[str]) -> None:
    """Let the ends called `names` be [1], outside of the graph."""
    if not names:
        return
    for value in (*model.graph.input, *model.graph.output):
        if value.name in names:
            value.type.tensor_type.shape.dim.add(dim_value=1)
    with editing(model) as graph:
        for name in names:
            number, maker = graph.fresh(f"{name}/number"), graph.maker(name)
            for node in graph.nodes:
                read_instead(node, name, number)
            if maker is None:
                graph.reindex(*graph.nodes)
                graph.add("Squeeze", [name], near=name, output=number)
            else:
                maker.output[:] = [number if given == name else given for given in maker.output]
                graph.reindex(*graph.nodes)
                one = graph.constant(np.array([1]), near=name)
                graph.add("Reshape", [number, one], near=name, output=name)


def _shared_names(model: Any) -> tuple[str, ...]:
    """Names that several nodes of one graph have, the empty one apart."""
    shared: dict[str, None] = {}
    for graph in _graphs(model.graph):
        counts = Counter(node.name for node in graph.node)
        shared |= {name: None for name, times in counts.items() if name and times > 1}
    return tuple(shared)


def _number(model: Any) -> None:
    """Give all but the first node of each name a number that makes it the only one."""
    for graph in _graphs(model.graph):
        taken = {node.name for node in graph.node}
        seen = {""}
        for node in graph.node:
            if node.name in seen and node.name:
                name = node.name
                node.name = next(
                    numbered for n in count(1) if (numbered := f"{name}_{n}") not in taken
                )
                taken.add(node.name)
            seen.add(node.name)


def _batch(model: Any) -> frozenset[str]:
    """What the inputs call their first axis, if that one is the only one which is not fixed."""
    names: set[str] = set()
    for value in graph_inputs(model):
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_value < 1 for dim in dims[1:]):
            return frozenset()
        # A single axis is no stack of anything.
        if len(dims) > 1 and dims[0].dim_value < 1:
            names.add(dims[0].dim_param or "unnamed")
        elif dims and dims[0].dim_value < 1:
            return frozenset()
    return frozenset(names)


def _is_sorted(graph: Any) -> bool:
    made = {output for node in graph.node for output in node.output}
    for node in graph.node:
        if made.intersection(nested_inputs(node)) - {name for name in node.output if name}:
            return False
        made.difference_update(node.output)
    return True


def _fix_batch(model: Any, names: Collection[str]) -> None:
    for value in graph_inputs(model):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value < 1:
            dims[0].dim_value = 1
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_value = 1


def _to_float32(model: Any) -> None:
    """Make every other float a float32: weights, ends, and what names a type."""
    for graph in _graphs(model.graph):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _OTHER_FLOATS:
                value.type.tensor_type.elem_type = FLOAT
    for node in all_nodes(model.graph):
        for attribute in node.attribute:
            if attribute.name in _TYPES and attribute.i in _OTHER_FLOATS:
                attribute.i = FLOAT
    for tensor in stored_tensors(model):
        _tensor_to_float32(tensor)


def _tensor_to_float32(tensor: Any) -> None:
    import onnx

    if tensor.data_type in _OTHER_FLOATS:
        with np.errstate(over="ignore"):  # an infinite weight is told of when the file is read
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _remove_redundant_casts(model: Any) -> None:
    """Take out the casts of floats to floats, which would stand between convolutions."""
    infer_shapes(model)
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    with editing(model) as graph:
        for node in list(graph.nodes):
            is_cast = node.op_type == "Cast" and attributes(node).get("to") == FLOAT
            if is_cast and kinds.get(node.input[0]) == FLOAT:
                graph.replace(node, node.input[0])
