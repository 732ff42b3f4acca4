"""A board in a folder goes through the whole harness, and its report says what it deserves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeanim.benchmarks.machine import watch as watch_module
from edgeanim.benchmarks.machine.host import Host, Stream
from edgeanim.benchmarks.machine.recording import RECORD, REPLAY, RecordedHost, RecordingHost
from edgeanim.benchmarks.machine.watch import Watch
from edgeanim.benchmarks.results.result import ModelRecord, Report, load_report
from edgeanim.benchmarks.runner import BenchOptions, Subject, run_bench
from edgeanim.core.errors import BadInput
from edgeanim.targets.board import load_board
from tests.benchmarks.fake_boards import (
    JETSON_ORIN_NANO,
    PI_4_THAT_THROTTLES,
    PI_5_WITH_POWER,
    Look,
    record,
)

SHORT = BenchOptions(iterations=3, rounds=1, blocks=1, block_s=0, warmup_frames=1, warmup_s=0)
GENERIC = ("linux", "thermal", "cgroup", "process")
Run = Callable[[str, list[Look]], Report]


@pytest.fixture
def run(
    compile_tiny: Callable[[str], Subject],
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    def on(board: str, looks: list[Look]) -> Report:
        monkeypatch.setenv(REPLAY, str(record(tmp_path / board, looks)))
        return run_bench(
            [compile_tiny("null")],
            golden,
            SHORT,
            model=ModelRecord("tiny", "0" * 64, None),
            board=load_board(board),
        )

    return on


def _of(report: Report, sensor: str) -> tuple[dict[str, float], tuple[str, ...]]:
    log = next(log for log in report.sensors if log.sensor == sensor)
    return dict(log.readings[-1].values), log.missing


def test_a_pi_4_that_throttles_is_no_valid_run(run: Run) -> None:
    report = run("raspberry-pi-4", PI_4_THAT_THROTTLES)
    values, missing = _of(report, "raspberry_pi")
    assert values["pi.throttled_now"] == values["pi.soft_temp_limit_since_boot"] == 1
    assert "pi.power_w" not in values
    assert any("Raspberry Pi 4 Model B Rev 1.4 cannot measure its power" in m for m in missing)
    assert report.duration_s == 60
    assert not report.validity.valid
    reasons = " | ".join(report.validity.reasons)
    for says in (
        "replayed: the sensors read the recording 'raspberry-pi-4'",
        "throttled by the firmware (at 1 of",
        "the firmware capped the clock (between two looks)",
        "soft temperature limit",
        "thermal state unlike the start",
        "to 84 C",
    ):
        assert says in reasons
    assert "foreign load" not in reasons
    assert "under-voltage" not in reasons


def test_a_pi_5_with_power_would_be_valid(run: Run) -> None:
    report = run("raspberry-pi-5", PI_5_WITH_POWER)
    values, missing = _of(report, "raspberry_pi")
    assert missing == ()
    assert values["pi.power_w"] == pytest.approx(10.7999, abs=1e-4)
    assert len(report.validity.reasons) == 1
    assert report.validity.reasons[0].startswith("replayed")


def test_a_jetson_orin_that_met_over_current(run: Run) -> None:
    report = run("jetson-orin-nano", JETSON_ORIN_NANO)
    values, missing = _of(report, "tegrastats")
    assert missing == ()
    assert values["tegra.vdd_in.power_w"] == 12.479
    assert _of(report, "ina3221")[0]["ina.power_w"] == pytest.approx(12.477696)
    assert _of(report, "jetson")[0]["oc.oc3_count"] == 7
    settings = {name: text for log in report.sensors for name, text in log.settings.items()}
    assert settings == {
        "governor": "performance",
        "power mode": "MAXN_SUPER (2)",
        "L4T": "36.4.7",
    }
    assert "over-current: the board throttled itself (oc3)" in report.validity.reasons


def test_the_command_line_replays_a_board(
    tiny_onnx: Callable[..., Path], pictures: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    frames = tmp_path / "frames"
    frames.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(frames / f"{index}.png"), picture)
    folder = record(tmp_path / "my-pi", PI_4_THAT_THROTTLES)
    command = [sys.executable, "-m", "edgeanim", "bench", str(tiny_onnx()), "--quick"]
    command += ["--frames", str(frames), "--board", "raspberry-pi-4", "-o", "report.json"]
    environment = os.environ | {REPLAY: str(folder)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "throttled by the firmware" in done.stdout
    report = load_report(tmp_path / "report.json")
    assert report.board.name == "raspberry-pi-4"
    assert not report.validity.valid


def test_what_was_recorded_here_is_replayed_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    monkeypatch.setenv(RECORD, str(folder))
    seen = []
    names = (*GENERIC, "rapl", "raspberry_pi", "tegrastats", "jetson", "ina3221")
    for _ in range(2):
        with Watch(names) as watch:
            watch.look()
            watch.end()
        seen.append((watch.readings(), watch.logs(), watch.before, watch.after))
        monkeypatch.delenv(RECORD, raising=False)
        monkeypatch.setenv(REPLAY, str(folder))
    assert seen[0] == seen[1]


def test_a_folder_that_holds_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no recording"):
        RecordedHost(tmp_path)
    (tmp_path / "0000").mkdir()
    with pytest.raises(BadInput, match="needs its clocks"):
        RecordedHost(tmp_path)
    (tmp_path / "0000/clocks.json").write_text('{"wall": "soon"}')
    with pytest.raises(BadInput, match=r"clocks\.json"):
        RecordedHost(tmp_path).clocks()
    with pytest.raises(BadInput, match="No such file"):
        RecordedHost(tmp_path / "absent")
    with pytest.raises(BadInput, match="empty folder"):
        RecordingHost(tmp_path)


def test_the_machine_is_looked_at_while_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.001)
    enough = threading.Event()

    class Counting(Host):
        looks = 0

        def advance(self, *, last: bool = False) -> None:
            del last
            self.looks += 1
            if self.looks == 4:
                enough.set()

    host = Counting(tmp_path)
    with Watch(GENERIC, host) as watch:
        assert enough.wait(30)
        watch.end()
    assert len(watch.readings()) == host.looks >= 4
    looks = host.looks
    enough.wait(0.01)
    assert host.looks == looks


def test_what_breaks_in_a_look_between_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.001)
    broken = threading.Event()

    class Breaking(Host):
        looks = 0

        def advance(self, *, last: bool = False) -> None:
            del last
            self.looks += 1
            if self.looks == 2:
                broken.set()
                raise BadInput("The disk is gone.")

    with (
        pytest.raises(BadInput, match="The disk is gone"),
        Watch(GENERIC, Breaking(tmp_path)) as watch,
    ):
        assert broken.wait(30)
        watch.end()


def test_what_a_sensor_started_ends_with_a_first_look_that_is_interrupted(tmp_path: Path) -> None:
    class Tegrastats(Stream):
        closed = False

        def latest(self) -> str:
            return "RAM 1/2MB"

        def close(self) -> None:
            self.closed = True

    class Interrupted(Host):
        def follow(self, *_: str) -> Stream:
            return running

        def run(self, *_: str) -> str:
            raise KeyboardInterrupt

    running = Tegrastats()
    with pytest.raises(KeyboardInterrupt):
        Watch(("tegrastats", "jetson"), Interrupted(tmp_path))
    assert running.closed


def test_each_look_turns_one_page_and_the_last_page_is_kept_for_the_last_look(
    tmp_path: Path,
) -> None:
    looks = [(float(at), 0.0, {"proc/number": f"{at}\n"}, {}) for at in range(4)]
    host = RecordedHost(record(tmp_path / "board", looks))
    read = []
    for last in (False, False, False, False, True):
        host.advance(last=last)
        read.append(int(host.text("proc/number")))
        assert host.clocks().steady == 500 + read[-1]
    assert read == [0, 1, 2, 2, 3]
