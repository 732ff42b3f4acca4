"""Builds a `torch.fx.GraphModule` node by node; what the converters work with."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import AnyArray, Editor, attributes
from edgeanim.graph.queries import (
    REMAINING,
    float_values,
    is_per_channel,
    node_label,
    whole_values,
)

MOST_AXES = 5
"""TFLite computes with values of so many axes; those of more are reshaped for it."""

Converter = Callable[["Builder", Any], fx.Node | Sequence[fx.Node]]


class Builder:
    """A module under construction: `values` maps ONNX names to fx nodes.

    `whole` are the names of whole numbers, `floats` those of floats. `origins` says whence each
    submodule and parameter came: the first output of its ONNX node, or the name of its constant.
    """

    def __init__(self, editor: Editor, where: object) -> None:
        self.onnx = editor
        self.where = where
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.values: dict[str, fx.Node] = {}
        self.whole = whole_values(editor.model)
        self.floats = float_values(editor.model)
        self.origins: dict[str, str] = {}

    def refuse(self, node: Any, why: str) -> BadInput:
        """The error for a node that cannot be brought over."""
        return BadInput(
            f"The op {node.op_type} of node {node_label(node)} cannot be brought into PyTorch: "
            f"{why}.",
            where=self.where,
            hint=REMAINING,
        )

    def attrs(self, node: Any) -> dict[str, Any]:
        """The node's attributes by name."""
        return attributes(node)

    def shape(self, name: str, node: Any) -> tuple[int, ...]:
        """The shape of a value; `BadInput` if ONNX cannot tell it."""
        shape = self.onnx.shapes.get(name)
        if shape is None:
            raise self.refuse(node, f"the shape of {name!r} is not fixed")
        return shape

    def ends(self, node: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of a node's first input and output."""
        return self.shape(node.input[0], node), self.shape(node.output[0], node)

    def present(self, node: Any, index: int) -> bool:
        """Whether an optional input is given."""
        return self.onnx.has_input(node, index)

    def constant(self, node: Any, index: int, what: str) -> AnyArray:
        """An input that must be constant here."""
        value = self.onnx.constant_of(node, index)
        if value is None:
            raise self.refuse(node, f"its {what} is not constant")
        return value

    def setting(self, node: Any, name: str, index: int) -> list[int] | None:
        """Whole numbers that are an attribute in old opsets and a constant input in recent ones."""
        given = self.attrs(node).get(name)
        if given is not None:
            return [given] if isinstance(given, int) else [int(v) for v in given]
        if not self.present(node, index):
            return None
        return [int(v) for v in self.constant(node, index, name).reshape(-1)]

    def value(self, name: str) -> fx.Node:
        """The fx node of an ONNX value; constants become buffers (parameters if per channel)."""
        if name not in self.values:
            self.values[name] = self._stored(name)
        return self.values[name]

    def operand(self, name: str, like: tuple[int, ...] = ()) -> Any:
        """The same for an elementwise op: a single number becomes a plain Python number.

        `like` is the other operand's shape, whose rank a number must not raise.
        """
        constant = self.onnx.constants.get(name)
        if constant is not None and constant.size == 1 and constant.ndim <= len(like):
            return constant.item()
        return self.value(name)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """A call of a torch function on fx nodes and static arguments."""
        return self.graph.call_function(function, args, kwargs)

    def module(self, node: Any, module: nn.Module, *args: fx.Node) -> fx.Node:
        """A call of a submodule, which takes the ONNX node's name."""
        target = self._attribute(node.name or node.output[0])
        self.root.add_module(target, module)
        self.origins[target] = node.output[0]
        return self.graph.call_module(target, args)

    def buffer(self, node: Any, numbers: torch.Tensor) -> fx.Node:
        """Numbers that `node` counts on, such as places to look things up at, kept as a buffer."""
        target = self._attribute(f"{node.output[0]}_numbers")
        self.root.register_buffer(target, numbers)
        return self.graph.get_attr(target)

    def _stored(self, name: str) -> fx.Node:
        value = self.onnx.constants[name]
        target = self._attribute(name)
        tensor = torch.from_numpy(np.array(value, order="C"))
        if is_per_channel(value):
            self.root.register_parameter(target, nn.Parameter(tensor))
            self.origins[target] = name
        else:
            self.root.register_buffer(target, tensor)
        return self.graph.get_attr(target)

    @staticmethod
    def python_name(name: str) -> str:
        """`name` as a Python identifier."""
        base = re.sub(r"\W+", "_", name).strip("_") or "value"
        taken = keyword.iskeyword(base) or base == "self"
        return f"_{base}" if base[0].isdigit() or taken else base

    def _attribute(self, name: str) -> str:
        """A free attribute name of the root module that resembles `name`."""
        base = self.python_name(name)
        candidate, count = base, 1
        while hasattr(self.root, candidate):
            candidate, count = f"{base}_{count}", count + 1
        return candidate


def tensor(value: AnyArray) -> torch.Tensor:
    """A trainable copy of a weight."""
    # Contiguous even of a transposed view: litert-torch 0.10 copies others and knows each by the
    # address of its copy, so that a later weight is taken for the one that was there before.
    return torch.from_numpy(np.array(value, np.float32, order="C"))


def merged(sizes: Sequence[int], kinds: Sequence[Hashable]) -> list[tuple[Any, int]]:
    """The axes of a shape with neighbours of one kind made one: each one's kind and size."""
    runs = groupby(zip(kinds, sizes, strict=True), key=itemgetter(0))
    return [(kind, prod(size for _, size in run)) for kind, run in runs]
