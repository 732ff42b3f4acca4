from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from edgeanim.cli.compile import command as compile_
from edgeanim.cli.optimize import command as optimize
from edgeanim.cli.options import parse_milliseconds
from edgeanim.cli.prune import command as prune
from edgeanim.cli.quantize import command as quantize
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.core.recipe import PruneSpec, QuantizeSpec


def raised(command: click.Command, *args: object) -> EdgeanimError:
    result = click.testing.CliRunner().invoke(command, [str(a) for a in args])
    assert isinstance(result.exception, EdgeanimError), result.output
    return result.exception


@pytest.mark.parametrize(("text", "ms"), [("50ms", 50.0), ("0.05s", 50.0), ("50", 50.0)])
def test_times_are_written_in_three_ways(text: str, ms: float) -> None:
    assert parse_milliseconds(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["", "ms", "fast", "-3ms", "0", "inf", "nan", "5 m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        parse_milliseconds(text)


def test_a_missing_model_is_bad_input() -> None:
    assert isinstance(raised(optimize, "absent.onnx"), BadInput)


def test_a_recipe_with_an_unknown_key_names_the_nearest(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[prune]\nstepps = 3\n")
    assert "steps" in str(raised(optimize, tiny_onnx(), "--recipe", recipe))


def test_real_frames_are_asked_for(tiny_onnx: Callable[..., Path]) -> None:
    assert "Real frames are needed" in str(raised(optimize, tiny_onnx()))


def test_a_ratio_and_a_latency_exclude_each_other(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    args = (tiny_onnx(), "-o", tmp_path / "p", "--ratio", "0.3", "--max-latency", "5ms")
    assert "cannot both" in str(raised(prune, *args))


def test_a_recipe_that_prunes_nothing_is_refused(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[prune]\nsteps = 3\n")
    error = raised(prune, tiny_onnx(), "-o", tmp_path / "p", "--recipe", recipe)
    assert isinstance(error, UsageError)
    assert "prunes nothing" in str(error)


def test_a_recipe_gives_what_the_command_line_does_not(
    tiny_onnx: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[prune]\nratio = 0.4\nof = "macs"\nsteps = 7\n'
        '[quantize]\nranges = "percentile"\nreduce_range = true\n'
        '[compile]\nbackends = ["openvino"]\n[gates]\nmax_drift = 0.3\n'
    )
    asked: dict[str, dict[str, Any]] = {}

    def spy(name: str) -> Callable[..., None]:
        def record(*_: object, **options: Any) -> None:
            asked[name] = options
            raise UsageError("far enough")

        return record

    commands = {"prune": prune, "quantize": quantize, "compile": compile_}
    for name, command in commands.items():
        monkeypatch.setattr(f"edgeanim.api.{name}", spy(name), raising=False)
        more = ("--steps", "9") if name == "prune" else ("--ranges", "entropy")
        args = (tiny_onnx(), "-o", tmp_path / "o", "--recipe", recipe)
        assert "far enough" in str(raised(command, *args, *(() if name == "compile" else more)))
    assert asked["prune"]["spec"] == PruneSpec(ratio=0.4, of="macs", steps=9)
    assert asked["quantize"]["spec"] == QuantizeSpec(ranges="entropy", reduce_range=True)
    assert asked["quantize"]["max_drift"] == 0.3
    assert asked["quantize"]["backends"] == ("openvino",)
    assert (asked["compile"]["backends"], asked["compile"]["floats"]) == ((), None)
    assert asked["compile"]["recipe"] == recipe  # which `compile` reads itself


def test_a_limit_given_on_the_command_line_leaves_the_recipes_other_limit(
    tiny_onnx: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[gates]\nmax_drift = 0.01\nmax_drift_p5 = 0.03\n")
    asked: list[tuple[float, float]] = []

    def record(*_: object, **options: Any) -> None:
        asked.append((options["max_drift"], options["max_drift_p5"]))
        raise UsageError("far enough")

    monkeypatch.setattr("edgeanim.api.quantize", record)
    for more in ((), ("--max-drift", "0.05"), ("--max-drift-p5", "0.05")):
        raised(quantize, tiny_onnx(), "-o", tmp_path / "o", "--recipe", recipe, *more)
    assert asked == [(0.01, 0.03), (0.05, 0.03), (0.01, 0.05)]


def test_a_limit_of_a_recipe_that_cannot_be_is_bad_input_with_its_place(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[gates]\nmax_drift = -1\n")
    for command in (quantize, optimize):
        error = raised(command, tiny_onnx(), "-o", tmp_path / "o.eab", "--recipe", recipe)
        assert isinstance(error, BadInput)
        assert "[gates]" in str(error)
