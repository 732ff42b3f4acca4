"""Options that several commands share."""

import importlib
from pathlib import Path

import click
import cv2
import pytest
from click.testing import CliRunner

from edgeanim import api
from edgeanim.benchmarks.result import parse_report
from edgeanim.cli.common import Number, print_json
from edgeanim.cli.main import COMMANDS
from edgeanim.core.errors import BadInput, UsageError
from tests.benchmarks.synthetic import build_report


@pytest.mark.parametrize(
    ("name", "function", "option"),
    [
        ("quantize", "quantize", "--calib"),
        ("prune", "prune", "--calib"),
        ("optimize", "optimize", "--calib"),
        ("compile", "compile", "--frames"),
        ("bench", "bench_on", "--frames"),
    ],
)
def test_frames_that_are_not_there_are_told_before_any_work(
    name: str, function: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr(api, function, work, raising=False)
    command = importlib.import_module(f"edgeanim.cli.{name}").command
    gone = tmp_path / "gone"
    result = CliRunner().invoke(command, ["shipped", option, str(gone), "-o", str(tmp_path / "x")])
    assert isinstance(result.exception, BadInput)
    assert str(result.exception) == f"{gone}: No such file or folder."
    result = CliRunner().invoke(
        command, ["shipped", option, str(tmp_path), "-o", str(tmp_path / "x")]
    )
    assert isinstance(result.exception, AssertionError)


@pytest.mark.parametrize("asked", [(), ("--threads", "3")])
def test_threads_count_for_what_animate_warps_too(
    asked: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cv2.getNumThreads()
    seen = []

    def work(*_: object, **__: object) -> None:
        seen.append(cv2.getNumThreads())
        raise BadInput("That is enough.")

    monkeypatch.setattr(api, "animate", work, raising=False)
    command = importlib.import_module("edgeanim.cli.animate").command
    (tmp_path / "a.eab").touch()
    CliRunner().invoke(command, [str(tmp_path / "a.eab"), "--drive", "wave", "-o", "a.gif", *asked])
    assert seen == [int(asked[1]) if asked else before]
    assert cv2.getNumThreads() == before


def options_of(command: click.Command) -> list[click.Parameter]:
    """All options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [*command.params, *(option for each in below for option in options_of(each))]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_nan_or_infinity(name: str) -> None:
    command = importlib.import_module(f"edgeanim.cli.{name}").command
    for option in options_of(command):
        if isinstance(option.type, (click.types.FloatParamType, click.FloatRange)):
            assert isinstance(option.type, Number), option.name
            for text in ("nan", "inf", "-inf"):
                with pytest.raises(click.BadParameter):
                    option.type.convert(text, option, None)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_a_number_that_nothing_can_count_to(name: str) -> None:
    command = importlib.import_module(f"edgeanim.cli.{name}").command
    for option in options_of(command):
        if isinstance(option.type, (click.types.IntParamType, click.IntRange)):
            with pytest.raises(click.BadParameter):
                option.type.convert("9" * 20, option, None)


def test_no_weights_to_start_from_are_not_those_that_ship(tmp_path: Path) -> None:
    """As of a variable of the shell that is not set: eleven minutes of a training of another."""
    command = importlib.import_module("edgeanim.cli.train").command
    given = ["--clips", str(tmp_path), "--from", "", "-o", str(tmp_path / "x")]
    result = CliRunner().invoke(command, given)
    assert (result.exit_code, "The name is empty" in result.output) == (2, True)


@pytest.mark.parametrize("names", ["", ","])
def test_no_names_are_not_all_of_them(names: str) -> None:
    command = importlib.import_module("edgeanim.cli.evaluate").command
    result = CliRunner().invoke(command, ["--names", names])
    assert isinstance(result.exception, UsageError)


def test_options_that_contradict_each_other_are_a_matter_of_usage(tmp_path: Path) -> None:
    command = importlib.import_module("edgeanim.cli.prune").command
    given = ["shipped", "--ratio", "0.3", "--max-latency", "5ms", "-o", str(tmp_path / "x")]
    assert isinstance(CliRunner().invoke(command, given).exception, UsageError)


def test_a_report_that_is_printed_can_be_read_as_one(capsys: pytest.CaptureFixture) -> None:
    report = build_report()
    assert None in (report.model.bundle, *(v.memory and v.memory.uss_mb for v in report.variants))
    print_json(report)
    assert parse_report(capsys.readouterr().out, where="stdout") == report
