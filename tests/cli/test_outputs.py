"""What the commands print and write: for terminals, pipes and files, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgeanim import api
from edgeanim.benchmarks.results.result import Failure, save_report
from edgeanim.cli import animate, dataset, doctor, quantize
from edgeanim.cli.boards import describe
from edgeanim.pipeline.animate import Animated
from edgeanim.runtime.motion import MotionTrack
from edgeanim.targets.board import load_board
from edgeanim.targets.doctor import Check, Diagnosis
from tests.benchmarks.synthetic import build_report
from tests.cli.called import edgeanim, edgeanim_started, fails


@pytest.mark.parametrize(
    "args",
    [
        ("bench", "net.eab", "-o", "net.eab"),
        ("bench", "net.eab", "--on", "emulated:haswell", "-o", "net.eab"),
        ("optimize", "model", "--board", "net.npz", "--html", "net.npz"),
        ("motion", "extract", "clip.gif", "--bundle", "net.npz", "-o", "net.npz"),
        ("inspect", "net.eab", "--save-contract", "net.eab"),
        ("inspect", "model/net.onnx", "--save-contract", "model/net.onnx"),
        ("inspect", "net.npz", "--contract", "clip.gif", "--save-contract", "clip.gif"),
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


def test_the_file_of_the_board_is_not_overwritten_by_a_report(tmp_path: Path) -> None:
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    board = tmp_path / "mine.toml"
    shutil.copy(Path(__file__).parents[2] / "targets" / "boards" / "raspberry-pi-5.toml", board)
    content = board.read_bytes()
    for extra in ((), ("--on", "ssh://pi@board")):
        fails(2, "bench", bundle, "--board", board, *extra, "-o", board, says="be overwritten")
    assert board.read_bytes() == content


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    both = tmp_path / "net.eab"
    fails(2, "optimize", "shipped", "-o", both, "--html", both, says="cannot be one file")


def test_a_name_that_ends_in_a_slash_is_a_folder(photos: Path, tmp_path: Path) -> None:
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    out = tmp_path / "run.gif"
    done = edgeanim("animate", bundle, "--drive", photos, "--frames", 2, "-o", f"{out}/")
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in out.iterdir()) == ["frame_00000.png", "frame_00001.png"]


def test_a_report_that_cannot_be_written_is_told_before_measuring(tmp_path: Path) -> None:
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    (tmp_path / "file").write_text("x")
    (tmp_path / "report-frames").write_text("x")
    fails(3, "bench", bundle, "-o", tmp_path / "file" / "x.json", says="file: This is a file")
    fails(3, "bench", bundle, "-o", tmp_path / "report.json", says="report-frames: This is a file")
    assert not (tmp_path / "report.json").exists()


def test_what_a_stranger_calls_things_does_not_steer_the_terminal(tmp_path: Path) -> None:
    report = build_report()
    model = replace(report.model, name="\x1b[2J")
    save_report(tmp_path / "report.json", replace(report, model=model))
    done = edgeanim("compare", tmp_path / "report.json")
    assert "\\x1b[2J" in done.stdout
    done = edgeanim("compare", tmp_path / "\x1b[2J.json")
    assert done.stderr.startswith("Error:")
    assert "\x1b" not in done.stdout + done.stderr


def test_what_a_stranger_calls_things_stays_on_its_line(tmp_path: Path) -> None:
    """A line of its own could pass for one of ours, or for a command to the machine that tests."""
    report = build_report(failure=Failure("DeviceFailed", 5, "Gone.\n::error::forged"))
    forged = "tiny\n::error::forged"
    reports = [tmp_path / "report.json", tmp_path / "again.json"]
    for path in reports:
        model = replace(report.model, name=forged)
        named = replace(report.variants[0], id=forged)
        variants = (named, *report.variants[1:])
        save_report(path, replace(report, model=model, variants=variants))
    done = edgeanim("compare", *reports)
    assert done.stdout.count(r"\n::error::forged") == 7
    assert not [line for line in done.stdout.splitlines() if line.startswith("::")]


def _with_output_called(name: str, source: Path, folder: Path) -> Path:
    """A copy of a model whose last output has another name."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(source)
    model.graph.node[-1].output[0] = model.graph.output[0].name = name
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def test_what_a_model_calls_its_tensors_does_not_either(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    net = _with_output_called("\x1b]0;mine\x07", tiny_onnx(), tmp_path)
    assert r"\x1b]0;mine\x07" in edgeanim("inspect", net).stdout


def test_what_is_told_of_tensors_stays_in_columns_whatever_their_names(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    net = _with_output_called("transformer/expand/conv3/conv/Sigmoid", tiny_onnx(), tmp_path)
    shown = edgeanim("inspect", net).stdout.splitlines()
    tensors = [line for line in shown if line.startswith(("  in ", "  out "))]
    assert len({line.index("1x3x64x64") for line in tensors}) == 1, tensors


def test_what_a_board_says_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check("backend \x1b[2J", "warn", "\x1b]0;mine\x07", "\x1b[2J")
    monkeypatch.setattr(api, "doctor_on", lambda *_, **__: Diagnosis((check,), usable=True))
    shown = CliRunner().invoke(doctor.command, ["--on", "ssh://board"]).stdout
    assert shown.count("\\x1b") == 3
    assert "\x1b" not in shown


def test_what_a_bundle_calls_its_regions_does_not_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = Animated(tmp_path / "o.gif", "null-float32", 1, 25.0, 1.0, 1.0, not_found=("\x1b[2J",))
    monkeypatch.setattr(api, "animate", lambda *_, **__: done)
    shown = CliRunner().invoke(animate.command, ["net.eab", "-o", "o.gif"]).output
    assert "so not moved: \\x1b[2J." in shown


def test_what_is_to_be_known_of_an_animation_leaves_standard_output_to_its_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = Animated(
        tmp_path / "o.gif", "null-float32", 2, 25.0, 1.0, 30.0,
        reference_s=0.4, note="A note.", not_found=("mouth",), body_way=0.2,
    )  # fmt: skip
    monkeypatch.setattr(api, "animate", lambda *_, **__: done)
    shown = CliRunner().invoke(animate.command, ["net.eab", "-o", "o.gif"])
    assert shown.stdout == f"2 frames by null-float32, 30 frames/s: {done.path}\n"
    assert "carried over from 0.40 s on" in shown.stderr


@pytest.mark.parametrize(
    ("told", "options", "says"),
    [
        ({"left_out": 7}, ("--drive", "camera:0"), "7 frames came while others were followed"),
        ({"left_out": 7}, ("--drive", "camera:0", "--refine"), "Without --refine"),
        ({"behind": True}, ("--drive", "wave"), "less than the 25 frames/s.*With --fps 8"),
        ({"behind": True, "frames_per_s": 0.4}, ("--drive", "wave"), r"shows it slowly\.$"),
        ({"behind": True}, ("--drive", "-"), "--live"),
        ({"behind": True}, ("--drive", "c.mp4", "--refine"), "Without --refine"),
        ({}, ("--drive", "-", "--refine"), r"frames/s$"),
    ],
)
def test_what_does_not_keep_up_with_its_driver_says_so_and_what_helps(
    told: dict[str, Any], options: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = replace(Animated(Path("-"), "null-float32", 90, 25.0, 1.0, 8.3), **told)
    monkeypatch.setattr(api, "animate", lambda *_, **__: done)
    shown = CliRunner().invoke(animate.command, ["net.eab", *options, "-o", "-"])
    assert shown.stdout == ""
    assert re.search(says, shown.stderr.strip())


def test_what_a_graph_calls_its_nodes_and_a_dataset_its_licence_does_not_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drift = SimpleNamespace(ssim_mean=1.0, ssim_p5=1.0)
    row = SimpleNamespace(
        backend="tflite", scheme="tflite-int8", ranges="minmax", drift=drift,
        in_float=("\x1b[2J",), curve=(), islands=(), times=None,
    )  # fmt: skip
    made = SimpleNamespace(left_out={}, held_out=True, variants=(row,), folder=tmp_path)
    monkeypatch.setattr(api, "quantize", lambda *_, **__: made)
    shown = CliRunner().invoke(quantize.command, ["net.onnx", "-o", str(tmp_path)]).stdout
    held = SimpleNamespace(
        kind="puppets", split="val", sequences=1, identities=1, frames=2, licences=("\x1b[2J",)
    )
    monkeypatch.setattr(api, "show_dataset", lambda *_, **__: [held])
    shown += CliRunner().invoke(dataset.command, ["show", "data"]).stdout
    assert shown.count("\\x1b[2J") == 2
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("floats", "said"),
    [
        ({"float32": 8.0, "bfloat16": 6.0}, ""),
        ({"float32": 8.0, "bfloat16": 3.0}, "Not faster than bfloat16"),
        ({"float32": 3.0}, "Not faster than float32"),
    ],
)
def test_int8_that_is_no_faster_is_told_with_what_to_ship_instead(
    floats: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drift = SimpleNamespace(ssim_mean=1.0, ssim_p5=1.0)
    row = SimpleNamespace(
        backend="openvino", scheme="openvino-int8", ranges="mse", drift=drift, in_float=(),
        curve=(), islands=(), times=SimpleNamespace(int8=4.0, floats=floats),
    )  # fmt: skip
    made = SimpleNamespace(left_out={}, held_out=True, variants=(row,), folder=tmp_path, note=None)
    monkeypatch.setattr(api, "quantize", lambda *_, **__: made)
    shown = CliRunner().invoke(quantize.command, ["net.onnx", "-o", str(tmp_path)]).stdout
    assert "4.00 ms a frame on this machine" in shown
    for name, ms in floats.items():
        assert f"{ms / 4:.2f}x as fast as {name} ({ms:.2f} ms)" in shown
    assert ("Not faster" in shown) == bool(said)
    assert said in shown


def test_names_that_are_not_utf8_are_printed_with_escapes(tmp_path: Path) -> None:
    """A terminal's usual locale is UTF-8, where Python refuses to print them."""
    path = tmp_path / os.fsdecode(b"r\xff.json")
    save_report(path, build_report())
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", "compare", path, path, "--html", tmp_path / "page.html"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"Error" not in done.stderr
    assert b"r\\udcff.json" in done.stdout
    assert b"r\\udcff.json" in (tmp_path / "page.html").read_bytes()


@pytest.mark.parametrize("args", [("motion", "list"), ("motion", "--help"), ("--help",)])
def test_a_reader_that_went_away_is_no_failure(args: tuple[str, ...]) -> None:
    done = _read_by_nobody(*args)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_gate_fails_whether_or_not_anybody_reads_on(
    extra: tuple[str, ...], tmp_path: Path
) -> None:
    save_report(tmp_path / "r.json", build_report())
    gate = ("--fail-on", "latency.p90_ms > 0")
    done = _read_by_nobody("compare", str(tmp_path / "r.json"), *gate, *extra)
    assert done.returncode == 1
    assert "Error: The gate" in done.stderr


def _read_by_nobody(*args: str) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "edgeanim", *args]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(writing)
    return done


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


@pytest.mark.parametrize(
    ("suffix", "args"),
    [
        (".npz", ("motion", "extract", "clip.gif", "--bundle", "net.eab")),
        (".eab", ("compile", "net.onnx")),
        (".eab", ("optimize", "net.onnx")),
    ],
)
def test_a_file_is_written_under_the_suffix_by_which_it_is_known(
    suffix: str, args: tuple[str, ...], tmp_path: Path
) -> None:
    fails(2, *args, "-o", tmp_path / "wave", says=f"wave{suffix}")


def test_json_is_json() -> None:
    boards = json.loads(edgeanim("boards", "--json").stdout)
    assert {"local", "raspberry-pi-5"} <= {board["name"] for board in boards}
    for args in (("local", "--json"), ("--json", "local"), ("--json", "show", "local")):
        board = json.loads(edgeanim("boards", *args).stdout)
        assert board["cores"] >= 1
    rows = json.loads(edgeanim("backends", "--json").stdout)
    assert {"onnxruntime", "openvino", "tflite", "null"} <= {row["name"] for row in rows}


def test_a_processors_hundred_features_are_no_line_of_a_page() -> None:
    board = load_board("raspberry-pi-5")
    lines = describe(board)
    assert f"  CPU features    {' '.join(board.cpu_features)}" in lines
    many = ("avx2", "avx512_bf16", "avx512_vnni", *(f"flag{i}" for i in range(90)))
    lines = describe(replace(board, cpu_features=many))
    shown = "avx2 avx512_vnni avx512_bf16 (and 90 others: --json)"
    assert f"  CPU features    {shown}" in lines


def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "q"
    process = edgeanim_started(
        "quantize", tiny_onnx(), "--calib", photos, "-o", out, "--backend", "openvino"
    )
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


def test_work_goes_on_when_nobody_reads_how_it_goes(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    """As in `edgeanim compile ... 2>&1 | head -1`: its code said done, and nothing was."""
    reading, writing = os.pipe()
    os.close(reading)
    out = tmp_path / "net.eab"
    given = ("compile", tiny_onnx(), "--frames", photos, "--backend", "null", "-o", out)
    done = subprocess.run(
        [sys.executable, "-m", "edgeanim", *map(str, given)],
        stdout=writing, stderr=writing, timeout=120, check=False,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == 0
    assert out.is_file()


@pytest.mark.parametrize("stream", ["/dev/full", "&-"])
def test_an_error_that_cannot_be_told_keeps_its_code(stream: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    assert _in_a_shell(f"inspect nothing.eab 2>{stream}").returncode == 3


def test_streams_may_be_closed(photos: Path, tmp_path: Path) -> None:
    """A daemon may open none; what is opened next must not take their places."""
    small = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    play = f"animate '{small}' --drive '{photos}' --frames 2 -o"
    done = _in_a_shell(f"{play} '{tmp_path}/out.mp4' <&- >&- 2>&-")
    assert done.returncode == 0
    assert (tmp_path / "out.mp4").stat().st_size
    done = _in_a_shell(f"{play} - >&-")
    assert (done.returncode, "standard output is closed" in done.stderr) == (2, True)


def _in_a_shell(arguments: str) -> subprocess.CompletedProcess[str]:
    line = f'"$0" -m edgeanim {arguments}'
    command = ["sh", "-c", line, sys.executable]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, check=False)


def test_what_makes_material_and_weights_tells_it_as_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def told(*args: object) -> object:
        done = edgeanim(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    pytest.importorskip("cv2")
    made = {"path": "data", "sequences": 1, "frames": 8}
    assert told("dataset", "make", "-o", "data", "--puppets", 1) == made
    frames = tmp_path / "data" / "sequences" / "puppet-1000" / "frames"
    made = {"path": "data", "sequences": 2, "frames": 16}
    assert told("dataset", "import", frames, "-o", "data") == made
    track = MotionTrack(np.zeros((3, 1, 6), np.float32), 25.0)
    monkeypatch.setattr(api, "extract_motion", lambda *_, **__: track)
    extract = ("motion", "extract", "a.mp4", "--bundle", "a.eab", "-o", "a.npz")
    assert told(*extract) == {"path": "a.npz", "frames": 3, "fps": 25.0}
    monkeypatch.setattr(api, "train", lambda *_, **__: None)
    weights = {"weights": str(Path("mine", "animator.safetensors"))}
    assert told("train", "a.toml", "-o", "mine") == weights
