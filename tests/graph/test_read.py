"""Reading a file of anyone's: a sound graph comes in, anything else is one clear paragraph."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model
from edgeanim.graph.reading.read import read_onnx

IMAGE = ("float[1,3,16,16] x", "float[1,3,16,16] y")


def test_files_that_are_no_graph(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_model(tmp_path / "absent.onnx")
    empty = tmp_path / "empty.onnx"
    empty.touch()
    with pytest.raises(BadInput, match="empty"):
        load_model(empty)
    picture = tmp_path / "picture.onnx"
    Image.new("RGB", (8, 8)).save(picture, format="PNG")
    with pytest.raises(BadInput, match="PNG picture, not an ONNX graph"):
        load_model(picture)
    text = tmp_path / "text.onnx"
    text.write_text("not a protobuf at all, but a few words")
    with pytest.raises(BadInput, match="a text file, not an ONNX graph"):
        load_model(text)
    contract = tmp_path / "model.toml"
    contract.write_text('name = "net"\n')
    with pytest.raises(BadInput, match="Give the folder that holds it"):
        load_model(contract)
    flat = tmp_path / "net.tflite"
    flat.write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(BadInput, match=r"a TFLite model, not an ONNX graph.*edgeanim bench"):
        load_model(flat)
    traced = tmp_path / "net.pt"
    traced.write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(BadInput, match=r"a zip archive.*not an ONNX graph.*edgeanim export"):
        load_model(traced)
    weights = tmp_path / "net.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(BadInput, match=r"weights alone.*not an ONNX graph.*edgeanim export"):
        load_model(weights)
    bundle = tmp_path / "net.eab"
    bundle.write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(BadInput, match=r"not an ONNX graph.*A bundle is compiled already"):
        load_model(bundle)
    huge = tmp_path / "huge.onnx"
    with huge.open("wb") as stream:
        stream.truncate(3 << 30)
    with pytest.raises(BadInput, match=r"3\.0 GiB"):
        load_model(huge)


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.999))
def test_a_file_that_is_cut_off_is_refused(
    tiny_onnx: Any, tmp_path_factory: Any, share: float
) -> None:
    data = _tiny_bytes(tiny_onnx)
    path = tmp_path_factory.mktemp("cut") / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInput):
        load_model(path)


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
def test_a_flipped_byte_never_escapes_as_another_error(
    tiny_onnx: Any, tmp_path_factory: Any, place: float, value: int
) -> None:
    data = bytearray(_tiny_bytes(tiny_onnx))
    data[int(len(data) * place)] = value
    path = tmp_path_factory.mktemp("flip") / "flip.onnx"
    path.write_bytes(data)
    with suppress(BadInput):
        load_model(path)


_CACHE: dict[str, bytes] = {}


def _tiny_bytes(tiny_onnx: Any) -> bytes:
    if "tiny" not in _CACHE:
        _CACHE["tiny"] = tiny_onnx(8, 2).read_bytes()
    return _CACHE["tiny"]


def test_dynamic_shapes_name_input_and_axis(graph: Any, save: Any) -> None:
    path = save(graph("float[1,3,height,16] x", "float[1,3,height,16] y", "y = Relu (x)"))
    with pytest.raises(BadInput, match=r"Axis 2 \(height\) of the input 'x' is dynamic") as caught:
        load_model(path)
    assert "make_dynamic_shape_fixed --input_name x --input_shape 1,3,N,16" in str(caught.value)


def test_inputs_of_another_type_than_float32_are_refused(graph: Any, save: Any) -> None:
    path = save(graph("uint8[1,3,16,16] x", IMAGE[1], "y = Cast <to=1> (x)"))
    with pytest.raises(BadInput, match="The input 'x' is uint8"):
        load_model(path)


def test_a_graph_of_doubles_is_to_be_exported_in_float32(graph: Any, save: Any) -> None:
    """It was said to hold a conversion."""
    path = save(graph("double[1,3,16,16] x", "double[1,3,16,16] y", "y = Relu (x)"))
    with pytest.raises(BadInput, match=r"'x' is double; only float32.*\.float\(\) on the net"):
        load_model(path)


def test_unknown_ops_and_domains_are_named(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Relu (x)")
    model.graph.node[0].op_type = "Sharpen"
    with pytest.raises(BadInput, match="The op Sharpen of node 'node0' does not exist"):
        load_model(save(model))
    model.graph.node[0].domain = "com.example"
    with pytest.raises(BadInput, match=r"The op com\.example\.Sharpen of node 'node0'"):
        load_model(save(model))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("n = RandomNormalLike (x) \n y = Add (x, n)", "RandomNormalLike of node 'node0' draws"),
        ("y = Dropout (x, half, yes)", "Dropout of node 'node0' is in training mode"),
        (
            "on = Constant <value = bool {1}> () \n y = Dropout (x, half, on)",
            "Dropout of node 'node1' is in training mode",
        ),
    ],
)
def test_a_graph_that_draws_at_random_is_refused(
    graph: Any, save: Any, body: str, said: str
) -> None:
    """Its golden frames would be one draw, and the drift the distance to another."""
    stored = {"half": np.array(0.5, np.float32), "yes": np.array(True)}
    with pytest.raises(BadInput, match=said):
        load_model(save(graph(*IMAGE, body, stored)))


@pytest.mark.parametrize(
    ("norm", "opset"),
    [
        ("y, m, v = BatchNormalization <training_mode=1> (x, s, b, a, b)", 18),
        ("y = BatchNormalization <training_mode=1> (x, s, b, a, b)", 18),
        ("y = BatchNormalization <training_mode=1> (x, s, b, a, b)", 14),
        ("y, m, v, sm, sv = BatchNormalization (x, s, b, a, b)", 13),
    ],
)
def test_a_batch_norm_in_training_is_refused_when_read(
    graph: Any, save: Any, norm: str, opset: int
) -> None:
    """Runtimes disagree about it: one takes the picture's mean, another the stored one's part."""
    stored = {name: np.ones(3, np.float32) for name in "sab"}
    with pytest.raises(BadInput, match="BatchNormalization of node 'node0' is in training") as told:
        load_model(save(graph(*IMAGE, norm, stored, opset=opset)))
    assert ".eval()" in str(told.value)


def test_a_batch_norm_at_rest_is_taken(graph: Any, save: Any) -> None:
    stored = {name: np.ones(3, np.float32) for name in "sab"}
    for opset in (9, 13, 14, 18):
        body = "y = BatchNormalization (x, s, b, a, b)"
        assert load_model(save(graph(*IMAGE, body, stored, opset=opset)))


def test_a_dropout_at_rest_is_taken(graph: Any, save: Any) -> None:
    stored = {"half": np.array(0.5, np.float32), "no": np.array(False)}
    for body in ("y = Dropout (x, half, no)", "y = Dropout (x, half)", "y = Dropout (x)"):
        assert load_model(save(graph(*IMAGE, body, stored)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_weights_are_named(graph: Any, save: Any, bad: float) -> None:
    scale = np.array([1, bad, 1], np.float32).reshape(3, 1, 1)
    path = save(graph(*IMAGE, "y = Mul (x, scale)", {"scale": scale}))
    with pytest.raises(BadInput, match="'scale' holds NaN or infinite"):
        load_model(path)


def test_weights_that_are_no_floats_are_looked_at_too(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Reshape (x, s)", {"s": np.array([1, 3, 16, 16])})
    model.graph.initializer[0].raw_data += b"\0"
    with pytest.raises(BadInput, match="'s' is damaged"):
        load_model(save(model))


def test_a_version_beyond_any_integer_is_refused(graph: Any, save: Any) -> None:
    model = graph(*IMAGE, "y = Relu (x)")
    model.opset_import[0].version = 1 << 62
    with pytest.raises(BadInput, match="does not exist in ONNX opset"):
        load_model(save(model))


def test_an_input_too_large_for_any_machine_is_refused(graph: Any, save: Any) -> None:
    model = graph("float[1,3,2147483648,64] x", "float[1,3,2147483648,64] y", "y = Relu (x)")
    with pytest.raises(BadInput, match="more than 2 GiB"):
        load_model(save(model))


def test_a_single_number_may_be_infinite_and_no_other_weight(graph: Any, save: Any) -> None:
    limits = {"low": np.array(0, np.float32), "high": np.array(np.inf, np.float32)}
    assert load_model(save(graph(*IMAGE, "y = Clip (x, low, high)", limits)))
    weights = {"scale": np.array([1, np.inf, 1], np.float32).reshape(3, 1, 1)}
    with pytest.raises(BadInput, match="'scale' holds NaN or infinite values"):
        load_model(save(graph(*IMAGE, "y = Mul (x, scale)", weights)))


@pytest.mark.parametrize(
    ("op", "stored"),
    [
        ("ConstantOfShape (size)", {"size": np.array([1, 3, 20000, 20000])}),
        ("Expand (one, size)", {"size": np.array([1, 3, 20000, 20000]), "one": np.float32(1)}),
        (
            "OneHot (at, depth, pair)",
            {
                "at": np.zeros((1, 3, 100), np.int64),
                "depth": np.int64(10**7),
                "pair": np.zeros(2, np.float32),
            },
        ),
    ],
    ids=["fill", "expand", "one hot"],
)
def test_constants_that_ask_for_all_memory_are_not_computed(
    graph: Any, save: Any, op: str, stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx.reference import ReferenceEvaluator

    made = f"c = {op} s = ReduceMean <axes = [2, 3], keepdims = 1> (c) y = Add (x, s)"
    arrays = {name: np.asarray(value) for name, value in stored.items()}
    path = save(graph(*IMAGE, made, arrays, opset=17))
    monkeypatch.setattr(ReferenceEvaluator, "run", lambda *_: pytest.fail("it was computed"))
    load_model(path)


def test_functions_that_expand_without_bounds_are_refused(tmp_path: Path) -> None:
    """Thirty that each call the one before twice: ONNX's inliner ended the process, out of
    memory."""
    helper = onnx.helper
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    bodies = [[helper.make_node("Relu", ["a"], ["b"])]]
    for number in range(30):
        called = f"f{number}"
        halves = (("a", "t"), ("t", "b"))
        bodies.append([helper.make_node(called, [a], [b], domain="own") for a, b in halves])
    functions = [
        helper.make_function("own", f"f{number}", ["a"], ["b"], body, opsets)
        for number, body in enumerate(bodies)
    ]
    ends = [helper.make_tensor_value_info(name, 1, [1, 3, 16, 16]) for name in "xy"]
    for name, said in (("f5", None), ("f30", "expand to more than 100000 nodes")):
        node = helper.make_node(name, ["x"], ["y"], domain="own")
        graph = helper.make_graph([node], "g", ends[:1], ends[1:])
        model = helper.make_model(
            graph, opset_imports=opsets, functions=functions[: int(name[1:]) + 1]
        )
        model.ir_version = 8
        onnx.save(model, tmp_path / "net.onnx")
        if said is None:
            load_model(tmp_path / "net.onnx")
            continue
        with pytest.raises(BadInput, match=said):
            load_model(tmp_path / "net.onnx")


def test_local_functions_are_expanded(save: Any) -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1,3,16,16] x) => (float[1,3,16,16] y) { y = local.twice (x) }
      <opset_import: ["": 18], domain: "local"> twice (a) => (b) { b = Add (a, a) }"""
    assert load_model(save(onnx.parser.parse_model(text))).contract.graphs[0].outputs


