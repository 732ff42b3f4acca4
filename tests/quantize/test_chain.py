from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.quantize.chain import Node, find_chain
from edgeanim.quantize.onnx_nodes import has_convolutions, load_shaped, onnx_chain, onnx_nodes


def conv(name: str, *inputs: str, macs: int = 1000) -> Node:
    return Node(name, "convolution", inputs, (name,), macs)


def glue(name: str, *inputs: str) -> Node:
    return Node(name, "glue", inputs, (name,))


def arithmetic(name: str, *inputs: str) -> Node:
    return Node(name, "float", inputs, (name,))


def test_glue_between_convolutions_belongs_to_the_chain() -> None:
    nodes = [conv("a", "x"), glue("up", "a"), glue("cat", "up", "x"), conv("b", "cat")]
    chain = find_chain(nodes)
    assert chain.convolutions == ("a", "b")
    assert chain.glue == ("up", "cat")


def test_coordinate_arithmetic_stays_float() -> None:
    nodes = [
        arithmetic("exp", "x"),
        glue("coordinates", "exp", "x"),  # a concat above the first convolution
        conv("a", "coordinates"),
        conv("b", "a"),
        glue("flow", "b"),  # and an upsampling below the last
        arithmetic("warp", "flow"),
    ]
    assert find_chain(nodes).glue == ()


def test_a_relu_goes_with_the_convolution_that_it_alone_reads() -> None:
    """Whatever reads the ReLU; a head that stays in float takes its own along."""
    relu = Node("relu", "glue", ("a",), ("relu",), fuses=True)
    last = Node("last", "glue", ("b",), ("last",), fuses=True)
    between = [relu, arithmetic("norm", "relu"), conv("b", "norm", macs=10), last]
    assert find_chain([conv("a", "x"), *between]).glue == ("relu",)
    assert find_chain([conv("a", "x", macs=10), *between]).glue == ("relu", "last")
    assert find_chain([conv("a", "x"), arithmetic("also", "a"), *between]).glue == ()


def test_a_float_op_cuts_the_chain() -> None:
    nodes = [conv("a", "x"), arithmetic("norm", "a"), glue("relu", "norm"), conv("b", "relu")]
    assert find_chain(nodes).glue == ()


def test_tiny_convolutions_stay_float() -> None:
    chain = find_chain([conv("affine", "style", macs=1), conv("a", "x", macs=100_000)])
    assert chain.convolutions == ("a",)


def test_what_is_kept_in_float_makes_no_other_convolution_dear_or_a_head() -> None:
    """Shares of what was left let in the gates of a squeeze and excitation, and heads."""
    kept = Node("a", "float", ("x",), ("a",), 1000)
    gate, b, last = conv("gate", "mean", macs=1), conv("b", "a", "gate"), conv("h", "c", macs=20)
    nodes = [
        kept,
        arithmetic("mean", "a"),
        gate,
        replace(b, macs=100),
        conv("c", "b", macs=100),
        last,
    ]
    assert find_chain(nodes).without_spared == ("b", "c")
    head = replace(kept, name="h", inputs=("b",), outputs=("h",))
    chain = find_chain([conv("a", "x"), conv("b", "a", macs=20), head])
    assert (chain.spared, chain.without_spared) == ((), ("a", "b"))


def test_heads_stay_float_only_where_that_is_cheap() -> None:
    body = [conv("a", "x", macs=1000), conv("b", "a", macs=1000)]
    assert find_chain([*body, conv("h", "b", macs=20)]).without_spared == ("a", "b")
    assert find_chain([*body, conv("h", "b", macs=900)]).without_spared == ("a", "b", "h")


def flow(name: str, *inputs: str, macs: int = 50) -> Node:
    return Node(name, "convolution", inputs, (name,), macs, narrow=True)


def test_a_flow_in_the_middle_stays_float_where_that_is_cheap() -> None:
    """What the next step warps by, and adds to, was rounded as any feature."""
    before, after = conv("a", "x"), [arithmetic("warp", "h"), conv("b", "warp"), conv("c", "b")]
    assert find_chain([before, flow("h", "a"), *after]).without_spared == ("a", "b", "c")
    for other in (conv("h", "a", macs=50), flow("h", "a", macs=500)):
        assert find_chain([before, other, *after]).without_spared == ("a", "h", "b", "c")


def test_a_flow_that_int8_reads_is_in_int8_too() -> None:
    nodes = [conv("a", "x"), flow("h", "a"), glue("cat", "a", "h"), conv("b", "cat")]
    assert "h" in find_chain([*nodes, conv("c", "b")]).without_spared


def test_of_the_flows_of_all_steps_the_cheapest_stay_float() -> None:
    """And of heads that are dear because of one, those that narrow."""
    steps = [conv("a", "x")]
    for i, macs in enumerate((60, 100, 70)):
        steps += [flow(f"h{i}", "a", macs=macs), arithmetic(f"warp{i}", f"h{i}")]
    steps += [conv("b", "warp0", "warp1", "warp2"), flow("last", "b", macs=9), conv("mask", "b")]
    assert find_chain(steps).without_spared == ("a", "h1", "b", "mask")


