"""Progress on standard error: a bar on a terminal, lines elsewhere."""

import fcntl
import io
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios

import pytest

from edgeanim.cli.progress import TerminalProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal; in the test itself, before which pytest puts its own there."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_elsewhere_there_is_a_line_for_each_finished_stage(capsys: pytest.CaptureFixture) -> None:
    with TerminalProgress() as progress:
        progress.stage("Judge", 2)
        progress.step()
        progress.stage("Compile")
        progress.done("3 graphs")
        progress.stage("Measure")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["Judge", "Compile", "Measure"]
    assert all(re.search(r" \d+\.\d s +\d+\.\d s CPU", line) for line in lines)
    assert lines[1].endswith("  3 graphs")


BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint('', flush=True)\n"


def seconds_of(progressed: str) -> list[float]:
    """The processor time of each stage."""
    return [float(seconds) for seconds in re.findall(r"([-\d.]+) s CPU", progressed)]


def test_what_a_process_does_counts_in_the_stage_in_which_it_works(
    capsys: pytest.CaptureFixture,
) -> None:
    """Not in the one in which it ends, as the system counts it."""
    command = [sys.executable, "-c", f"{BUSY}input()"]
    with TerminalProgress() as progress:
        progress.stage("Work")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            progress.stage("End")
            child.communicate(b"\n")
    work, end = seconds_of(capsys.readouterr().err)
    assert work >= 0.5
    assert 0 <= end < 0.5


def test_a_process_that_nobody_waits_for_takes_no_time_back(capsys: pytest.CaptureFixture) -> None:
    """One whose parent ended is not counted any more."""
    orphan = shlex.join([sys.executable, "-c", f"{BUSY}time.sleep(60)"])
    command = ["sh", "-c", f"{orphan} & echo $!; read _"]
    with TerminalProgress() as progress:
        progress.stage("Work")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
            assert shell.stdout is not None
            pid = int(shell.stdout.readline())
            shell.stdout.readline()
            progress.stage("End")
            shell.stdin.close()
            shell.wait()
            progress.done()
            os.kill(pid, signal.SIGKILL)
    work, end = seconds_of(capsys.readouterr().err)
    assert work >= 0.5
    assert 0 <= end < 0.5


def test_on_a_terminal_a_bar_is_drawn_over_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with TerminalProgress() as progress:
        progress.stage("Judge", 4)
        progress.step(1, "frame 1")
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn[2] == f"Judge [{'=' * 5}{' ' * 15}] 1/4 frame 1"
    assert drawn[3].startswith("Judge ")
    assert drawn[3].endswith("CPU\n")


def test_a_bar_ends_where_all_is_done_even_if_more_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with TerminalProgress() as progress:
        progress.stage("Judge", 3)
        for _ in range(4):
            progress.step()
    drawn = terminal.getvalue().split("\r\x1b[K")
    bars = [line[line.index("[") :].rstrip() for line in drawn if "[" in line]
    assert bars == [
        f"[{'=' * filled}{' ' * (20 - filled)}] {count}/3"
        for count, filled in enumerate((0, 6, 13, 20, 20))
    ]


@pytest.mark.parametrize(("columns", "widest"), [(40, 39), (80, 79), (200, 99), (0, 99)])
def test_a_bar_stays_on_one_line_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, widest: int
) -> None:
    """One that runs over it is not drawn over, but leaves a line each time; 0 is no width known."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        progress = TerminalProgress()
        progress.stage("training", 1150)
        progress.step(1, "generator pixels 0.068 structure 0.098 warp 0.032" + 9 * " flow 0.040")
        terminal.write("\n")
    with os.fdopen(ours, newline="\n") as shown:
        line = shown.readline().rstrip("\r\n")
    assert len(line.split("\x1b[K")[2]) == widest


def test_names_of_strangers_do_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with TerminalProgress() as progress:
        progress.stage("Animate with \x1b[2J", 4)
        progress.step(1, "\x1b[2J")
        progress.done("\x1b[2J")
    drawn = terminal.getvalue()
    assert drawn.count("\\x1b[2J") == 5
    assert "\x1b" not in drawn.replace("\r\x1b[K", "")


def test_an_error_starts_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with pytest.raises(ValueError, match="no"), TerminalProgress() as progress:
        progress.stage("Judge", 4)
        raise ValueError("no")
    assert terminal.getvalue().endswith(f"Judge [{' ' * 20}] 0/4 \n")


def test_between_stages_an_error_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with pytest.raises(ValueError, match="no"), TerminalProgress() as progress:
        progress.stage("Judge", 4)
        progress.done()
        before = terminal.getvalue()
        raise ValueError("no")
    assert terminal.getvalue() == before
