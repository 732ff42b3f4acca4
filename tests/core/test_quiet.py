"""Other packages are silenced for a while, and this process is heard again after it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import pytest

from edgeanim.core.quiet import quiet


def test_what_is_printed_inside_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(1, b"chatter")
        with quiet():
            os.write(2, b"chatter")
        os.write(2, b"more of it")
    os.write(1, b"heard")
    assert capfd.readouterr() == ("heard", "")


def test_blocks_of_two_threads_that_overlap_leave_nothing_silenced(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before, handlers = list(warnings.filters), list(logging.root.handlers)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with quiet():
            second_in.set()
            first_out.wait(10)
            os.write(1, b"chatter")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"heard")
    assert capfd.readouterr() == ("heard", "")
    assert list(warnings.filters) == before
    assert handlers
    assert not any(handler.filters for handler in handlers)


def test_what_other_threads_log_meanwhile_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """A service lost its errors while one of its threads opened a player."""
    log = logging.getLogger("service")

    def serve() -> None:
        log.error("served")

    with quiet():
        log.error("chatter")
        with quiet():
            thread = threading.Thread(target=serve)
            thread.start()
            thread.join()
        log.error("chatter")
    log.error("over")
    assert caplog.messages == ["served", "over"]


@pytest.mark.parametrize("closing", ["<&- >&- 2>&-", ">&- 2>&-", ">&-"])
def test_a_service_without_standard_streams_keeps_the_files_that_have_their_numbers(
    closing: str, tmp_path: Path
) -> None:
    program = """
import os, sys
from edgeanim.core.packages import require
kept = open(sys.argv[1], "w")  # gets the lowest number that is free
require("This", "json", extra="all")
from edgeanim.core.quiet import quiet
with quiet():
    print("of the service", file=kept, flush=True)
for number in (1, 2):
    try:
        os.close(number)
    except OSError:
        pass
with quiet():
    pass
"""
    file = tmp_path / "kept.txt"
    command = ["sh", "-c", f'exec "$0" -c "$1" "$2" {closing}', sys.executable, program, str(file)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert file.read_text() == "of the service\n"


def test_without_a_folder_for_temporary_files_prints_go_nowhere(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with quiet():
            os.write(1, b"chatter")
    os.write(1, b"heard")
    assert capfd.readouterr() == ("heard", "")
