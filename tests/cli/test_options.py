"""Options that several commands share."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from PIL import Image

from edgeanim import api
from edgeanim.benchmarks.results.result import parse_report
from edgeanim.cli.main import COMMANDS, cli
from edgeanim.cli.options import NAME, PATH, Number, _only_one
from edgeanim.cli.output import print_json
from edgeanim.core.errors import BadInput, UsageError
from tests.benchmarks.synthetic import build_report
from tests.cli.called import fails

SMALL = Path(__file__).parents[1] / "benchmarks" / "small.eab"


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


def options_with(name: str, *types: type[click.ParamType]) -> list[click.Parameter]:
    """The options of a command that take values of one of these types."""
    command = importlib.import_module(f"edgeanim.cli.{name}").command
    return [option for option in options_of(command) if isinstance(option.type, types)]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_nan_or_infinity(name: str, text: str) -> None:
    for option in options_with(name, click.types.FloatParamType, click.FloatRange):
        assert isinstance(option.type, Number), option.name
        with pytest.raises(click.BadParameter):
            option.type.convert(text, option, None)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_a_number_that_nothing_can_count_to(name: str) -> None:
    for option in options_with(name, click.types.IntParamType, click.IntRange):
        with pytest.raises(click.BadParameter):
            option.type.convert("9" * 20, option, None)


def test_further_stills_are_asked_for_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "frame.png")
    played = "animate", SMALL, "--drive", tmp_path / "frame.png", "-o", tmp_path / "out.gif"
    fails(2, *played, "--more-stills", tmp_path, says="Leave out --more-stills")
    fails(2, "evaluate", SMALL, "--more-stills", tmp_path, says="--more-stills: They show the")


def test_no_weights_to_start_from_are_not_those_that_ship(tmp_path: Path) -> None:
    """As of a variable of the shell that is not set: eleven minutes of a training of another."""
    command = importlib.import_module("edgeanim.cli.train").command
    given = ["--clips", str(tmp_path), "--from", "", "-o", str(tmp_path / "x")]
    result = CliRunner().invoke(command, given)
    assert (result.exit_code, "The name is empty" in result.output) == (2, True)


@pytest.mark.parametrize("kind", [PATH, NAME])
def test_what_may_not_be_read_is_left_to_who_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: click.Path
) -> None:
    """Whose code is 3, as for what is missing or damaged; what is only written need not be read."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert str(kind.convert(str(tmp_path), None, None)) == str(tmp_path)


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


def _commands(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from _commands(inner)
    else:
        yield command


def _options(command: click.Command) -> dict[str, click.Option]:
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {max(option.opts, key=len): option for option in options}


def test_what_some_command_takes_several_times_no_other_takes_the_last_of() -> None:
    """`bench --board a --board b` benched for `b` alone, as if `a` had not been said."""
    commands = list(_commands(cli))
    several = {name for c in commands for name, option in _options(c).items() if option.multiple}
    assert {"--board", "--variant", "--backend"} <= several
    last_of = [(c.name, n) for c in commands for n, o in _options(c).items() if not o.multiple]
    assert not [(command, name) for command, name in last_of if name in several]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("bench", ("--board", "raspberry-pi-4", "--board", "raspberry-pi-5")),
        ("animate", ("--drive", "wave", "-o", "x.gif", "--threads", "1", "--threads", "2")),
        ("evaluate", ("--variant", "openvino-int8", "--variant", "tflite-int8")),
    ],
)
def test_of_what_is_given_twice_neither_is_passed_over(name: str, args: tuple[str, ...]) -> None:
    command = importlib.import_module(f"edgeanim.cli.{name}").command
    result = CliRunner().invoke(command, ["shipped", *args])
    assert result.exit_code == 2
    assert (
        f"{args[-2]}': only one is taken here, not '{args[-3]}' and '{args[-1]}'" in result.output
    )


