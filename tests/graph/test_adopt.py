"""Files that mean a static float32 graph, and what is left of what they said otherwise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.reading.adopt import adopt
from edgeanim.graph.reference import Reference, deviation

PICTURE = np.random.default_rng(0).uniform(0, 1, (1, 3, 16, 16)).astype(np.float32)
BODY = "c = Conv <pads=[1,1,1,1]> (x, w) \n y = Sigmoid (c)"


def adopted(model: Any, save: Any) -> tuple[Any, tuple[str, ...], Path]:
    found = adopt(save(model))
    assert found is not None
    made = found.model()
    return made, found.changes, save(made)


def halved(model: Any) -> Any:
    """The same graph with float16 weights and ends."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model


def test_a_file_that_says_what_it_means_is_left_alone(tiny_onnx: Any) -> None:
    assert adopt(tiny_onnx(16, 4)) is None


def test_a_batch_of_any_size_is_one_picture(graph: Any, save: Any) -> None:
    model = graph("float[n,3,16,16] x", "float[n,3,16,16] y", BODY, {"w": (3, 3, 3, 3)})
    made, changes, path = adopted(model, save)
    assert changes == ("The batch (n) is fixed at 1.",)
    (spec,) = load_model(path).contract.graphs
    assert [tensor.shape for tensor in (*spec.inputs, *spec.outputs)] == [(1, 3, 16, 16)] * 2
    wanted, found = (Reference(each).run({"x": PICTURE})["y"] for each in (model, made))
    np.testing.assert_array_equal(wanted, found)


@pytest.mark.parametrize("shape", ["n,3,h,16", "n"])
def test_other_axes_are_not_guessed(graph: Any, save: Any, shape: str) -> None:
    assert adopt(save(graph(f"float[{shape}] x", f"float[{shape}] y", "y = Relu (x)"))) is None


def test_half_floats_are_computed_in_float32(graph: Any, save: Any) -> None:
    model = graph("float[1,3,16,16] x", "float[1,3,16,16] y", BODY, {"w": (3, 3, 3, 3)})
    made, changes, path = adopted(halved(model), save)
    assert changes == ("The file's half floats are computed in float32.",)
    load_model(path)
    wanted = Reference(model).run({"x": PICTURE.astype(np.float16)})["y"]
    assert deviation(wanted, Reference(made).run({"x": PICTURE})["y"]) < 2e-3


def test_half_floats_between_casts_leave_none_behind(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,16,16] x",
        "float[1,3,16,16] y",
        """half = Cast <to=10> (x)
           c = Conv <pads=[1,1,1,1]> (half, w)
           m = Mul (c, two)
           y = Cast <to=1> (m)""",
    )
    weights = np.random.default_rng(1).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float16)
    for name, value in (("w", weights), ("two", np.array(2, np.float16))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    # As converters to float16 leave them: casts at the end of the list.
    nodes = [model.graph.node[i] for i in (1, 2, 3, 0)]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    made, _, path = adopted(model, save)
    load_model(path)
    ops = Counter(node.op_type for node in made.graph.node)
    assert (ops["Cast"], ops["Conv"]) == (0, 1)
    wanted, found = (Reference(each).run({"x": PICTURE})["y"] for each in (model, made))
    assert deviation(wanted, found) < 2e-3


def test_half_floats_that_nodes_hold_are_computed_in_float32_too(graph: Any, save: Any) -> None:
    """Some exporters write weights as Constant nodes."""
    model = graph(
        "float[1,3,16,16] x",
        "float[1,3,16,16] y",
        "half = Cast <to=10> (x) \n c = Conv <pads=[1,1,1,1]> (half, w) \n y = Cast <to=1> (c)",
    )
    kernel = np.random.default_rng(1).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float16)
    held = onnx.helper.make_node(
        "Constant", [], ["w"], "kernel", value=onnx.numpy_helper.from_array(kernel)
    )
    model.graph.node.insert(0, held)
    made, changes, path = adopted(model, save)
    assert changes == ("The file's half floats are computed in float32.",)
    load_model(path)
    assert "Cast" not in {node.op_type for node in made.graph.node}


def test_an_input_that_nothing_reads_is_left_out(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,16,16] x, float[1,3,16,16] source", "float[1,3,16,16] y", "y = Relu (x)"
    )
    with pytest.raises(BadInput, match="No node reads the input 'source'"):
        load_model(save(model))
    _, changes, path = adopted(model, save)
    assert changes == ("The input 'source' is left out, as nothing reads it.",)
    assert [tensor.name for tensor in load_model(path).contract.graphs[0].inputs] == ["x"]


def test_nodes_of_one_name_are_numbered(graph: Any, save: Any) -> None:
    """ONNX Runtime refuses them, and a list of nodes to keep in float could mean either."""
    import onnxruntime

    ends = "float[1,3,16,16] x", "float[1,3,16,16] y"
    model = graph(*ends, "a = Relu (x) \n b = Neg (a) \n c = Abs (b) \n y = Relu (c)")
    for node, name in zip(model.graph.node, ("n", "n", "n_1", "n"), strict=True):
        node.name = name
    found = adopt(save(model))
    assert found is not None
    assert found.changes == ("Nodes of one name are numbered (n).",)
    made = found.model()
    assert [node.name for node in made.graph.node] == ["n", "n_2", "n_1", "n_3"]
    onnxruntime.InferenceSession(made.SerializeToString())
    assert adopt(save(made)) is None


