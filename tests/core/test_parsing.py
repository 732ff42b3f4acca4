from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.core.parsing import load_json, load_toml, parse, parse_json, to_plain
from edgeanim.core.recipe import Gates, PruneSpec, QuantizeSpec, Recipe


@dataclass(frozen=True)
class Inner:
    size: int
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float = 0.5
    flag: bool = False
    pair: tuple[int, float] = (1, 2.0)
    inners: tuple[Inner, ...] = ()
    table: Mapping[str, Inner] = field(default_factory=dict)
    maybe: int | None = None


def test_a_full_document_becomes_dataclasses() -> None:
    data = {
        "name": "x",
        "ratio": 1,
        "flag": True,
        "pair": [3, 4],
        "inners": [{"size": 1}, {"size": 2, "kind": "b"}],
        "table": {"k": {"size": 5}},
        "maybe": 7,
    }
    expected = Outer("x", 1.0, True, (3, 4.0), (Inner(1), Inner(2, "b")), {"k": Inner(5)}, 7)
    assert parse(Outer, data, where="doc") == expected


@dataclass(frozen=True)
class Measured:
    times: tuple[float, ...] = ()
    readings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Counted:
    numbers: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "key"), [({"counts": {"a": 1.0}}, "counts.a"), ({"numbers": [1.0]}, "numbers[0]")]
)
def test_whole_numbers_are_not_taken_for_figures(data: dict[str, object], key: str) -> None:
    assert parse(Counted, {"counts": {"a": 1}, "numbers": [1]}, where="doc") == Counted(
        (1,), {"a": 1}
    )
    with pytest.raises(BadInput, match="whole number") as caught:
        parse(Counted, data, where="doc")
    assert caught.value.where == f"doc [{key}]"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (True, "a number is needed here, not true or false"),
        ("1", "a number is needed here, not a text"),
        (None, "a number is needed here, not nothing"),
        (math.inf, "A finite number"),
        (1 << 80, "too large"),
    ],
)
def test_of_many_figures_the_wrong_one_is_named(bad: object, says: str) -> None:
    times, readings = [1.0] * 100, dict.fromkeys("abc", 1.0)
    assert parse(Measured, {"times": [1, 2.5], "readings": {"a": 3}}, where="doc") == Measured(
        (1.0, 2.5), {"a": 3.0}
    )
    with pytest.raises(BadInput, match=says) as caught:
        parse(Measured, {"times": [*times, bad]}, where="doc")
    assert caught.value.where == "doc [times[100]]"
    with pytest.raises(BadInput, match=says) as caught:
        parse(Measured, {"readings": readings | {"d": bad}}, where="doc")
    assert caught.value.where == "doc [readings.d]"


