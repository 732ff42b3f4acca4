"""Between which values pictures lie: what a file says of them, and what its ops tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.reading.infer import infer_contract

ENDS = ("float[1,3,16,16] x", "float[1,3,16,16] y")
UNIT, SIGNED, BYTES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)


def per_channel(*values: float) -> Any:
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


NUMBERS = {
    "half": np.array(0.5, np.float32),
    "two": np.array(2, np.float32),
    "one": np.array(1, np.float32),
    "most": np.array([255], np.float32),
    "middle": np.array(127.5, np.float32),
    "part": np.array(1 / 255, np.float32),
    "mean": per_channel(0.485, 0.456, 0.406),
    "deviation": per_channel(0.229, 0.224, 0.225),
    "mean_of_bytes": per_channel(123.675, 116.28, 103.53),
    "deviation_of_bytes": per_channel(58.395, 57.12, 57.375),
    "odd": np.array(0.07, np.float32),
    "zero": np.array(0, np.float32),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "w": np.random.default_rng(0).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float32),
}
NET = "c = Conv <pads = [1, 1, 1, 1]> (n, w)"


def ranges(model: Any, save: Any) -> tuple[Any, Any]:
    (spec,) = infer_contract(save(model)).graphs
    return spec.inputs[0].range, spec.outputs[0].range


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("n = Div (x, most)", BYTES),
        ("n = Mul (part, x)", BYTES),
        ("a = Div (x, middle) \n n = Sub (a, one)", BYTES),
        ("a = Sub (x, middle) \n n = Div (a, middle)", BYTES),
        ("a = Sub (x, mean_of_bytes) \n n = Div (a, deviation_of_bytes)", BYTES),
        ("a = Div (x, most) \n b = Sub (a, mean) \n n = Div (b, deviation)", BYTES),
        ("n = Sub (x, mean_of_bytes)", BYTES),
        ("a = Sub (x, mean) \n n = Div (a, deviation)", UNIT),
        ("a = Mul (x, two) \n n = Sub (a, one)", UNIT),
        ("a = Mul (x, most) \n n = Sub (a, mean_of_bytes)", UNIT),
        ("n = Mul (x, most)", UNIT),
        ("n = Sub (x, half)", UNIT),
        ("a = Add (x, one) \n n = Div (a, two)", SIGNED),
        ("a = Mul (x, half) \n b = Identity (a) \n n = Add (half, b)", SIGNED),
        # What says nothing leaves it to the output, here of a Tanh.
        ("n = Identity (x)", SIGNED),
        ("n = Mul (x, odd)", SIGNED),
        ("n = Mul (x, zero)", SIGNED),
        ("n = Mul (x, x)", SIGNED),
        ("n = Sub (half, x)", SIGNED),
        ("n = Mul (x, two)", SIGNED),
        ("a = Div (x, most) \n n = Add (a, x)", SIGNED),
    ],
)
def test_what_a_net_normalises_by_tells_what_it_is_given(
    graph: Any, save: Any, first: str, expected: tuple[float, float]
) -> None:
    model = graph(*ENDS, f"{first} \n {NET} \n y = Tanh (c)", NUMBERS)
    assert ranges(model, save) == (expected, SIGNED)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("y = Mul (c, most)", BYTES),
        ("a = Add (c, one) \n y = Mul (middle, a)", BYTES),
        ("a = Mul (c, deviation_of_bytes) \n y = Add (a, mean_of_bytes)", BYTES),
        ("a = Mul (two, c) \n y = Sub (a, one)", SIGNED),
        ("a = Mul (c, deviation) \n y = Add (a, mean)", UNIT),
        ("a = Mul (c, half) \n y = Add (a, half)", UNIT),
        ("y = Relu (c)", UNIT),
        # What is bounded is so, whatever comes after.
        ("a = Sigmoid (c) \n y = Mul (a, middle)", (0.0, 127.5)),
    ],
)
def test_what_a_net_ends_with_tells_what_it_paints(
    graph: Any, save: Any, last: str, expected: tuple[float, float]
) -> None:
    """Where nothing bounds it, and nothing says what the net is given."""
    model = graph(*ENDS, f"n = Identity (x) \n {NET} \n {last}", NUMBERS)
    assert ranges(model, save) == (expected, expected)


MATTE = "m = Sigmoid (c) \n r = Sub (one, m)"


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("p = Tanh (c) \n a = Mul (p, m) \n b = Mul (r, x) \n y = Add (a, b)", SIGNED),
        ("p = Tanh (c) \n a = Mul (m, x) \n b = Mul (p, r) \n y = Add (b, a)", SIGNED),
        (
            "p = Tanh (c) \n s = GridSample (x, g) \n a = Mul (p, m) \n b = Mul (s, r) \n"
            "y = Add (a, b)",
            SIGNED,
        ),
        ("p = Sigmoid (c) \n a = Mul (p, m) \n b = Mul (x, r) \n y = Add (a, b)", UNIT),
        # Blended with anything else, or by anything else, it can be anything.
        ("p = Tanh (c) \n a = Mul (p, m) \n b = Mul (c, r) \n y = Add (a, b)", UNIT),
        ("p = Tanh (c) \n a = Mul (p, m) \n b = Mul (x, c) \n y = Add (a, b)", UNIT),
    ],
)
def test_what_is_blended_with_an_input_tells_where_both_lie(
    graph: Any, save: Any, last: str, expected: tuple[float, float]
) -> None:
    """As what morphs a face paints some of it and warps the rest: it was given 0..1 for -1..1."""
    numbers = {**NUMBERS, "g": np.zeros((1, 16, 16, 2), np.float32)}
    model = graph(*ENDS, f"n = Identity (x) \n {NET} \n {MATTE} \n {last}", numbers)
    assert ranges(model, save) == (expected, expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("NominalRange_0_255", BYTES),
        ("normalized_0_1", UNIT),
        ("Normalized_1_1", SIGNED),
        ("NominalRange_16_235", (16.0, 235.0)),
        ("as bright as day", UNIT),
    ],
)
def test_what_a_file_says_of_its_pictures_holds(
    graph: Any, save: Any, said: str, expected: tuple[float, float]
) -> None:
    model = graph(*ENDS, f"n = Identity (x) \n {NET} \n y = Relu (c)", NUMBERS)
    model.metadata_props.add(key="Image.NominalPixelRange", value=said)
    assert ranges(model, save) == (UNIT, UNIT)  # of none of its tensors is it said
    for value in (*model.graph.input, *model.graph.output):
        value.type.denotation = "IMAGE"
    assert ranges(model, save) == (expected, expected)


def test_a_row_of_ops_without_end_says_nothing(graph: Any, save: Any) -> None:
    links = [f"t{n + 1} = Identity (t{n})" for n in range(3000)]
    body = " \n ".join(["t0 = Identity (x)", *links, "y = Relu (t3000)"])
    assert ranges(graph(*ENDS, body), save) == (UNIT, UNIT)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Sigmoid (x)", (0.0, 1.0)),
        ("y = Tanh (x)", (-1.0, 1.0)),
        ("t = Tanh (x) \n h = Mul (half, t) \n y = Add (h, half)", (0.0, 1.0)),
        ("t = Tanh (x) \n y = Mul (t, byte)", (-127.5, 127.5)),
        ("y = Clip (x, half, byte)", (0.5, 127.5)),
        ("y = Relu (x)", (0.0, 1.0)),
    ],
)
def test_ranges_follow_from_the_last_ops(
    graph: Any, save: Any, body: str, expected: tuple[float, float]
) -> None:
    numbers = {"half": np.array(0.5, np.float32), "byte": np.array(127.5, np.float32)}
    contract = infer_contract(save(graph(*ENDS, body, numbers)))
    assert contract.graphs[0].outputs[0].range == expected
    assert contract.graphs[0].inputs[0].range == expected


def test_a_chain_of_ops_without_end_says_nothing_of_the_range(graph: Any, save: Any) -> None:
    links = [f"t{n + 1} = Identity (t{n})" for n in range(3000)]
    body = " \n ".join(["t0 = Tanh (x)", *links, "y = Identity (t3000)"])
    assert infer_contract(save(graph(*ENDS, body))).graphs[0].outputs[0].range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("min = -1.0, max = 1.0", (-1.0, 1.0)), ("max = 1.0", (0.0, 1.0))],
)
def test_limits_that_old_opsets_give_as_attributes_are_a_range_too(
    graph: Any, save: Any, limits: str, expected: tuple[float, float]
) -> None:
    model = graph(*ENDS, f"y = Clip <{limits}> (x)", opset=10)
    assert infer_contract(save(model)).graphs[0].outputs[0].range == expected


@pytest.mark.parametrize(
    ("limits", "clipped", "expected"),
    [
        ("low = Cast <to = 1> (one)", "Clip (x, low, many)", (1.0, 255.0)),
        ("low = Constant <value_float = -1.0> ()", "Clip (x, low, many)", (-1.0, 255.0)),
        ("low = Identity (half) \n high = Sub (many, low)", "Clip (x, low, high)", (0.5, 254.5)),
        ("i = Identity (half) \n n = Neg (i)", "Clip (x, n, half)", (-0.5, 0.5)),
        ("most = Constant <value_float = 3.4028235e38> ()", "Clip (x, zero, most)", (0.0, 1.0)),
        ("low = ReduceMin <keepdims = 0> (x)", "Clip (x, low, many)", (0.0, 1.0)),
        ("i = Identity (half) \n s = Clip (x, zero, half)", "Div (s, i)", (0.0, 1.0)),
        ("low = Max (x, zero)", "Min (many, low)", (0.0, 255.0)),
        ("high = Min (x, many)", "Max (high, half)", (0.5, 255.0)),
        ("low = Max (x, zero)", "Min (low, x)", (0.0, 1.0)),
    ],
)
def test_limits_that_are_computed_from_constants_are_a_range_too(
    graph: Any, save: Any, limits: str, clipped: str, expected: tuple[float, float]
) -> None:
    """As exporters write them that convert a limit's type, or that have no Clip."""
    numbers = {
        name: np.array(value, kind)
        for name, value, kind in (
            ("zero", 0, np.float32), ("half", 0.5, np.float32), ("many", 255, np.float32),
            ("one", 1, np.int64),
        )
    }  # fmt: skip
    model = graph(*ENDS, f"{limits} \n y = {clipped}", numbers)
    assert infer_contract(save(model)).graphs[0].outputs[0].range == expected
