"""What single tensors of a graph hold, told without folding anything."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray
from edgeanim.graph.queries import STANDARD, makers_of, shape_of
from edgeanim.graph.rewrites.constants import MOST_VALUES, NOT_FOLDED

_MOST_CHANNELS = 4
"""Of a picture."""

_MOST_BEHIND = 32
"""A number that more tensors than this lead to is not looked into."""


class KnownValues:
    """The tensors of a `ModelProto`, left as it is, that are stored in it or follow from stored
    ones alone. For questions before constants are folded."""

    def __init__(self, model: Any) -> None:
        self.makers = makers_of(model)
        self._model = model
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}

    def number(self, name: str) -> float | None:
        """The value of the tensor `name`, if it is known and a single number."""
        value = self.array(name)
        return None if value is None or value.size != 1 else float(value.item())

    def mean(self, name: str) -> float | None:
        """The mean of the tensor `name`, if it is known and holds a number, or some for channels
        at the most."""
        value = self.array(name)
        return (
            None if value is None or not 0 < value.size <= _MOST_CHANNELS else float(value.mean())
        )

    def array(self, name: str) -> AnyArray | None:
        """What the tensor `name` holds, if it is known."""
        behind = self._behind(name)
        if behind is None:
            return None
        return self._computed(name, behind) if behind else self._value(name)

    def _value(self, name: str) -> AnyArray:
        import onnx

        value: AnyArray = onnx.numpy_helper.to_array(self._stored[name])
        return value

    def _computed(self, name: str, nodes: list[Any]) -> AnyArray | None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        read = {given for node in nodes for given in node.input if given in self._stored}
        result = onnx.helper.make_value_info(name, onnx.TypeProto())
        stored = [self._stored[given] for given in sorted(read)]
        part = onnx.helper.make_model(
            onnx.helper.make_graph(nodes, "part", [], [result], stored),
            opset_imports=self._model.opset_import,
        )
        try:
            if _asks_for_too_much(part):
                return None
            return np.asarray(ReferenceEvaluator(part).run(None, {})[0])
        except Exception:  # of any kind: it is a reference for valid nodes
            return None

    def _behind(self, name: str) -> list[Any] | None:
        """The nodes that make `name` of what is stored, makers first; none for a stored one, and
        `None` for one that an input decides on."""
        pending, made = [name], set[str]()
        while pending:
            wanted = pending.pop()
            if not wanted or wanted in self._stored or wanted in made:
                continue
            maker = self.makers.get(wanted)
            if maker is None or not _is_plain(maker) or len(made) > _MOST_BEHIND:
                return None
            made.update(maker.output)
            pending.extend(maker.input)
        return [node for node in self._model.graph.node if made.intersection(node.output)]


def _asks_for_too_much(part: Any) -> bool:
    import onnx

    graph = onnx.shape_inference.infer_shapes(part, data_prop=True).graph
    shapes = (shape_of(value) or () for value in (*graph.value_info, *graph.output))
    return any(prod(shape) > MOST_VALUES for shape in shapes)


def _is_plain(node: Any) -> bool:
    """Whether ONNX itself says what a node gives for what it reads, and this is no branch."""
    nested = any(attribute.HasField("g") for attribute in node.attribute)
    return node.domain in STANDARD and node.op_type not in NOT_FOLDED and not nested
