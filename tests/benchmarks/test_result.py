from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.machine.circumstances import Validity
from edgeanim.benchmarks.results.result import (
    Failure,
    Report,
    dump_report,
    load_report,
    parse_report,
    save_report,
)
from edgeanim.benchmarks.schema import report_schema, schema_text
from edgeanim.core.errors import BadInput, DeviceFailed
from tests.benchmarks.synthetic import FAILED, build_report

jsonschema = pytest.importorskip("jsonschema")

PLAIN: dict[str, Any] = json.loads(dump_report(build_report()))
VALIDATOR = jsonschema.Draft202012Validator(report_schema())


@pytest.fixture(scope="module")
def validator() -> Any:
    text = resources.files("edgeanim.benchmarks").joinpath("report.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_that_of_the_dataclasses() -> None:
    text = resources.files("edgeanim.benchmarks").joinpath("report.schema.json").read_text()
    assert text == schema_text()
    assert json.loads(text) == report_schema()


@pytest.mark.parametrize("report", [build_report(), build_report(failure=FAILED, reasons=("x",))])
def test_reports_match_the_published_schema(validator: Any, report: Report) -> None:
    validator.validate(json.loads(dump_report(report)))
    assert parse_report(dump_report(report), where="text") == report


def test_a_report_survives_the_disk(tmp_path: Path) -> None:
    report = build_report()
    path = tmp_path / "report.json"
    save_report(path, report)
    assert load_report(path) == report
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("duration", [float("nan"), -1.0])
def test_a_report_that_could_not_be_read_again_is_kept_and_said(
    tmp_path: Path, duration: float
) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(DeviceFailed, match=r"report\.refused\.json: .*duration|Out of range"):
        save_report(path, replace(build_report(), duration_s=duration))
    (kept,) = tmp_path.iterdir()
    assert kept.name == "report.refused.json"
    assert len(json.loads(kept.read_text())["variants"]) == len(build_report().variants)


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value in a JSON document."""
    if path:
        yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:2])
    for key, item in items:
        yield from _places(item, (*path, key))


PLACES = sorted(_places(PLAIN), key=str)


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), st.sampled_from(["remove", "retype", "add"]))
def test_schema_and_loader_refuse_the_same_damage(path: tuple[str | int, ...], how: str) -> None:
    document = copy.deepcopy(PLAIN)
    parent = _at(document, path[:-1])
    value = parent[path[-1]]
    if how == "remove" and isinstance(parent, dict):
        del parent[path[-1]]
    elif how == "add" and isinstance(value, dict):
        value["surprise"] = {}
    else:
        parent[path[-1]] = "x" if isinstance(value, list) else []
    valid = VALIDATOR.is_valid(document)
    try:
        parse_report(json.dumps(document), where="text")
        read = True
    except BadInput:
        read = False
    # A table with free names may lose one; nothing else may be missing, added or of another type.
    assert valid == read
    if how == "retype":
        assert not valid


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "edgeanim.report/2"),
        (("model", "digest"), "abc"),
        (("created",), "yesterday"),
        (("variants", 0, "precision"), "int4"),
        (("variants", 0, "drift", "ssim_mean"), 1.5),
        (("variants", 0, "latency", "p50_ms"), -1.0),
        (("variants", 0, "samples", 1, "blocks_ms", 2, 3), -1.0),
        (("variants", 0, "drift", "ssim", 2), 1.5),
        (("variants", 0, "executed", "int8_share"), 1.1),
        (("variants", 0, "memory", "peak_rss_mb"), 1e300),
        (("variants", 0, "stages", "tiny", "p50_ms"), 1.7e308),
        (("settings", "threads"), 0),
        (("settings", "rounds"), 1.5),
    ],
)
def test_impossible_figures_are_refused(
    validator: Any, path: tuple[str | int, ...], value: object
) -> None:
    document = copy.deepcopy(PLAIN)
    _at(document, path[:-1])[path[-1]] = value
    assert not validator.is_valid(document)
    with pytest.raises(BadInput):
        parse_report(json.dumps(document), where="text")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("created",), "2025-02-30T10:00:00Z"),
        (("created",), "2025-06-01T10:00:00Z\n"),
        (("model", "digest"), "0" * 64 + "\n"),
    ],
)
def test_what_is_no_date_or_digest_in_spite_of_its_form_is_refused(
    path: tuple[str, ...], value: str
) -> None:
    document = copy.deepcopy(PLAIN)
    _at(document, path[:-1])[path[-1]] = value
    with pytest.raises(BadInput, match=rf"text \[{'.'.join(path)}\]"):
        parse_report(json.dumps(document), where="text")


@pytest.mark.parametrize("times", [[], [[]], [[0.0, 1.0]]])
def test_a_latency_without_samples_above_zero_is_refused(times: list[list[float]]) -> None:
    """Comparing draws from the samples: without them it cannot be done."""
    document = copy.deepcopy(PLAIN)
    for process in document["variants"][1]["samples"]:
        process["blocks_ms"] = times
    with pytest.raises(BadInput, match=r"text \[variants\[1\]\.samples\]: .*needs the samples"):
        parse_report(json.dumps(document), where="text")


def test_a_report_of_nothing_is_refused_for_every_gate_would_pass() -> None:
    with pytest.raises(BadInput, match="no variant"):
        parse_report(json.dumps(PLAIN | {"variants": []}), where="text")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"schema": 1}', "\x00", "[" * 100_000])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BadInput):
        load_report(path)


@pytest.mark.parametrize("data", [b"PK\x03\x04\xff", b"name = 'net'", None])
def test_who_gives_something_else_for_a_report_is_told_what_writes_one(
    tmp_path: Path, data: bytes | None
) -> None:
    path = tmp_path / "net.eab"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInput, match=r"edgeanim bench -o report\.json"):
        load_report(path)


def test_what_was_found_on_an_emulated_processor_is_told_to_have_no_times() -> None:
    text = json.dumps({"schema": "edgeanim.emulation/1"})
    with pytest.raises(BadInput, match=r"emulated processor, without times.*--on ssh://"):
        parse_report(text, where="text")


def test_nan_is_refused_both_ways() -> None:
    text = dump_report(build_report()).replace('"duration_s": 12.0', '"duration_s": NaN')
    with pytest.raises(BadInput, match="NaN"):
        parse_report(text, where="text")


def test_two_variants_of_one_name_are_refused() -> None:
    document = copy.deepcopy(PLAIN)
    document["variants"].append(document["variants"][0])
    with pytest.raises(BadInput, match="same id"):
        parse_report(json.dumps(document), where="text")


def test_an_invalid_run_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reasons"):
        Validity(False, ())
    with pytest.raises(ValueError, match="reasons"):
        Validity(True, ("hot",))


def test_the_exit_code_is_that_of_the_failures() -> None:
    assert build_report().exit_code == 0
    assert build_report(failure=FAILED).exit_code == 5
    assert build_report(failure=Failure("MissingComponent", 4, "x")).exit_code == 4
