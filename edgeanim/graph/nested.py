"""Graphs in the nodes of a graph, as If and Loop hold them: what is in them, and what they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nested_graphs(node: Any) -> list[Any]:
    """The graphs in a node's attributes (of If and Loop)."""
    return [g for attribute in node.attribute for g in (attribute.g, *attribute.graphs)]


def all_nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of nested graphs included."""
    for node in graph.node:
        yield node
        for nested in nested_graphs(node):
            yield from all_nodes(nested)


def nested_inputs(node: Any) -> list[str]:
    """What a node reads, its nested graphs included."""
    names = list(node.input)
    for graph in nested_graphs(node):
        for inner in graph.node:
            names += nested_inputs(inner)
    return names


def read_instead(node: Any, old: str, new: str) -> None:
    """Let a node, its nested graphs included, read `new` instead of `old`. A name means the same
    in all of them: ONNX allows no nested graph to give it anew."""
    node.input[:] = [new if name == old else name for name in node.input]
    for graph in nested_graphs(node):
        for inner in graph.node:
            read_instead(inner, old, new)


def names_in(graph: Any) -> set[str]:
    """All names in a graph and in those nested in its nodes, the nodes' own included."""
    names = {value.name for value in (*graph.initializer, *graph.input)}
    for node in graph.node:
        names |= {node.name, *node.input, *node.output}
        for inner in nested_graphs(node):
            names |= names_in(inner)
    return names
