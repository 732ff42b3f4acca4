from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.benchmarks.results.gate import Gate, parse_gate
from edgeanim.core.errors import UsageError

NAMES = ("a", "b.c_ms", "drift.worst")
NAN_FREE = st.floats(-1e6, 1e6)
SIGNS = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}


def _kleene(gate: Gate, values: dict[str, float | None]) -> bool | None:
    return gate.expression.truth(values)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, object]:
    """An expression's text, fully bracketed, and a function that computes it by itself."""
    if depth == 0 or draw(st.booleans()):
        name, sign = draw(st.sampled_from(NAMES)), draw(st.sampled_from(sorted(SIGNS)))
        limit = draw(NAN_FREE)

        def compare(values: dict[str, float | None]) -> bool | None:
            value = values[name]
            return None if value is None else SIGNS[sign](value, float(limit))

        return f"{name} {sign} {limit!r}", compare
    if draw(st.booleans()):
        text, inner = draw(expressions(depth=depth - 1))
        return f"not ({text})", lambda v: None if inner(v) is None else not inner(v)  # type: ignore[operator]
    word = draw(st.sampled_from(["and", "or"]))
    (left_text, left), (right_text, right) = (draw(expressions(depth=depth - 1)) for _ in "ab")

    def join(values: dict[str, float | None]) -> bool | None:
        found = {left(values), right(values)}  # type: ignore[operator]
        decisive = word == "or"
        return decisive if decisive in found else None if None in found else not decisive

    return f"({left_text}) {word} ({right_text})", join


@given(expressions(), st.fixed_dictionaries({name: st.none() | NAN_FREE for name in NAMES}))
def test_expressions_mean_what_they_say(
    expression: tuple[str, object], values: dict[str, float | None]
) -> None:
    text, expected = expression
    assert _kleene(parse_gate(text), values) == expected(values)  # type: ignore[operator]


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_in_words(text: str) -> None:
    with suppress(UsageError):
        assert isinstance(parse_gate(text), Gate)


@given(st.lists(st.sampled_from([*"()<>=!.'a1 ", "and ", "or ", "not ", "== "]), max_size=25))
def test_any_row_of_tokens_is_parsed_or_refused(tokens: list[str]) -> None:
    with suppress(UsageError):
        assert isinstance(parse_gate("".join(tokens)), Gate)


def test_and_binds_tighter_than_or() -> None:
    gate = parse_gate("a > 0 or a > 0 and b.c_ms > 0")
    assert _kleene(gate, {"a": 1.0, "b.c_ms": -1.0}) is True
    assert _kleene(parse_gate("(a > 0 or a > 0) and b.c_ms > 0"), {"a": 1.0, "b.c_ms": -1}) is False


@pytest.mark.parametrize("number", ["1", "-1.5", "+.5", "2e3", "1E-2"])
def test_numbers_are_read(number: str) -> None:
    assert _kleene(parse_gate(f"a == {number}"), {"a": float(number)}) is True


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "At its end"),
        ("latency.p90_ms", "At its end"),
        ("a > ", "At its end"),
        ("a > 1 b", "At 'b'"),
        ("(a > 1", "At its end"),
        ("a > 1)", "At ')'"),
        ("a > 1 and and a > 1", "At 'and a > 1'"),
        ("a = 1", "At '= 1'"),
        ("a > 12x", "At '12x'"),
        ("a > 1e999", "At '1e999': this number is too large"),
        ("-1e999 < a", "At '-1e999 < a'"),
        ("__import__('os')", "At \"('os')\""),
    ],
)
def test_an_error_shows_its_place(text: str, place: str) -> None:
    with pytest.raises(UsageError, match=re.escape(place)):
        parse_gate(text)


@pytest.mark.parametrize("text", ["(" * 500 + "a > 1" + ")" * 500, "a > 1 or " * 500 + "a > 1"])
def test_what_is_too_deep_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gate(text)


@given(st.sampled_from([*SIGNS, "==", "!="]), NAN_FREE, st.sampled_from([None, -1e300, 0.0, 1e300]))
def test_a_comparison_means_the_same_from_either_side(
    sign: str, limit: float, value: float | None
) -> None:
    turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(sign, sign)
    one, other = parse_gate(f"a {sign} {limit!r}"), parse_gate(f"{limit!r} {turned} a")
    assert _kleene(one, {"a": value}) == _kleene(other, {"a": value})


@pytest.mark.parametrize("text", ["name > 1", "a > 'x'", "name > 'x'"])
def test_text_and_numbers_are_not_ordered(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--fail-on .*cannot be compared"):
        parse_gate(text).failure({"a": 1.0, "name": "x"})


def test_a_passing_gate_gives_no_reason_and_a_failing_one_its_figures() -> None:
    gate = parse_gate("a > 2 or b.c_ms > 2")
    assert gate.failure({"a": 1.0, "b.c_ms": 1.0}) is None
    assert gate.failure({"a": 3.0, "b.c_ms": None}) == "a is 3, b.c_ms is not measured"
    both = str(gate.failure({"a": None, "b.c_ms": None}))
    assert "a and b.c_ms were not measured" in both
    assert "b.c_ms was not measured" in str(gate.failure({"a": 1.0, "b.c_ms": None}))


@pytest.mark.parametrize("text", ["'a' > 50", "a > 1 or 'backend' == 'tflite'", "not 1 < 2"])
def test_a_comparison_of_no_figure_is_refused(text: str) -> None:
    """The quotes that a shell is used to make a text of a name, which is equal to nothing."""
    with pytest.raises(UsageError, match="without quotes"):
        parse_gate(text)
