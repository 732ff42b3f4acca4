"""Editing an ONNX graph: who makes a value, who uses it, and replacing one by another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.graph.nested import names_in, nested_inputs, read_instead
from edgeanim.graph.order import in_order, live_nodes
from edgeanim.graph.queries import graph_inputs, opset_of, value_shapes
from edgeanim.graph.shapes import infer_shapes

AnyArray = NDArray[Any]

SEPARATE_WEIGHTS = 4
"""The IR version since which weights need not be listed among the inputs."""


class Editor:
    """An open graph. Nodes may be added in any order; `close` sorts them and removes dead ones."""

    def __init__(self, model: Any) -> None:
        import onnx

        self.model = model
        self.graph = model.graph
        self.opset = opset_of(model)
        self.nodes: list[Any] = list(self.graph.node)
        self.constants: dict[str, AnyArray] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in self.graph.initializer
        }
        self.shapes = value_shapes(model)
        self.outputs = [value.name for value in self.graph.output]
        self._stored = set(self.constants)
        self._names = names_in(self.graph)
        self._ends: dict[int, tuple[list[str], list[str]]] = {}
        self._makers: dict[str, Any] = {}
        self._users: dict[str, dict[int, Any]] = {}
        for node in self.nodes:
            self._enter(node)

    def __contains__(self, node: Any) -> bool:
        """Whether `node` itself, not one like it, is in the graph now."""
        return id(node) in self._ends

    def maker(self, name: str, *ops: str) -> Any | None:
        """The node that makes `name`, if it is one of `ops` (any, if none are given)."""
        node = self._makers.get(name)
        return node if node is not None and (not ops or node.op_type in ops) else None

    def maker_behind(self, name: str, passing: Collection[str]) -> Any | None:
        """The node that makes `name`, or what goes into a row of `passing` ops that does."""
        while (maker := self.maker(name)) is not None and maker.op_type in passing:
            name = maker.input[0]
        return maker

    def users(self, name: str) -> list[Any]:
        """The nodes that read `name`, each once; also those whose nested graphs do."""
        return list(self._users.get(name, {}).values())

    def only_user(self, name: str) -> Any | None:
        """The one node that reads `name`; `None` if there are others or it is a graph output."""
        users = self.users(name)
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def constant_of(self, node: Any, index: int) -> AnyArray | None:
        """The value of a node's input, if it is there and constant."""
        if index >= len(node.input):
            return None
        return self.constants.get(node.input[index])

    def scalar_of(self, node: Any, index: int) -> float | None:
        """The same as a number, if it is a single one."""
        value = self.constant_of(node, index)
        return float(value.item()) if value is not None and value.size == 1 else None

    def has_input(self, node: Any, index: int) -> bool:
        """Whether a node's optional input is given."""
        return index < len(node.input) and bool(node.input[index])

    def is_known(self, node: Any, index: int) -> bool:
        """Whether a node's optional input is left out or constant."""
        return not self.has_input(node, index) or self.constant_of(node, index) is not None

    def setting_of(self, node: Any, name: str, index: int) -> AnyArray | None:
        """Whole numbers that are the attribute `name` in old opsets and a constant input in recent
        ones, such as the axes of a reduction; `None` if they are left out or computed."""
        given = attributes(node).get(name)
        return self.constant_of(node, index) if given is None else np.asarray(given)

    def is_square(self, node: Any) -> bool:
        """Whether a node gives the square of its first input."""
        if node.op_type == "Pow":
            return self.scalar_of(node, 1) == 2.0
        return bool(node.op_type == "Mul" and node.input[0] == node.input[1])

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        near: str,
        output: str | None = None,
        name: str | None = None,
        **attrs: Any,
    ) -> str:
        """Add a node with one output and return the output's name, derived from `near`. The node is
        called `name`, that of a node whose place it takes, or else after its output."""
        import onnx

        made = output or self.fresh(f"{near}/{op}")
        if name is None:
            # A node that gave `output` so far may be called after it, as many exporters do.
            name = made if output is None else self.fresh(f"{output}/{op}")
        self.append(onnx.helper.make_node(op, list(inputs), [made], name=name, **attrs))
        self._names |= {made, name}
        return made

    def append(self, node: Any) -> None:
        """Add a node as it is, its names with it."""
        self.nodes.append(node)
        self._enter(node)

    def constant(self, value: AnyArray, *, near: str) -> str:
        """Store a constant and return its name, derived from `near`."""
        name = self.fresh(f"{near}/const")
        # `ascontiguousarray` would give a single number an axis.
        self.constants[name] = np.asarray(value, order="C")
        self.shapes[name] = value.shape
        self._names.add(name)
        return name

    def set_constant(self, node: Any, index: int, value: AnyArray) -> None:
        """Give a node a constant as this input: in place of the one it has, or as its next. Call
        `reindex` once all are changed."""
        name = self.constant(value, near=node.output[0])
        if index < len(node.input):
            node.input[index] = name
        else:
            node.input.append(name)

    def reshaped(self, name: str, shape: Sequence[int], *, near: str) -> str:
        """Add a Reshape of `name` to a fixed `shape` and return its output's name."""
        wanted = self.constant(np.array(shape, np.int64), near=near)
        return self.add("Reshape", [name, wanted], near=near)

    def inline(self, nested: Any) -> list[str]:
        """Bring the nodes and weights of a graph that was nested in a node in here, under names of
        their own; returns those of its outputs. Nodes keep their names where none has it here."""
        import onnx

        renamed: dict[str, str] = {}
        taken = {node.name for node in self.nodes}
        for tensor in nested.initializer:
            value = onnx.numpy_helper.to_array(tensor)
            renamed[tensor.name] = self.constant(value, near=tensor.name)
        for node in nested.node:
            copy = deepcopy(node)
            for old, new in renamed.items():
                read_instead(copy, old, new)
            for name in filter(None, node.output):
                renamed[name] = self.fresh(name)
                self._names.add(renamed[name])
            copy.output[:] = [renamed.get(name, name) for name in node.output]
            copy.name = self.fresh(node.name) if node.name in taken else node.name
            self._names.add(copy.name)
            self.append(copy)
        return [renamed.get(value.name, value.name) for value in nested.output]

    def fresh(self, name: str) -> str:
        """`name`, numbered if it is taken."""
        candidate, count = name, 1
        while candidate in self._names:
            candidate, count = f"{name}_{count}", count + 1
        return candidate

    def replace(self, node: Any, *values: str, renamed: bool = False) -> None:
        """Remove `node`; who read its outputs reads `values` instead. Graph outputs keep their
        names, and so do the others if the values are `renamed` after them. Nodes that nobody needs
        any more go with it."""
        self._remove(node)
        for old, new in zip(node.output, values, strict=True):
            if old:
                self._redirect(old, new, renamed or old in self.outputs)
        pending = nested_inputs(node)
        while pending:
            maker = self._makers.get(pending.pop())
            if maker is not None and not any(
                name in self._users or name in self.outputs for name in maker.output
            ):
                self._remove(maker)
                pending += nested_inputs(maker)

    def _remove(self, node: Any) -> None:
        self.nodes = [other for other in self.nodes if other is not node]
        self._leave(node)

    def _redirect(self, old: str, new: str, renamed: bool) -> None:
        self._read_instead(old, new)
        if renamed:
            maker = self._makers.get(new)
            if maker is None or new in self.outputs:
                self.add("Identity", [new], near=old, output=old)
                return
            maker.output[:] = [old if name == new else name for name in maker.output]
            self.reindex(maker)
            self._read_instead(new, old)

    def _read_instead(self, old: str, new: str) -> None:
        users = self.users(old)
        for node in users:
            read_instead(node, old, new)
        self.reindex(*users)

    def close(self) -> None:
        """Write everything back: live nodes in order, constants in use, inferred shapes."""
        import onnx

        live = live_nodes(self.nodes, self.outputs)
        inputs = graph_inputs(self.model)
        if len(inputs) < len(self.graph.input):
            # Weights among the inputs, which IR 3 asks for, would stay as inputs once replaced.
            self.graph.ClearField("input")
            self.graph.input.extend(inputs)
            self.model.ir_version = max(self.model.ir_version, SEPARATE_WEIGHTS)
        del self.graph.node[:]
        self.graph.node.extend(in_order(live))
        used = {name for node in live for name in nested_inputs(node)} | set(self.outputs)
        kept = [t for t in self.graph.initializer if t.name in used and t.name in self.constants]
        fresh = [
            onnx.numpy_helper.from_array(value, name)
            for name, value in self.constants.items()
            if name in used and name not in self._stored
        ]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *fresh])
        infer_shapes(self.model)

    def reindex(self, *nodes: Any) -> None:
        """Find anew what these nodes make and read; call it after changing them in place. What has
        been removed from the graph stays so."""
        for node in nodes:
            if node in self:
                self._leave(node)
                self._enter(node)

    def _enter(self, node: Any) -> None:
        made, read = list(filter(None, node.output)), list(filter(None, nested_inputs(node)))
        self._ends[id(node)] = made, read
        self._makers.update(dict.fromkeys(made, node))
        for name in read:
            self._users.setdefault(name, {})[id(node)] = node

    def _leave(self, node: Any) -> None:
        made, read = self._ends.pop(id(node), ([], []))
        for name in made:
            if self._makers.get(name) is node:
                del self._makers[name]
        for name in dict.fromkeys(read):
            del self._users[name][id(node)]
            if not self._users[name]:
                del self._users[name]


