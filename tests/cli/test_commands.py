"""The command line as a stranger meets it: help, exit codes, one paragraph per error."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.benchmarks.result import save_report
from edgeanim.cli.main import COMMANDS
from tests.benchmarks.synthetic import build_report


def edgeanim(*args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeanim", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def fails(code: int, *args: object, says: str) -> None:
    """The command ends with this code and says this, in one paragraph and without a traceback."""
    done = edgeanim(*args)
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert says.lower() in " ".join(done.stderr.lower().split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = edgeanim(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout
    assert f"edgeanim {name}" in done.stdout


def test_the_list_of_commands_is_the_folder() -> None:
    folder = Path(__file__).resolve().parents[2] / "edgeanim" / "cli"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "main", "common", "progress"}
    assert files == set(COMMANDS)


def test_version() -> None:
    import edgeanim as package

    assert edgeanim("--version").stdout.strip().endswith(package.__version__)


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
    fails(3, *args, says="No such file")


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
def test_a_file_that_is_not_what_it_claims(
    content: bytes, args: tuple[str, ...], tmp_path: Path
) -> None:
    bad = tmp_path / f"bad{Path(args[1]).suffix}"
    bad.write_bytes(content)
    filled = [str(bad) if a.startswith("{}") else a for a in args]
    fails(3, *filled, says=str(bad.name))


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    fails(3, "bench", tmp_path / ".." / tmp_path.name, says="")
    fails(3, "compare", tmp_path, says="folder")


@pytest.mark.parametrize(
    "args",
    [
        ("bench", "net.eab", "-o", "net.eab"),
        ("bench", "net.eab", "--on", "emulated:haswell", "-o", "net.eab"),
        ("motion", "extract", "clip.gif", "--bundle", "net.npz", "-o", "net.npz"),
        ("compile", "model", "-o", "model/net.onnx"),
        ("optimize", "model", "--html", "report.html", "-o", "model/net.onnx"),
        ("compare", "net.eab", "--html", "net.eab"),
        ("animate", "net.eab", "--still", "clip.gif", "--drive", "wave", "-o", "clip.gif"),
        ("animate", "net.eab", "--drive", "clip.gif", "-o", "clip.gif"),
        ("animate", "net.eab", "--drive", "model", "-o", "model/"),
    ],
)
def test_what_is_read_is_never_overwritten(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    for name in ("net.eab", "net.npz", "clip.gif", "model/net.onnx"):
        Path(name).write_bytes(b"mine")
    fails(2, *args, says="it would be overwritten")
    assert Path(args[-1]).is_dir() or Path(args[-1]).read_bytes() == b"mine"


def test_a_report_that_cannot_be_written_is_told_before_measuring(tmp_path: Path) -> None:
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    (tmp_path / "file").write_text("x")
    (tmp_path / "report-frames").write_text("x")
    fails(3, "bench", bundle, "-o", tmp_path / "file" / "x.json", says="file: This is a file")
    fails(3, "bench", bundle, "-o", tmp_path / "report.json", says="report-frames: This is a file")
    assert not (tmp_path / "report.json").exists()


def test_a_gate_that_failed_is_told_below_the_table(tmp_path: Path) -> None:
    save_report(tmp_path / "report.json", build_report())
    done = edgeanim("compare", tmp_path / "report.json", "--fail-on", "latency.p50_ms > 0")
    assert done.returncode == 1
    assert "int8 90%" in done.stdout
    assert "The gate 'latency.p50_ms > 0' failed" in " ".join(done.stderr.split())


def test_what_a_stranger_calls_things_does_not_steer_the_terminal(tmp_path: Path) -> None:
    report = build_report()
    model = replace(report.model, name="\x1b[2J")
    save_report(tmp_path / "report.json", replace(report, model=model))
    done = edgeanim("compare", tmp_path / "report.json")
    assert "\\x1b[2J" in done.stdout
    done = edgeanim("compare", tmp_path / "\x1b[2J.json")
    assert done.stderr.startswith("Error:")
    assert "\x1b" not in done.stdout + done.stderr


def test_what_a_model_calls_its_tensors_does_not_either(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny_onnx())
    last = model.graph.output[0]
    model.graph.node[-1].output[0] = last.name = "\x1b]0;mine\x07"
    onnx.save(model, tmp_path / "net.onnx")
    assert r"\x1b]0;mine\x07" in edgeanim("inspect", tmp_path / "net.onnx").stdout


def test_names_that_are_not_utf8_are_printed_with_escapes(tmp_path: Path) -> None:
    """A terminal's usual locale is UTF-8, where Python refuses to print them."""
    path = tmp_path / os.fsdecode(b"r\xff.json")
    save_report(path, build_report())
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "compare", path, path, "--html", tmp_path / "page.html"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"r\\udcff.json" in done.stdout
    assert b"r\\udcff.json" in (tmp_path / "page.html").read_bytes()


