"""The library as a program calls it: paths as text, one of what may be several."""

from __future__ import annotations

import inspect
import os
import pathlib
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from edgeanim import api
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import one_or_more
from edgeanim.core.requirements import EXTRAS
from edgeanim.models.dataset.make import DatasetRecipe
from edgeanim.pipeline.bench import bench
from edgeanim.pipeline.frames.material import read_conditions
from edgeanim.pipeline.on.bench import bench_on

SMALL = Path(__file__).parents[1] / "benchmarks" / "small.eab"
API_PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]


def parameters(name: str) -> dict[str, str]:
    given = inspect.signature(getattr(api, name)).parameters
    return {each.name: str(each.annotation) for each in given.values()}


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(api, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_told_of(name: str) -> None:
    """By the function, by the one to which it refers, or on the page about all of them."""
    function = getattr(api, name)
    others = {"bench_on": api.bench, "make_dataset": DatasetRecipe}
    told = " ".join(filter(None, map(inspect.getdoc, (function, others.get(name)))))
    shared = API_PAGE.partition("## What all functions share")[2].partition("\n## ")[0]
    for parameter in set(parameters(name)) - {"connect"}:  # what tests reach a machine by
        assert re.search(rf"\b{parameter}\b", f"{told} {shared}"), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_path_can_be_given_as_text(name: str) -> None:
    for parameter, annotation in parameters(name).items():
        assert "Path" not in annotation.replace("str | Path", ""), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_can_be_given_alone_where_several_can(name: str) -> None:
    for parameter, annotation in parameters(name).items():
        several = re.search(
            r"(?:Sequence|Collection|tuple)\[(str|str \| Path|int|float|[A-Z]\w+)\]", annotation
        )
        if several is not None:
            assert annotation.startswith(f"{several[1]} | {several[0]}"), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_program_can_name_what_a_function_takes_and_gives(name: str) -> None:
    function = getattr(api, name)
    home = vars(sys.modules[function.__module__])
    words = set(re.findall(r"[A-Z]\w+", str(inspect.signature(function))))
    ours = {w for w in words if getattr(home.get(w), "__module__", "").startswith("edgeanim.")}
    assert ours - {"Remote"} <= set(api.__all__)


def test_a_checker_knows_the_names_that_there_are_and_no_others(tmp_path: Path) -> None:
    """`__getattr__` made any name pass as one of unknown type."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text("from edgeanim import api\napi.quantize\napi.BundleInfo\napi.quantise\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=skip", "--config-file", os.devnull]
    command += ["--cache-dir", str(tmp_path), str(Path(api.__file__)), str(program)]
    done = subprocess.run(
        command, cwd=Path(api.__file__).parents[1], capture_output=True, text=True, check=False
    )
    line, summary = done.stdout.splitlines()
    assert 'Module has no attribute "quantise"' in line
    assert summary.startswith("Found 1 error")


def words_of(annotation: object) -> bool:
    """Whether a closed set of words is somewhere in an annotation."""
    return get_origin(annotation) is Literal or any(map(words_of, get_args(annotation)))


CHOICES: dict[str, tuple[Mapping[str, object], tuple[str, ...]]] = {
    "adapt": ({"clips": "none", "out": "out"}, ("device",)),
    "bench": ({"subjects": SMALL}, ("scenarios",)),
    "bench_on": ({"subjects": SMALL, "on": "nobody@nowhere"}, ("scenarios",)),
    "compile": ({"model": "none", "out": "out.eab"}, ("floats",)),
    "import_dataset": ({"paths": "none", "out": "out"}, ("fit", "split")),
    "make_dataset": ({"out": "out"}, ("split",)),
    "show_dataset": ({"folder": "none"}, ("split",)),
    "train": ({"config": "none", "out": "out"}, ("device",)),
}
"""The arguments of the library that are closed sets of words, with what the calls need besides."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_closed_set_of_words_is_left_unchecked(name: str) -> None:
    function = getattr(api, name)
    module = {**vars(sys.modules[function.__module__]), **vars(typing), **vars(pathlib)}
    found = set()
    for parameter, annotation in parameters(name).items():
        try:
            kind = eval(annotation, dict(module))
        except NameError:  # of what is imported for type checkers alone: no words
            assert parameter in ("agree", "connect", "modules")
            continue
        if words_of(kind):
            found.add(parameter)
    assert found == set(CHOICES.get(name, ({}, ()))[1])


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, each) for name, (_, of) in CHOICES.items() for each in of]
)
def test_a_word_that_is_none_of_the_choices_is_refused_at_once(
    name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="foo"):
        getattr(api, name)(**CHOICES[name][0], **{parameter: "foo"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", [api.PruneSpec, api.QuantizeSpec])
def test_a_spec_takes_no_word_but_its_choices(spec: type) -> None:
    hints = get_type_hints(spec)
    words = [name for name in hints if get_origin(hints[name]) is Literal]
    assert words
    for name in words:
        with pytest.raises(ValueError, match=f"`{name}` must be .* or .*, not 'foo'"):
            spec(**{name: "foo"})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: api.bench([]), "nothing to measure"),
        (lambda: api.bench_on([], "local"), "nothing to measure"),
        (lambda: api.bench_on(SMALL, []), "no place to measure on"),
        (lambda: api.project(SMALL, []), "no board to project on"),
        (lambda: api.bench(SMALL, threads=0), "threads must be at least 1"),
        (lambda: api.project(SMALL, "raspberry-pi-4", threads=0), "threads must be at least 1"),
        (lambda: api.optimize("none.onnx", threads=0), "threads must be at least 1"),
        (lambda: api.optimize("none.onnx", prunes=2.0), "A share of 2"),
        (lambda: api.prune("none.onnx", out="out", spec=api.PruneSpec()), "prunes nothing"),
    ],
)
def test_nothing_to_do_is_refused(call: Callable[[], object], says: str) -> None:
    """An empty list did nothing or ended in a traceback, 0 threads meant the board's number, and a
    spec without a ratio, such as a recipe of `optimize`, made a copy of the model."""
    with pytest.raises(UsageError, match=says):
        call()


