"""The command line as a stranger meets it: help, exit codes, one paragraph per error."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from edgeanim import api, targets
from edgeanim.cli.main import COMMANDS
from edgeanim.core.errors import BadInput
from tests.cli.called import edgeanim, edgeanim_apart, fails, refused


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = edgeanim_apart(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout
    assert f"edgeanim {name}" in done.stdout


def leaves(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from leaves(inner)
    else:
        yield command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_print_json(name: str) -> None:
    for command in leaves(importlib.import_module(f"edgeanim.cli.{name}").command):
        assert any("--json" in option.opts for option in command.params), command.name


def test_the_list_of_commands_is_the_folder() -> None:
    folder = Path(__file__).resolve().parents[2] / "edgeanim" / "cli"
    others = {"endless", "main", "options", "output", "progress", "streams", "users_code"}
    files = {path.stem for path in folder.glob("*.py")} - others - {"__init__"}
    assert files == set(COMMANDS)


def test_a_folder_that_is_no_model_is_not_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    fails(3, "bench", tmp_path, says="holds no model.toml")
    fails(
        3, "animate", tmp_path, "--drive", "wave", "-o", tmp_path / "x.gif",
        says="holds no model.toml",
    )  # fmt: skip
    for name in ("animator.toml", "model.toml"):
        (tmp_path / name).write_text("")
        fails(3, "bench", tmp_path, says="not compiled yet")
        (tmp_path / name).unlink()
    fails(3, "bench", tmp_path / "gone", says="No such file or folder")


def test_a_command_that_is_advised_can_be_pasted(tmp_path: Path) -> None:
    (folder := tmp_path / "my net").mkdir()
    (folder / "model.toml").write_text("")
    for command in (
        ("bench", folder),
        ("deploy", folder, "--to", "ssh://board"),
        ("sign", folder, "--key", "key.pem"),
    ):
        fails(3, *command, says=f"edgeanim compile '{folder}' -o net.eab")
    with pytest.raises(BadInput, match="not compiled yet"):
        api.emulate_bundle(folder, "haswell")
    (flat := folder / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    fails(3, "inspect", flat, says=f"edgeanim bench '{flat}' --frames")


def test_a_folder_without_a_trained_animator_says_which_to_give(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    clip = tmp_path / "clip.gif"
    clip.write_bytes(b"GIF89a")
    says = "no trained animator (animator.toml) here. Give the folder"
    start = ("--from", tmp_path, "-o", tmp_path / "mine")
    fails(3, "train", "--clips", clip, *start, says=says)
    assert not (tmp_path / "mine").exists()
    fails(3, "evaluate", tmp_path, says=says)
    fails(3, "evaluate", tmp_path / "gone", says="No such file or folder")


@pytest.mark.parametrize(
    "text", ["size = 1000000", "regions = [16, 32, 64, 96, 999999999]", "encoder = [64, 80, 4096]"]
)
def test_an_architecture_beyond_all_bounds_is_refused(text: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "animator.toml").write_text(text)
    (tmp_path / "animator.safetensors").write_bytes(b"")
    fails(3, "inspect", tmp_path, says="and 1024")


def test_the_version_is_that_of_the_package() -> None:
    import edgeanim as package

    assert edgeanim_apart("--version").stdout.strip().endswith(package.__version__)


def test_an_unknown_command_names_the_nearest() -> None:
    fails(2, "quantise", says="Did you mean 'quantize'?")


def test_an_unknown_option_is_a_usage_error() -> None:
    fails(2, "bench", "--bord", says="--bord")


@pytest.mark.parametrize(
    "args",
    [
        ("inspect", "absent.onnx"),
        ("prune", "absent.onnx", "-o", "out"),
        ("quantize", "absent.onnx", "-o", "out"),
        ("compile", "absent.onnx", "-o", "out.eab"),
        ("bench", "absent.eab"),
        ("bench", "absent.tflite", "--frames", "."),
        ("compare", "absent.json"),
        ("animate", "absent.eab", "--drive", "wave", "-o", "out.gif"),
    ],
)
def test_a_missing_file_is_bad_input(args: tuple[str, ...]) -> None:
    refused(edgeanim_apart(*args), 3, says="No such file")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n garbage", b"\x08\x07\x12\x04"])
@pytest.mark.parametrize(
    "args",
    [
        ("inspect", "{}.onnx"),
        ("quantize", "{}.onnx", "-o", "out"),
        ("bench", "{}.eab"),
        ("compare", "{}.json"),
        ("animate", "{}.eab", "--drive", "wave", "-o", "out.gif"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_bad_input(
    content: bytes, args: tuple[str, ...], tmp_path: Path
) -> None:
    bad = tmp_path / f"bad{Path(args[1]).suffix}"
    bad.write_bytes(content)
    filled = [str(bad) if a.startswith("{}") else a for a in args]
    fails(3, *filled, says=str(bad.name))


def test_a_folder_where_a_file_is_needed_is_told(tmp_path: Path) -> None:
    fails(3, "bench", tmp_path / ".." / tmp_path.name, says="This folder holds no model.toml")
    fails(3, "compare", tmp_path, says="This is a folder; a file is needed here")


def test_an_unknown_board_and_backend_name_the_nearest(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    fails(2, "boards", "raspberry-pi-55", says="raspberry-pi-5")
    bundle, out = Path(targets.__file__).with_name("smoke.eab"), ("-o", tmp_path / "a.npz")
    for given in (
        ("animate", bundle, "--drive", "wave", "-o", tmp_path / "a.gif"),
        ("evaluate", bundle),
        ("motion", "extract", "camera:0", "--bundle", bundle, *out),
    ):
        fails(2, *given, "--board", "raspberry-pi-55", says="raspberry-pi-5")
    fails(
        2, "compile", tiny_onnx(), "-o", tmp_path / "x.eab", "--backend", "openvinoo",
        says="Did you mean 'openvino'?",
    )  # fmt: skip


@pytest.mark.parametrize("command", ["compile", "optimize", "prune", "quantize"])
def test_an_unknown_backend_is_told_of_before_a_model_is_read(command: str, tmp_path: Path) -> None:
    given = (command, tmp_path / "nowhere.onnx", "-o", tmp_path / "out.eab")
    fails(2, *given, "--backend", "openvinoo", says="Did you mean 'openvino'?")


@pytest.mark.parametrize("command", ["inspect", "quantize"])
def test_a_name_that_is_too_long_is_bad_input(command: str, tmp_path: Path) -> None:
    out = () if command == "inspect" else ("-o", tmp_path / "out")
    fails(3, command, "x" * 300, *out, says="too long")


@pytest.mark.parametrize("command", ["compile", "prune", "quantize"])
def test_a_board_that_lists_no_backend_is_told_of(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path, command: str
) -> None:
    board, out = tmp_path / "bare.toml", tmp_path / "out.eab"
    board.write_text('name = "bare"\ntitle = "Bare"\narch = "x86_64"\nmemory_mb = 512\ncores = 1\n')
    frames = "--frames" if command == "compile" else "--calib"
    given = (command, tiny_onnx(), "-o", out, "--board", board, frames, photos)
    fails(2, *given, says="bare: This board lists no backend.")
    assert not out.exists()


def test_real_frames_are_asked_for(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    model, out = tiny_onnx(), ("-o", tmp_path / "out")
    fails(2, "quantize", model, *out, says="Real frames are needed")
    fails(2, "quantize", model, *out, says="an .npz file with --calib.")
    fails(2, "compile", model, "-o", tmp_path / "x.eab", says="an .npz file with --frames.")


@pytest.mark.parametrize("what", ["folder", "shipped", "net.onnx"])
def test_what_is_not_compiled_yet_is_not_animated(what: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"x")
    model = what if what == "shipped" else tmp_path / what
    fails(3, "animate", model, "--drive", "wave", "-o", tmp_path / "x.gif", says="edgeanim compile")


@pytest.mark.parametrize(
    ("args", "option"),
    [
        (("animate", "b.eab", "--drive", "", "-o", "x.gif"), "'--drive'"),
        (("quantize", "net.onnx", "--calib", "", "-o", "int8"), "'--calib'"),
        (("inspect", ""), "'MODEL'"),
        (("compile", "", "-o", "x.eab"), "'MODEL'"),
        (("quantize", "", "-o", "int8"), "'MODEL'"),
        (("prune", "", "-o", "pruned"), "'MODEL'"),
        (("optimize", ""), "'MODEL'"),
        (("motion", "extract", "", "--bundle", "b.eab", "-o", "m.npz"), "'CLIP|camera:N|-'"),
        (("compare", ""), "'REPORT...'"),
    ],
)
def test_an_empty_name_is_told_and_means_no_folder(args: tuple[str, ...], option: str) -> None:
    fails(2, *args, says=f"{option}: The name is empty")


def test_what_is_not_compiled_yet_is_not_benched(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("")
    for model in ("shipped", tmp_path):
        fails(3, "bench", model, says=f"Compile it first: edgeanim compile {model} -o")


def test_in_a_folder_that_was_removed_it_is_said_that_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo named nothing, and a compilation for TFLite ended with 2 and without a word."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    fails(3, "demo", says="The folder in which this command runs is no longer there.")


def test_where_nobody_can_be_asked_the_option_that_agrees_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "emulate", "setup", "haswell", "--root", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: Nothing was fetched. Agree with --yes, or give --root DIR."
    )


def test_nan_in_the_calibration_is_named(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    images = np.full((8, 3, 64, 64), 0.5, np.float32)
    images[3, 1, 2, 3] = np.nan
    np.savez(tmp_path / "calib.npz", image=images)
    fails(
        3, "quantize", tiny_onnx(), "--calib", tmp_path / "calib.npz", "-o", tmp_path / "q",
        says="NaN",
    )  # fmt: skip
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("quantize", "--method", "ptq", "--backend", "onnxruntime"), "SSIM mean"),
        (("quantize", "--method", "ptq", "--backend", "onnxruntime", "--max-drift", 0), ""),
        (("prune", "--ratio", 0.1, "--round-to", 1, "--steps", 0), "on the frames recovered on"),
        (("prune", "--ratio", 0.1, "--round-to", 8, "--steps", 0), "more than the 10% asked for"),
    ],
)
def test_frames_that_were_not_held_out_are_told_of(
    args: tuple[object, ...],
    says: str,
    tiny_onnx: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        shutil.copy(photos / f"{number}.png", few)
    name, *options = args
    done = edgeanim(name, tiny_onnx(), "--calib", few, "-o", tmp_path / "out", *options)
    assert done.returncode == (0 if says else 1), done.stderr
    assert says in done.stdout
    assert "Give at least 8 pictures" in " ".join(done.stderr.split())