def test_single_numbers_get_an_axis(graph: Any, save: Any) -> None:
    """A strength, and a loss beside the picture: they ended with a traceback."""
    model = graph(
        "float[1,3,16,16] x, float t",
        "float[1,3,16,16] frame, float loss",
        """m = Mul (x, t)
           loss = ReduceMax <keepdims=0> (m)
           frame = Sub (m, loss)""",
    )
    with pytest.raises(BadInput, match="'t' has no axis; a single number"):
        load_model(save(model))
    made, changes, path = adopted(model, save)
    assert changes == ("Single numbers (t, loss) have the shape [1].",)
    (spec,) = load_model(path).contract.graphs
    assert [tensor.shape for tensor in (*spec.inputs, *spec.outputs)][1::2] == [(1,), (1,)]
    given = np.array([0.7], np.float32)
    wanted = Reference(model).run({"x": PICTURE, "t": given.reshape(())})
    found = Reference(made).run({"x": PICTURE, "t": given})
    np.testing.assert_array_equal(wanted["frame"], found["frame"])
    assert found["loss"] == [wanted["loss"]]
    assert import_torch(path).error <= 1e-6


@pytest.mark.parametrize("damage", ["circle", "weight"])
def test_damage_is_bad_input_before_anything_is_made_of_it(
    graph: Any, save: Any, damage: str
) -> None:
    """A circle was sorted for ever."""
    body = "a = Relu (c) \n c = Conv <pads=[1,1,1,1]> (x, w) \n y = Sigmoid (a)"
    model = graph("float[n,3,16,16] x", "float[n,3,16,16] y", body, {"w": (3, 3, 3, 3)})
    if damage == "circle":
        model.graph.node[1].input[0] = "a"
    else:
        model.graph.initializer[0].raw_data = b""
    found = adopt(save(model))
    assert found is not None
    with pytest.raises(BadInput):
        found.model()


SERVED = """
    f = Cast <to = 1> (x)
    t = Transpose <perm = [0, 3, 1, 2]> (f)
    n = Div (t, most)
    c = Conv <pads = [1, 1, 1, 1]> (n, w)
    s = Sigmoid (c)
    m = Mul (s, most)
    r = Round (m)
    l = Clip (r, least, most)
    b = Cast <to = 2> (l)
    y = Transpose <perm = [0, 2, 3, 1]> (b)"""
"""A net with all that a camera and a screen want, from bytes to bytes."""
LEVELS = {"least": np.array(0, np.float32), "most": np.array(255, np.float32)}


def test_pictures_of_bytes_are_floats_up_to_255(graph: Any, save: Any) -> None:
    ends = ("uint8[1,16,16,3] x", "uint8[1,16,16,3] y")
    model = graph(*ends, SERVED, {"w": (3, 3, 3, 3), **LEVELS})
    made, changes, path = adopted(model, save)
    assert changes == ("Bytes (x, y) are given as float32 in 0..255.",)
    (spec,) = load_model(path).contract.graphs
    assert [t.range for t in (*spec.inputs, *spec.outputs)] == [(0.0, 255.0)] * 2
    assert not {"Cast", "Round"} & {node.op_type for node in made.graph.node}
    picture = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3))
    wanted = Reference(model).run({"x": picture.astype(np.uint8)})["y"]
    found = Reference(made).run({"x": picture.astype(np.float32)})["y"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.round(found), wanted)


def test_bytes_of_which_the_net_tells_nothing_more_are_pictures_in_0_to_255_too(
    graph: Any, save: Any
) -> None:
    """Its weights may expect bytes as they are."""
    body = "f = Cast <to = 10> (x) \n c = Conv <pads = [1,1,1,1]> (f, w) \n y = Cast <to = 2> (c)"
    model = graph("uint8[n,3,16,16] x", "uint8[n,3,16,16] y", body)
    kernel = np.random.default_rng(1).uniform(0, 0.03, (3, 3, 3, 3)).astype(np.float16)
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "w"))
    model.metadata_props.add(key="image.nominalpixelrange", value="Normalized_0_1")
    made, changes, path = adopted(model, save)
    assert len(changes) == 3
    (spec,) = load_model(path).contract.graphs
    assert [t.range for t in (*spec.inputs, *spec.outputs)] == [(0.0, 255.0)] * 2
    assert [node.op_type for node in made.graph.node] == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "y = Identity (x)",
        "f = Cast <to = 6> (x) \n i = Abs (f) \n y = Cast <to = 2> (i)",
        "m = Max (x, x) \n f = Cast <to = 1> (m) \n y = Cast <to = 2> (f)",
    ],
)
def test_bytes_that_a_net_computes_with_are_refused(graph: Any, save: Any, body: str) -> None:
    path = save(graph("uint8[1,3,16,16] x", "uint8[1,3,16,16] y", body))
    found = adopt(path)
    with pytest.raises(BadInput, match="only float32 is supported"):
        load_model(path if found is None else save(found.model()))


def test_doubles_are_computed_in_float32(graph: Any, save: Any) -> None:
    model = graph("double[1,3,16,16] x", "double[1,3,16,16] y", BODY)
    kernel = np.random.default_rng(1).normal(0, 0.2, (3, 3, 3, 3))
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "w"))
    made, changes, path = adopted(model, save)
    assert changes == ("The file's doubles are computed in float32.",)
    load_model(path)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": PICTURE.astype(np.float64)})
    assert deviation(wanted, Reference(made).run({"x": PICTURE})["y"]) < 1e-5


def test_a_double_beyond_float32_is_named(graph: Any, save: Any) -> None:
    model = graph("double[1,3,16,16] x", "double[1,3,16,16] y", "y = Mul (x, w)")
    huge = onnx.numpy_helper.from_array(np.array([1e300, 1.0]).repeat(8), "w")
    model.graph.initializer.append(huge)
    found = adopt(save(model))
    assert found is not None
    with pytest.raises(BadInput, match="'w'"):
        load_model(save(found.model()))
