from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.benchmarks.machine.governor import governed
from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.result import ModelRecord, Settings
from edgeanim.benchmarks.runner import Subject, run_bench
from edgeanim.targets.board import load_board


@pytest.fixture
def cores(tmp_path: Path) -> list[Path]:
    """Two cores' governor files under a root of their own."""
    files = []
    for core in range(2):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        files.append(folder / "scaling_governor")
        files[-1].write_text("powersave\n")
    return files


def _governors(files: list[Path]) -> list[str]:
    return [file.read_text().strip() for file in files]


def test_the_governor_is_set_and_put_back_even_after_an_error(
    cores: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), governed("performance", tmp_path) as remarks:
        assert remarks == ()
        assert _governors(cores) == ["performance", "performance"]
        raise KeyboardInterrupt
    assert _governors(cores) == ["powersave", "powersave"]


def test_the_governor_is_put_back_even_if_setting_it_is_interrupted(
    cores: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text
    written: list[Path] = []

    def interrupted(file: Path, text: str) -> int:
        written.append(file)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(file, text)

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt), governed("performance", tmp_path):
        pass
    assert written[:2] == cores
    assert _governors(cores) == ["powersave", "powersave"]


def test_nothing_is_touched_unless_asked_for(cores: list[Path], tmp_path: Path) -> None:
    with governed(None, tmp_path) as remarks:
        assert remarks == ()
        assert _governors(cores) == ["powersave", "powersave"]


def test_cores_that_are_off_with_their_cluster_stand_in_nobodys_way(
    cores: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def refused_when_off(file: Path) -> str:
        if file == cores[0]:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(file))
        return read(file)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refused_when_off)
        with governed("performance", tmp_path) as remarks:
            assert (remarks, read(cores[1])) == ((), "performance\n")
    assert _governors(cores) == ["powersave", "powersave"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_what_is_not_allowed_is_said(cores: list[Path], tmp_path: Path) -> None:
    for file in cores:
        file.chmod(0o444)
    with governed("performance", tmp_path) as remarks:
        assert "Permission denied" in remarks[0]
        assert "it stayed powersave" in remarks[0]


def test_a_machine_without_governors_says_so(tmp_path: Path) -> None:
    with governed("performance", tmp_path) as remarks:
        assert "has none" in remarks[0]


def test_workers_keep_to_the_cores_of_the_board(
    compile_tiny: Callable[[str], Subject], golden: Path
) -> None:
    core = min(os.sched_getaffinity(0))
    board = replace(load_board("local"), affinity=(core,), governor=None)
    options = BenchOptions(iterations=2, rounds=1, blocks=1, block_s=0, warmup_frames=1, warmup_s=0)
    model = ModelRecord("tiny", "0" * 64, None)

    def settings(threads: int) -> Settings:
        given = replace(options, threads=threads)
        tiny = [compile_tiny("null")]
        return run_bench(tiny, golden, given, model=model, board=board).settings

    assert (settings(1).affinity, settings(1).remarks) == ((core,), ())
    assert settings(3).remarks == ("3 threads shared 1 core",)
    assert os.sched_getaffinity(0) != {core} or len(os.sched_getaffinity(0)) == 1