def test_an_unknown_board_and_backend_name_the_nearest(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    fails(2, "boards", "raspberry-pi-55", says="raspberry-pi-5")
    fails(
        2, "compile", tiny_onnx(), "-o", tmp_path / "x.eab", "--backend", "openvinoo",
        says="Did you mean 'openvino'?",
    )  # fmt: skip


@pytest.mark.parametrize("command", ["compile", "optimize", "prune", "quantize"])
def test_an_unknown_backend_is_told_of_before_a_model_is_read(command: str, tmp_path: Path) -> None:
    given = (command, tmp_path / "nowhere.onnx", "-o", tmp_path / "out.eab")
    fails(2, *given, "--backend", "openvinoo", says="Did you mean 'openvino'?")


@pytest.mark.parametrize("args", [("motion", "list"), ("motion", "--help"), ("--help",)])
def test_a_reader_that_went_away_is_no_failure(args: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "edgeanim", *args]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_cannot_be_written_is_told() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "edgeanim", "boards", "--json"]
    with full.open("wb") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    assert done.returncode == 5
    assert done.stderr.startswith("Error: Standard output cannot be written: No space")
    assert len(done.stderr.splitlines()) == 1


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
    fails(2, "compile", model, *out, says="an .npz file with --frames.")


@pytest.mark.parametrize("what", ["folder", "shipped", "net.onnx"])
def test_what_is_not_compiled_yet_is_not_animated(what: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"x")
    model = what if what == "shipped" else tmp_path / what
    fails(3, "animate", model, "--drive", "wave", "-o", tmp_path / "x.gif", says="edgeanim compile")


def test_an_empty_name_is_told_and_means_no_folder() -> None:
    fails(2, "animate", "b.eab", "--drive", "", "-o", "x.gif", says="'--drive': The name is empty")
    fails(2, "compare", "", says="The name is empty")


def test_what_is_not_compiled_yet_is_not_benched(tmp_path: Path) -> None:
    for model in ("shipped", tmp_path):
        fails(3, "bench", model, says=f"Compile it first: edgeanim compile {model} -o")


def test_a_stored_motion_is_written_under_the_suffix_by_which_it_is_known(tmp_path: Path) -> None:
    given = ("motion", "extract", "clip.gif", "--bundle", "net.eab")
    fails(2, *given, "-o", tmp_path / "wave", says="wave.npz")


def test_of_many_figures_only_the_nearest_are_named(tmp_path: Path) -> None:
    save_report(tmp_path / "report.json", build_report())
    done = edgeanim("compare", tmp_path / "report.json", "--fail-on", "speed > 50")
    assert done.returncode == 2
    assert len(done.stderr) < 400


def test_nan_in_the_calibration_is_named(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    images = np.full((8, 3, 64, 64), 0.5, np.float32)
    images[3, 1, 2, 3] = np.nan
    np.savez(tmp_path / "calib.npz", image=images)
    fails(
        3, "quantize", tiny_onnx(), "--calib", tmp_path / "calib.npz", "-o", tmp_path / "q",
        says="NaN",
    )  # fmt: skip
    assert not (tmp_path / "q").exists()


def test_an_absent_backend_says_how_to_install_it(tiny_onnx: Callable[..., Path]) -> None:
    code = (
        "import sys\n"
        "sys.modules['onnxruntime'] = None\n"
        "sys.argv = ['edgeanim', 'compile', sys.argv[1], '-o', 'x.eab', '--frames', sys.argv[2]]\n"
        "from edgeanim.cli.main import main\n"
        "main()"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_onnx()), str(here)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (3, 4)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("quantize", "--method", "ptq", "--backend", "onnxruntime"), "SSIM mean"),
        (("quantize", "--method", "ptq", "--backend", "onnxruntime", "--max-drift", 0), ""),
        (("prune", "--ratio", 0.1, "--round-to", 1, "--steps", 0), "on the frames recovered on"),
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


def test_json_is_json() -> None:
    boards = json.loads(edgeanim("boards", "--json").stdout)
    assert {"local", "raspberry-pi-5"} <= {board["name"] for board in boards}
    for args in (("local", "--json"), ("--json", "local"), ("--json", "show", "local")):
        board = json.loads(edgeanim("boards", *args).stdout)
        assert board["cores"] >= 1
    rows = json.loads(edgeanim("backends", "--json").stdout)
    assert {"onnxruntime", "openvino", "tflite", "null"} <= {row["name"] for row in rows}


def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "q"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeanim", "quantize", str(tiny_onnx()), "--calib", str(photos),
         "-o", str(out), "--backend", "openvino"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()  # the first stage is done
    assert "Read the model" in line
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not out.exists()
    assert not list(tmp_path.rglob(".partial-*"))
    again = edgeanim(
        "quantize", tiny_onnx(), "--calib", photos, "-o", out, "--backend", "openvino",
        "--max-drift", "0.5",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert (out / "model.toml").is_file()
