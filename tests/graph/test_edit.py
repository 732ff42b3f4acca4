"""An open graph: what is known of who makes and who reads a value, while it is edited."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import Editor, editing


def chain(*nodes: Any, outputs: tuple[str, ...] = ("y",)) -> Any:
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in outputs]
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph(list(nodes), "g", [given], ends)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def node(op: str, reads: str, makes: str) -> Any:
    return helper.make_node(op, reads.split(), makes.split(), name=f"{op}_{makes}")


def known(graph: Editor) -> dict[str, tuple[str | None, set[str]]]:
    """For each name, who makes it and who reads it."""
    names = {name for node in graph.nodes for name in (*node.input, *node.output)}
    return {
        name: (
            None if (maker := graph.maker(name)) is None else maker.name,
            {user.name for user in graph.users(name)},
        )
        for name in names
    }


def test_what_is_known_follows_every_edit() -> None:
    model = chain(
        node("Relu", "x", "a"), node("Sigmoid", "a", "b"), node("Mul", "a b", "c"),
        node("Neg", "c", "d"), node("Add", "d a", "y"),
    )  # fmt: skip
    graph = Editor(model)
    relu, sigmoid, product, negated, _ = graph.nodes
    halved = graph.add("Mul", ["c", graph.constant(np.float32(0.5).reshape(1), near="c")], near="c")
    graph.replace(negated, halved)
    product.input[1] = "a"
    graph.reindex(product)
    assert graph.users("b") == []
    assert [user.name for user in graph.users("a")] == ["Sigmoid_b", "Add_y", "Mul_c"]
    graph.replace(relu, graph.add("Abs", ["x"], near="a"), renamed=True)
    assert graph.maker("a", "Abs") is not None
    assert relu not in graph
    assert sigmoid in graph
    found = known(graph)
    graph.close()
    left = known(Editor(model))
    assert "b" not in left  # nobody reads it
    assert {name: found[name] for name in left if name != "a"} == {
        name: ends for name, ends in left.items() if name != "a"
    }
    assert [n.op_type for n in model.graph.node] == ["Abs", "Mul", "Mul", "Add"]


def test_what_nobody_needs_any_more_goes_with_what_read_it() -> None:
    model = chain(node("Relu", "x", "a"), node("Neg", "a", "b"), node("Mul", "b b", "y"))
    with editing(model) as graph:
        relu, negated, square = graph.nodes
        graph.replace(square, "x")
        assert not any(node in graph for node in (relu, negated, square))
    assert [n.op_type for n in model.graph.node] == ["Identity"]


def test_a_node_that_was_removed_is_not_found_again() -> None:
    graph = Editor(chain(node("Relu", "x", "a"), node("Neg", "a", "y")))
    relu = graph.nodes[0]
    graph.replace(relu, "x")
    graph.reindex(relu)
    assert graph.maker("a") is None
    assert [user.op_type for user in graph.users("x")] == ["Neg"]


def test_nodes_that_read_each_other_are_named() -> None:
    model = chain(node("Add", "x b", "a"), node("Neg", "a", "b"), node("Relu", "b", "y"))
    graph = Editor(model)
    with pytest.raises(BadInput, match="'Add_a' depends on its own output"):
        graph.close()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_follows_a_row_of_edits(seed: int) -> None:
    pick = random.Random(seed)
    values = ["x", *(f"v{i}" for i in range(1, 30))]
    nodes = [node("Add", f"{values[max(0, i - 3)]} {values[i - 1]}", f"v{i}") for i in range(1, 30)]
    model = chain(*nodes, outputs=("v29", "v20"))
    graph = Editor(model)
    for number in range(25):
        old = pick.choice(graph.nodes)
        made = graph.add(pick.choice(["Neg", "Abs"]), [old.input[0]], near=f"n{number}")
        if pick.random() < 0.7:
            value = pick.choice([made, old.input[-1]])
            graph.replace(old, value, renamed=value == made and pick.random() < 0.5)
        found = known(graph)
        graph.reindex(*graph.nodes)
        assert known(graph) == found
    graph.close()
    assert [value.name for value in model.graph.output] == ["v29", "v20"]


def test_a_node_that_takes_over_an_output_has_a_name_of_its_own() -> None:
    """Many exporters call nodes after what they give, and ONNX Runtime refuses a name twice."""
    model = chain(helper.make_node("Relu", ["x"], ["y"], name="y"))
    with editing(model) as graph:
        (relu,) = graph.nodes
        relu.output[0] = "a"
        graph.reindex(relu)
        graph.add("Neg", ["a"], near="y", output="y")
    names = [node.name for node in model.graph.node]
    assert (len(names), len(set(names))) == (2, 2)