def test_many_figures_are_taken_in_less_time_than_their_text() -> None:
    values = [0.1 * i for i in range(200_000)]
    text = json.dumps({"times": values})
    began = process_time()
    data = json.loads(text)
    read = process_time() - began
    began = process_time()
    assert parse(Measured, data, where="doc").times == tuple(values)
    assert process_time() - began < 3 * read


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nam": "x"}, "Unknown key 'nam'. Did you mean 'name'?"),
        ({}, "The key 'name' is missing."),
        ({"name": 3}, "doc [name]: a text is needed here, not a whole number."),
        ({"name": "x", "flag": 1}, "doc [flag]"),
        ({"name": "x", "maybe": True}, "doc [maybe]"),
        ({"name": "x", "ratio": "1"}, "doc [ratio]"),
        ({"name": "x", "ratio": float("nan")}, "finite"),
        ({"name": "x", "ratio": 10**400}, "doc [ratio]: this number is too large"),
        ({"name": "x", "maybe": -(10**19)}, "doc [maybe]: this number is too large"),
        ({"name": "x", "inners": [{"size": 1, "kind": "c"}]}, "doc [inners[0].kind]"),
        ({"name": "x", "inners": [{"size": 1}, {"siz": 2}]}, "doc [inners[1]]"),
        ({"name": "x", "inners": {"size": 1}}, "A list is needed"),
        ({"name": "x", "pair": [1]}, "A list of 2"),
        ({"name": "x", "table": {"k": {}}}, "doc [table.k]"),
        ([], "A table is needed here, not a list."),
        (None, "A table is needed here, not nothing."),
    ],
)
def test_what_is_wrong_and_where(data: object, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(Outer, data, where="doc")
    assert message.lower() in str(caught.value).lower()


def test_a_value_error_of_a_spec_is_a_bad_input_of_that_place() -> None:
    with pytest.raises(BadInput, match=r"^recipe \[prune\]: `ratio` must lie .* 0\.9[^.]*\.$"):
        parse(Recipe, {"prune": {"ratio": 0.95}}, where="recipe")


def test_a_gate_that_nothing_would_check_is_refused() -> None:
    with pytest.raises(BadInput, match="parity"):
        parse(Recipe, {"gates": {"parity": 1e-3}}, where="recipe")


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("name", ["ratio", "latency_ms", "learning_rate"])
def test_a_spec_made_by_hand_takes_no_other_numbers_than_a_recipe(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must"):
        PruneSpec(**{name: wrong})


recipes = st.builds(
    Recipe,
    prune=st.builds(PruneSpec, ratio=st.floats(0, 0.9), round_to=st.integers(1, 64)),
    quantize=st.builds(
        QuantizeSpec,
        ranges=st.sampled_from(["minmax", "percentile"]),
        samples=st.integers(2, 500),
        keep_float=st.lists(st.text(), max_size=3).map(tuple),
    ),
    gates=st.builds(Gates, max_drift=st.floats(0, 1)),
)


@given(recipes)
def test_plain_data_round_trip(recipe: Recipe) -> None:
    plain = json.loads(json.dumps(to_plain(recipe)))
    assert parse(Recipe, plain, where="x") == recipe


@dataclass(frozen=True)
class Played:
    """What is told of a run: nothing was measured, or nothing is to be said."""

    frames: int
    ms: float | None
    note: str | None = None


@given(st.builds(Played, st.integers(0, 9), st.none() | st.floats(0, 1), st.none() | st.text()))
def test_what_is_not_known_is_not_known_when_it_is_read_again(played: Played) -> None:
    plain = to_plain([played])
    assert parse(Played, plain[0], where="x") == played
    assert "note" not in plain[0] or played.note is not None  # TOML has nothing for it


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# What belongs there, or anything else.
_inners = st.fixed_dictionaries({"size": st.integers()}) | json_values
_documents = st.fixed_dictionaries(
    {"name": st.text() | json_values},
    optional={
        "ratio": st.floats() | json_values,
        "inners": st.lists(_inners, max_size=3) | json_values,
        "pair": st.tuples(st.integers(), st.floats()).map(list) | json_values,
        "table": st.dictionaries(st.text(), _inners, max_size=3) | json_values,
    },
)


@given(_documents | st.dictionaries(st.text(), json_values))
def test_no_document_does_anything_but_parse_or_bad_input(data: dict[str, object]) -> None:
    try:
        parsed = parse(Outer, data, where="x")
    except BadInput:
        return
    assert isinstance(parsed.name, str)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{a = " * 2000,
        "a = " + "9" * 5000,
    ],
    ids=lambda text: text[:12],
)
def test_toml_beyond_all_bounds_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(BadInput, match="not valid TOML"):
        load_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize("text", ["{}a = 1", "[{}a]", "x = {{b = 1, {}a = 1}}"])
def test_a_key_of_toml_has_no_more_parts_than_memory_bears(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(text.format("a." * 50_000))
    with pytest.raises(BadInput, match="more than 500 dots"):
        load_toml(path)
    path.write_text("x = [" + "0.5,\n" * 5000 + "]")
    assert len(load_toml(path)["x"]) == 5000
    path.write_text("#" * (512 << 10) + "\n")
    with pytest.raises(BadInput, match="larger than 512 KiB"):
        load_toml(path)


def test_what_is_too_deep_or_too_large_is_refused_where_something_is_needed() -> None:
    said = r"needed here|not possible here|too large"
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"size": deep}
    for document in (deep, {"size": 1, "kind": deep}, {"size": 1, "kind": 16**9999}):
        with pytest.raises(BadInput, match=said):
            parse(Inner, document, where="doc")


def test_an_unknown_key_of_any_length_is_told_in_a_line() -> None:
    with pytest.raises(BadInput, match="Unknown key 'sizzzz") as caught:
        parse(Inner, {"si" + "z" * 100_000: 1}, where="doc")
    assert len(str(caught.value)) < 200


@dataclass(frozen=True)
class Untyped:
    notes: Mapping[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 900 + "]" * 900, "nested too deeply"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested too deeply"),
        ("[[1e999]]", "finite number is needed"),
        ('{"a": -1e999}', "finite number is needed"),
        (f"[{10**30}]", "too large"),
    ],
    ids=["lists", "tables", "infinite", "negative", "large"],
)
def test_what_is_taken_as_it_is_can_be_written_again(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=rf"doc \[notes.a\]: .*{said}"):
        parse(Untyped, parse_json(f'{{"notes": {{"a": {text}}}}}', where="doc"), where="doc")
    notes = {"a": [1e300, {"b": None}, "c"], "d": True}
    assert parse(Untyped, {"notes": notes}, where="doc").notes == notes


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"\\ud800": 1}', '["\\udc80"]'])
def test_json_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not valid JSON"):
        parse_json(text, where="doc")
    assert parse_json('"\\ud83d\\ude00"', where="doc") == "\U0001f600"


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "\\u0061": 3}}]'])
def test_a_key_of_json_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="the key 'a' stands twice"):
        parse_json(text, where="doc")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_bytes_a_document_has_it_is_parsed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "document"
    path.write_bytes(content)
    for load in (load_toml, load_json):
        with contextlib.suppress(BadInput):
            load(path)


def test_documents_that_are_not_documents(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not a text file"):
        load_toml(bad)
    bad.write_text("a = ")
    with pytest.raises(BadInput, match="not valid TOML"):
        load_toml(bad)
    bad.write_text('{"a": NaN}')
    with pytest.raises(BadInput, match="NaN"):
        load_json(bad)
    bad.write_text("[" * 100_000)
    with pytest.raises(BadInput, match="not valid JSON"):
        load_json(bad)
    with pytest.raises(BadInput, match="No such file"):
        load_json(tmp_path / "absent")
    with pytest.raises(BadInput, match="folder"):
        load_json(tmp_path)


@pytest.mark.parametrize("schema", [True, 1.0, "1"])
def test_a_word_of_a_list_is_of_its_very_type(schema: object) -> None:
    assert parse(Recipe, {"schema": 1}, where="r").schema == 1
    with pytest.raises(BadInput, match="not possible here"):
        parse(Recipe, {"schema": schema}, where="r")


def test_a_document_may_begin_with_the_mark_that_windows_editors_write(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfsize = 1\n")
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"size": 1}')
    assert load_toml(tmp_path / "a.toml") == load_json(tmp_path / "a.json") == {"size": 1}