@pytest.mark.parametrize("packed", [False, True])
def test_a_flow_is_told_by_how_few_numbers_it_is_of_those_read(packed: bool) -> None:
    """Its channels may have been packed for wide vectors."""
    import onnx

    node = "y = Conv <kernel_shape = [1, 1]> (x, w)"
    sizes, kernel = ("1,32,8,8", "1,2,8,8"), (2, 32, 1, 1)
    if packed:
        sizes, kernel = ("1,128,4,4", "1,8,4,4"), (8, 128, 1, 1)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[{sizes[0]}] x) => '
        f"(float[{sizes[1]}] y) {{{node}}}"
    )
    weights = np.ones(kernel, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    (found,) = onnx_nodes(model, set())
    assert found.narrow


def test_a_graph_without_convolutions_is_refused() -> None:
    with pytest.raises(BadInput, match="no convolution"):
        find_chain([arithmetic("a", "x")])


@given(st.lists(st.sampled_from(["convolution", "glue", "float"]), min_size=1, max_size=12))
def test_in_a_straight_line_glue_counts_from_convolution_to_convolution(kinds: list[str]) -> None:
    nodes = [
        Node(str(i), kind, (str(i - 1),), (str(i),), 10)  # type: ignore[arg-type]
        for i, kind in enumerate(kinds)
    ]
    if "convolution" not in kinds:
        with pytest.raises(BadInput):
            find_chain(nodes)
        return
    text = "".join(kind[0] for kind in kinds)
    wanted = []
    for i, letter in enumerate(text):
        before, after = text[:i].rstrip("g"), text[i + 1 :].lstrip("g")
        if letter == "g" and before.endswith("c") and after.startswith("c"):
            wanted.append(str(i))
    assert list(find_chain(nodes).glue) == wanted


def test_the_chain_of_a_real_graph(unet: GraphArtifact) -> None:
    model = load_shaped(unet.path)
    chain = onnx_chain(model)
    assert {"up0", "cat0", "up1", "cat1", "mid.add", "stem.relu"} <= set(chain.glue)
    assert "result" not in chain.glue
    assert chain.spared == ("head",)
    assert "stem" not in onnx_chain(model, ["stem"]).convolutions
    others = [name for name in chain.convolutions if name not in ("stem", "head")]
    assert onnx_chain(model, others).without_spared == ("stem", "stem.relu")


def test_an_unknown_name_is_refused_with_the_nearest(unet: GraphArtifact) -> None:
    import onnx

    with pytest.raises(UsageError, match="Did you mean 'stem'"):
        onnx_chain(onnx.load(str(unet.path)), ["stemm"])


def halves(folder: Path, between: str) -> Path:
    """A convolution, `between` of `c` to `d`, and two convolutions more."""
    import onnx

    head = '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>'
    body = f"c = Conv (x, wa) \n {between} \n e = Conv (d, wb) \n y = Conv (e, wb)"
    model = onnx.parser.parse_model(
        f"{head} g (float[1,4,8,8] x) => (float[1,2,16,8] y) {{{body}}}"
    )
    weights = {
        "wa": np.ones((4, 4, 1, 1), np.float32),
        "wb": np.ones((2, 2, 1, 1), np.float32),
        "one": np.array(1),
        "two": np.array(2),
        "axis": np.array([0]),
        "first": np.array([1]),
        "last": np.array([-1, 8]),
    }
    for name, value in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, str(folder / "net.onnx"))
    return folder / "net.onnx"


def test_convolutions_behind_a_computed_shape_are_as_dear_as_they_are(tmp_path: Path) -> None:
    """They counted as free, and so were never quantised."""
    path = halves(
        tmp_path,
        """s = Shape (c) \n n = Gather (s, one) \n h = Div (n, two) \n i = Unsqueeze (h, axis)
           t = Concat <axis = 0> (first, i, last) \n d = Reshape (c, t)""",
    )
    assert [node.macs for node in onnx_nodes(load_shaped(path), set()) if node.macs] == [
        8 * 8 * 4 * 4,
        16 * 8 * 2 * 2,
        16 * 8 * 2 * 2,
    ]


def test_a_convolution_that_reads_an_output_of_open_shape_is_as_dear_as_it_is(
    tmp_path: Path,
) -> None:
    """As exporters declare the state of a recurrent net, which its last convolution reads."""
    import onnx

    path = halves(
        tmp_path,
        """s = Shape (c) \n n = Gather (s, one) \n h = Div (n, two) \n i = Unsqueeze (h, axis)
           t = Concat <axis = 0> (first, i, last) \n d = Reshape (c, t)""",
    )
    model = onnx.load(str(path))
    kind = onnx.TensorProto.FLOAT
    for name in ("d", "e"):
        dims = ["N", f"channels of {name}", "height", "width"]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, dims))
    onnx.save(model, str(path))
    assert [node.macs for node in onnx_nodes(load_shaped(path), set()) if node.macs] == [
        8 * 8 * 4 * 4,
        16 * 8 * 2 * 2,
        16 * 8 * 2 * 2,
    ]


def test_a_convolution_whose_cost_nobody_can_tell_is_refused_unless_it_stays_in_float(
    tmp_path: Path,
) -> None:
    path = halves(tmp_path, "d = com.microsoft.Gelu (c)")
    with pytest.raises(BadInput, match=r"shape.*convolution 'e'.*--keep-float e"):
        has_convolutions(path)
    assert has_convolutions(path, ["e", "y"])


def test_types_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """As in a file that lists its weights among the inputs, and one of them wrongly."""
    import onnx

    path = halves(tmp_path, "d = Relu (c)")
    model = onnx.load(str(path))
    listed = onnx.helper.make_tensor_value_info("wa", onnx.TensorProto.INT64, [4, 4, 1, 1])
    model.graph.input.append(listed)
    onnx.save(model, str(path))
    with pytest.raises(BadInput, match="contradict each other"):
        load_shaped(path)


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'true'\ntR.", b"\x08\x07\xff"])
def test_a_damaged_graph_is_told(content: bytes, tmp_path: Path) -> None:
    """As one may lie in the artifact store, put there with the hash that it has."""
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"net\.onnx"):
        has_convolutions(path)