@contextmanager
def editing(model: Any) -> Iterator[Editor]:
    """Open `model` for editing; it is written back when the block ends well."""
    editor = Editor(model)
    yield editor
    editor.close()


def rewrite_each(model: Any, rewrite_node: Callable[[Editor, Any], int]) -> int:
    """Call `rewrite_node` for each node that the graph has now; the sum of what it returns."""
    with editing(model) as graph:
        return sum(rewrite_node(graph, node) for node in list(graph.nodes))


def replace_nodes(graph: Any, nodes: Sequence[Any]) -> None:
    """Give a `GraphProto` copies of these nodes; they may be its own, which it clears."""
    copies = [deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes by name: numbers, lists, `TensorProto`s; texts as `str`."""
    import onnx

    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def states_pads(given: Mapping[str, Any]) -> bool:
    """Whether a convolution or pool with these attributes has its pads as numbers, if any."""
    return given.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")


def set_attributes(node: Any, **values: Any) -> None:
    """Give a node these attributes, and none of a name that is `None`, in place."""
    import onnx

    kept = [attribute for attribute in node.attribute if attribute.name not in values]
    del node.attribute[:]
    made = (onnx.helper.make_attribute(*pair) for pair in values.items() if pair[1] is not None)
    node.attribute.extend([*kept, *made])


def clip_limits(
    node: Any, number_of: Callable[[str], float | None]
) -> tuple[float | None, float | None] | None:
    """The lower and the upper limit of a Clip, each `None` where it has none: inputs, of which
    `number_of` tells a constant one's number, or before opset 11 attributes. `None` in all if one
    is computed."""
    limits: dict[str, float | None] = attributes(node)
    for end, name in zip(("min", "max"), node.input[1:], strict=False):
        number = number_of(name) if name else None
        if name and number is None:
            return None
        limits[end] = number
    return limits.get("min"), limits.get("max")
