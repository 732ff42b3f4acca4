"""Scratch folders go with their block, or with the next one if their process was killed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeanim.core import scratch
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.scratch import scratch_folder

HOLDING = """
import sys, time
from edgeanim.core.scratch import scratch_folder
with scratch_folder("test") as folder:
    (folder / "weights").write_bytes(bytes(9))
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _of_long_ago(folder: Path) -> None:
    os.utime(folder, (0, 0))


@contextmanager
def _of_another_process() -> Iterator[Path]:
    """The scratch folder of a process that is killed as the block ends."""
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            yield Path(other.stdout.readline().strip())
        finally:
            other.send_signal(signal.SIGKILL)


def test_what_a_killed_process_left_goes_and_what_one_uses_stays(temporary: Path) -> None:
    with _of_another_process() as folder, scratch_folder("test") as own:
        _of_long_ago(folder)
        _of_long_ago(own)
        with scratch_folder("test"):
            assert own.is_dir()
            assert (folder / "weights").exists()
    assert list(temporary.iterdir()) == [folder]
    with scratch_folder("another"):
        assert folder.exists()
    with scratch_folder("test"):
        assert not folder.exists()
    assert list(temporary.iterdir()) == []


def test_only_folders_of_ones_own_go(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    led_to = tmp_path_factory.mktemp("led_to")
    _of_long_ago(led_to)
    link, file = temporary / "edgeanim-scratch-test-link", temporary / "edgeanim-scratch-test-file"
    link.symlink_to(led_to)
    file.touch()
    _of_long_ago(file)
    with scratch_folder("test"):
        pass
    assert sorted(temporary.iterdir()) == [file, link]
    assert led_to.is_dir()


def test_a_disk_without_room_is_told_as_such(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(temporary / "gone")])
    with pytest.raises(DeviceFailed, match="TMPDIR"), scratch_folder("test"):
        pass


def test_every_folder_for_temporary_files_is_one_of_these() -> None:
    """Others would stay where a process is killed, and fail without a word where none can be made.
    Those beside what they will become (`dir=`) have to lie there."""
    root = Path(scratch.__file__).resolve().parents[2]
    tops = ("edgeanim", "quantize", "targets", "benchmarks")
    files = {file.resolve() for top in tops for file in (root / top).rglob("*.py")}
    made = [
        f"{file.relative_to(root)}:{node.lineno}"
        for file in sorted(files - {Path(scratch.__file__).resolve()})
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("TemporaryDirectory", "mkdtemp")
        and "dir" not in {keyword.arg for keyword in node.keywords}
    ]
    assert len(files) > 400
    assert not made
