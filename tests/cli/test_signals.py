"""Signals as `main` hears them, whatever a command is about when they come."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest


def run_in_main(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """The command line's `main`, with a command that does what `body` says."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from edgeanim.cli import main\n"
        "from edgeanim.cli.progress import TerminalProgress\n"
        "def command(**_):\n"
        f"{lines}"
        "main.cli.main = command\n"
        "main.main()\n"
    )
    (tmp_path / "command.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "command"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)], ids=["Ctrl-C", "kill"]
)
def test_a_signal_that_a_package_swallows_as_it_starts_ends_the_command_nevertheless(
    tmp_path: Path, name: str, code: int
) -> None:
    (tmp_path / "swallows.py").write_text(
        f"import os, signal\ntry:\n    os.kill(os.getpid(), signal.{name})\n    while True: pass\n"
        "except:\n    pass\n"
    )
    body = (
        "from edgeanim.core.packages import require\n"
        "with TerminalProgress() as progress:\n"
        "    progress.stage('Import')\n"
        "    require('Testing', 'swallows', extra='all')\n"
        "    print('went on', flush=True)\n"
        "    progress.stage('Work')\n"
        "print('did it all')"
    )
    done = run_in_main(tmp_path, body)
    assert (done.returncode, done.stdout) == (code, "went on\n"), done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_that_is_swallowed_in_a_command_without_progress_is_told_by_its_exit_code(
    tmp_path: Path,
) -> None:
    body = (
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
        "except:\n"
        "    pass\n"
        "print('went on')"
    )
    done = run_in_main(tmp_path, body)
    assert (done.returncode, done.stdout) == (130, "went on\n"), done.stderr
    assert "Interrupted." in done.stderr


def test_ctrl_c_that_was_heard_does_not_end_what_is_done_because_of_it(tmp_path: Path) -> None:
    body = (
        "from edgeanim.core.interruption import acknowledge\n"
        "with TerminalProgress() as progress:\n"
        "    progress.stage('Search')\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        while True: pass\n"
        "    except KeyboardInterrupt:\n"
        "        progress.stage('End what runs elsewhere')\n"
        "        acknowledge()\n"
        "    progress.stage('Write what was found')\n"
    )
    done = run_in_main(tmp_path, body)
    assert done.returncode == 0, done.stderr
    assert "Write what was found" in done.stderr


@pytest.mark.parametrize("first", ["os.kill(os.getpid(), signal.SIGINT)", "pass"])
def test_a_further_ctrl_c_waits_until_all_is_cleared_away(tmp_path: Path, first: str) -> None:
    """It left a bench's scratch folder, tens of megabytes, or what a stage had half made."""
    body = (
        "import shutil, tempfile\n"
        "from edgeanim.core.scratch import scratch_folder\n"
        "from edgeanim.core.store import Store\n"
        "tempfile.tempdir = os.getcwd()\n"
        "remove = shutil.rmtree\n"
        "def slowly(*args, **options):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(1000): pass\n"
        "    remove(*args, **options)\n"
        "shutil.rmtree = slowly\n"
        "def make(folder):\n"
        f"    {first}\n"
        "with scratch_folder('test'):\n"
        "    print('began', flush=True)\n"
        "    Store(Path('store')).build('stage', {}, make)\n"
        "print('went on')"
    )
    done = run_in_main(tmp_path, body)
    assert done.returncode == 130, done.stderr
    assert "Interrupted." in done.stderr
    assert done.stdout == "began\n"
    assert not [*tmp_path.glob("edgeanim-scratch-*"), *(tmp_path / "store").rglob(".*")]


def test_a_further_ctrl_c_waits_until_the_runs_on_boards_are_ended(tmp_path: Path) -> None:
    """It left them running there, and their folders for two weeks."""
    body = (
        "from edgeanim.targets.on.remote import ended_with_us\n"
        "class Board:\n"
        "    def stop(self, call):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        for _ in range(1000): pass\n"
        "        print('ended')\n"
        "with ended_with_us([Board(), Board()], None):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
    )
    done = run_in_main(tmp_path, body)
    assert (done.returncode, done.stdout) == (130, "ended\nended\n"), done.stderr
    assert "Interrupted." in done.stderr


def test_a_further_ctrl_c_at_the_very_end_prints_no_traceback(tmp_path: Path) -> None:
    body = (
        "import atexit\n"
        "def press():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(1000): pass\n"
        "atexit.register(press)\n"
        "raise KeyboardInterrupt"
    )
    done = run_in_main(tmp_path, body)
    assert done.stderr == "Interrupted.\n"
    assert done.returncode in (130, -signal.SIGINT)  # a shell tells both as 130


def test_only_what_is_kept_is_said_to_be(tmp_path: Path) -> None:
    body = (
        "from edgeanim.core.store import Store\n"
        "def make(folder):\n"
        "    if 'before' in sys.path[-1]: raise KeyboardInterrupt\n"
        "sys.path.append(WHEN)\n"
        "Store(Path('store')).build('stage', {}, make)\n"
        "raise KeyboardInterrupt"
    )
    before = run_in_main(tmp_path, body.replace("WHEN", "'before'"))
    assert (before.returncode, before.stderr) == (130, "Interrupted.\n")
    after = run_in_main(tmp_path, body.replace("WHEN", "'after'"))
    said = "Interrupted. Finished stages are kept; run it again to go on.\n"
    assert (after.returncode, after.stderr) == (130, said)
    again = run_in_main(tmp_path, body.replace("WHEN", "'before'"))
    assert again.stderr == said


def test_ctrl_c_within_a_native_modules_own_code_ends_with_130_too(tmp_path: Path) -> None:
    code = (
        "import atexit, ctypes\n"
        "from edgeanim.cli import main\n"
        "atexit.register(print, 'cleaned up')\n"
        "run = ctypes.pythonapi.PyRun_String\n"
        "run.restype = ctypes.py_object\n"
        "space = ctypes.py_object({'__builtins__': __builtins__})\n"
        "main.cli.main = lambda **_: run(b'raise KeyboardInterrupt', 257, space, space)\n"
        "main.main()\n"
    )
    (tmp_path / "interrupted.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stdout == "cleaned up\n"
    assert "Interrupted" in done.stderr