@pytest.mark.parametrize("command", ["animate", "bench", "quantize"])
def test_of_an_input_given_two_files_neither_is_passed_over(command: str, tmp_path: Path) -> None:
    """The last one won without a word."""
    rest = {"animate": ("-o", tmp_path / "x.gif"), "quantize": ("-o", tmp_path / "x")}
    twice = ("--input", "style=a.npy", "--input", "style=b.npy")
    args = (tmp_path / "gone.eab", *rest.get(command, ()), *twice)
    fails(2, command, *args, says="--input: 'style' is given as 'a.npy' and as 'b.npy'.")


def test_the_help_says_of_what_may_be_repeated_that_it_may() -> None:
    several = [(c.name, n, o) for c in _commands(cli) for n, o in _options(c).items() if o.multiple]
    unsaid = [
        (command, name)
        for command, name, option in several
        if option.callback is not _only_one and "may be repeated" not in (option.help or "")
    ]
    assert len(several) > 10
    assert not unsaid


def test_the_help_shows_every_default() -> None:
    for command in _commands(cli):
        for name, option in _options(command).items():
            if isinstance(option.default, str | int | float | tuple) and not option.is_flag:
                shown = option.show_default or "[default: " in (option.help or "")
                assert shown, f"{command.name} {name}"


def test_the_same_given_twice_is_given_once(tmp_path: Path) -> None:
    twice = ("--board", "local", "--board", "local", "--input", "a=b.npy", "--input", "a=b.npy")
    args = (tmp_path / "gone.eab", "-o", tmp_path / "x.gif", "--drive", "wave", *twice)
    fails(3, "animate", *args, says="gone.eab: No such file")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench net.eab --board raspberry-pi-", "raspberry-pi-5"),
        ("project net.eab --board jets", "jetson-nano"),
        ("boards show jets", "jetson-nano"),
        ("quantize net.onnx --backend o", "openvino"),
        ("prune net.onnx --backend tf", "tflite"),
        ("optimize net.onnx --backend a", "all"),
        ("optimize net.onnx --method m", "mixed"),
        ("animate net.eab --drive wa", "wave"),
        ("emulate setup has", "haswell"),
        ("emulate check net.eab --processor has", "haswell"),
    ],
)
def test_the_tab_key_knows_what_an_option_may_be(line: str, offered: str) -> None:
    found = completed(line)
    assert ("plain", offered) in found
    assert all(word.startswith(line.split()[-1]) for _, word in found)


def test_the_tab_key_offers_files_where_a_name_may_be_one() -> None:
    assert completed("bench net.eab --board mine.t") == [("file", "mine.t")]
    assert completed("animate net.eab --drive clips/") == [("file", "clips/")]
    assert completed("quantize net.onnx --backend mine.t") == []


@pytest.mark.parametrize(
    "line",
    [
        "animate {bundle} --still me.png --variant onn",
        "bench gone.eab {bundle} --variant onn",
        "bench {bundle} --variant=onn",
        "evaluate {bundle} --variant onn",
        "emulate check {bundle} --variant onn",
        "motion extract clip.mp4 --bundle {bundle} --variant onn",
    ],
)
def test_the_tab_key_knows_the_variants_of_the_bundle_that_is_named(line: str) -> None:
    found = completed(line.format(bundle=SMALL))
    assert found == [("plain", "onnxruntime-float32")]


def test_the_tab_key_says_nothing_of_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "broken.eab").write_bytes(SMALL.read_bytes()[:-1])
    for name in (tmp_path / "broken.eab", tmp_path / "gone.eab", tmp_path, "shipped"):
        assert completed(f"evaluate {name} --variant o") == []
    assert completed("animate --variant o") == []


def completed(line: str) -> list[tuple[str, str]]:
    """What a shell is told when the tab key is pressed behind `edgeanim line`."""
    *given, typed = line.split()
    shell = ShellComplete(cli, {}, "edgeanim", "_EDGEANIM_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(given, typed)]