@pytest.mark.parametrize(
    ("opset", "body"),
    [
        (18, "y = local.slope (x)"),
        (18, "y = local.slope <by = 0.2> (x)"),
        (18, "y = local.twice (x)"),
        (17, "y = local.slope (x)"),
    ],
)
def test_local_functions_are_what_onnx_runtime_takes_them_for(
    save: Any, difference: Any, opset: int, body: str
) -> None:
    """What an attribute is by default was forgotten without a word, and a slope of 0.7 became the
    op's own of 0.01; one of another opset was taken for an op that nobody knows."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1,3,16,16] x) => (float[1,3,16,16] y) {{ {body} }}
      <opset_import: ["": {opset}], domain: "local"> slope <by: float = 0.7> (a) => (b) {{
        b = LeakyRelu <alpha: float = @by> (a) }}
      <opset_import: ["": {opset}, "local": 1], domain: "local"> twice <of: float = 0.6> (a) => (b)
      {{ c = local.slope <by: float = @of> (a)
        b = local.slope (c) }}""")
    made = read_onnx(save(model))
    assert {node.op_type for node in made.graph.node} == {"LeakyRelu"}
    assert difference(model, made) <= 1e-6


def test_sparse_weights_are_refused(graph: Any, save: Any) -> None:
    """They ended with a KeyError, and OpenVINO was said not to find them."""
    values, places = np.array([2, 3], np.float32), np.array([0, 7])
    sparse = onnx.helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(values, "w"), onnx.numpy_helper.from_array(places, "at"), [16]
    )
    stored = graph(*IMAGE, "y = Mul (x, w)")
    stored.graph.sparse_initializer.append(sparse)
    held = graph(*IMAGE, "y = Mul (x, w)")
    held.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    for model in (stored, held):
        with pytest.raises(BadInput, match="'w' is stored as a sparse tensor"):
            load_model(save(model))