def test_a_text_alone_is_not_taken_apart() -> None:
    assert one_or_more("openvino") == ("openvino",)
    assert one_or_more(Path("net.eab")) == (Path("net.eab"),)
    assert one_or_more(["openvino", "tflite"]) == ("openvino", "tflite")


def test_texts_lead_to_files(tmp_path: Path) -> None:
    saved, style = tmp_path / "model.toml", tmp_path / "style.npy"
    info = api.inspect(str(SMALL), save_contract=str(saved))
    assert saved.is_file()
    np.save(style, np.zeros((1, 4), np.float32))
    (graph,) = info.contract.graphs
    spec = TensorSpec("style", "condition:style", (1, 4))
    contract = Contract(
        "styled", (GraphSpec("net", "net.onnx", "frame", (*graph.inputs, spec), graph.outputs),)
    )
    assert read_conditions(contract, {"style": str(style)})["style"].shape == (1, 4)


def test_backends_can_be_a_list(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backend 'tflight'"):
        api.quantize("shipped", out=tmp_path / "int8", backends=["tflight"])
    with pytest.raises(UsageError, match="no backend 'tflight'"):
        api.compile("shipped", out=tmp_path / "net.eab", backends="tflight")


def test_a_bench_elsewhere_takes_what_a_bench_here_takes() -> None:
    here, there = (set(inspect.signature(each).parameters) for each in (bench, bench_on))
    assert there - here == {"on", "connect"}
    assert here - there == {"pictures"}  # they lie beside each report


def test_a_recipe_is_read_by_compile(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[compile]\nbackends = ["tflight"]\n')
    with pytest.raises(UsageError, match="no backend 'tflight'"):
        api.compile("shipped", out=tmp_path / "net.eab", recipe=recipe)
    with pytest.raises(UsageError, match="no backend 'openvine'"):
        api.compile("shipped", out=tmp_path / "net.eab", recipe=recipe, backends="openvine")
    recipe.write_text('[compile]\nbackends = ["onnxruntime"]\nfloats = ["bfloat16"]\n')
    with pytest.raises(UsageError, match=r"compile\.floats"):
        api.compile("shipped", out=tmp_path / "net.eab", recipe=recipe)
    with pytest.raises(UsageError, match="--floats"):
        api.compile("shipped", out=tmp_path / "net.eab", recipe=recipe, floats="float16")


LONG = "x" * 5000


@pytest.mark.parametrize(
    "call",
    [
        lambda out: api.animate(LONG, drive="wave", out=out),
        lambda out: api.animate(SMALL, drive=f"{LONG}.mp4", out=out),
        lambda out: api.animate(SMALL, drive="wave", still=LONG, out=out),
        lambda _: api.open_player(LONG),
        lambda _: api.bench(LONG),
        lambda _: api.inspect(LONG),
        lambda out: api.quantize(LONG, out=out),
        lambda out: api.compile(LONG, out=out),
        lambda out: api.extract_motion(LONG, bundle=SMALL, out=out.with_suffix(".npz")),
        lambda _: api.evaluate(SMALL, clips=LONG),
    ],
)
def test_what_cannot_be_looked_for_is_bad_input(
    call: Callable[[Path], object], tmp_path: Path
) -> None:
    """A data URL, say, or what lies in another user's folder; it was an `OSError`."""
    with pytest.raises(BadInput, match="This name is too long"):
        call(tmp_path / "out.eab")


@pytest.mark.parametrize("limit", [0, -1])
def test_no_frames_cannot_be_asked_for(tmp_path: Path, limit: int) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        api.animate(SMALL, drive="clip.gif", out=tmp_path / "out.gif", limit=limit)
    with pytest.raises(UsageError, match="2 or more"):
        api.extract_motion("clip.gif", bundle=SMALL, out=tmp_path / "out.npz", limit=limit)


def test_threads_have_to_be_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads must be at least 1"):
        api.animate(SMALL, drive="wave", out=tmp_path / "out.gif", threads=-1)


def test_more_threads_than_a_machine_can_bear_are_not_started(tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: api.animate(SMALL, drive="wave", out=tmp_path / "out.gif", threads=257),
        lambda: api.bench(SMALL, threads=257),
        lambda: api.optimize("none.onnx", threads=[1, 257]),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="at most 256, not 257"):
            call()


def test_a_share_that_cannot_be_pruned_away_is_refused() -> None:
    with pytest.raises(UsageError, match=r"between 0 and 0\.9"):
        api.optimize(SMALL, prunes=[2.0])


_WITHOUT = """
import sys
for package in sys.argv[1:]:
    sys.modules[package] = None
from edgeanim import api
for name in api.__all__:
    getattr(api, name)
"""


def test_every_name_can_be_had_without_what_only_some_install() -> None:
    """The functions themselves say what to install; a name that cannot be had is a traceback."""
    packages = {re.split(r"[^\w-]", line)[0] for lines in EXTRAS.values() for line in lines}
    modules = {name.replace("-", "_") for name in packages} - {"numpy"}
    assert {"torch", "onnx", "openvino"} <= modules
    command = [sys.executable, "-c", _WITHOUT, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
