"""Ops that ONNX itself defines by other ones are written out, such as Attention by products.

For runtimes that lack a form of such an op. What it is defined by may be such an op again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgeanim.graph.queries import STANDARD, opset_of
from edgeanim.graph.rewrites import constants, identity
from edgeanim.graph.shapes import infer_shapes


def rewrite(model: Any, known: Collection[str]) -> int:
    """Write out all ops of ONNX but the `known` ones, as far as ONNX defines them; returns how many
    nodes were replaced."""
    import onnx.inliner

    total = 0
    # The types of weights and of what a definition introduces decide how the ops in it are defined.
    while found := _defined(model, known):
        names = [(node.domain, node.op_type) for node in found]
        model.graph.value_info.extend(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in model.graph.initializer
        )
        inlined = onnx.inliner.inline_selected_functions(
            model, list(dict.fromkeys(names)), inline_schema_functions=True
        )
        left = {(node.op_type, node.output[0]) for node in inlined.graph.node}
        replaced = [node for node in found if (node.op_type, node.output[0]) not in left]
        model.CopyFrom(inlined)
        infer_shapes(model)
        if not replaced:
            break
        total += len(replaced)
        constants.rewrite(model)
        identity.rewrite(model)
    return total


def _defined(model: Any, known: Collection[str]) -> list[Any]:
    """The nodes that are not known and have a definition at the model's opset, which may depend on
    the types of what they read: an extension's are not known."""
    import onnx

    version = opset_of(model)
    graph = model.graph
    typed = {"", *(v.name for v in (*graph.input, *graph.value_info, *graph.initializer))}
    found = []
    for node in graph.node:
        if node.domain not in STANDARD or node.op_type in known:
            continue
        schema = onnx.defs.get_schema(node.op_type, version, "")
        if schema.has_function or (
            schema.has_context_dependent_function and typed.issuperset(node.input)
        ):
            _fill_in_defaults(node, schema)
            found.append(node)
    return found


def _fill_in_defaults(node: Any, schema: Any) -> None:
    """Say what attributes are by default, of which a definition does not know."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)
