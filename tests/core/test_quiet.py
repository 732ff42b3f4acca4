"""Other packages are silenced for a while, and this process is heard again after it."""

from __future__ import annotations

import logging
import os
import threading
import warnings

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
    before, level = list(warnings.filters), logging.root.manager.disable
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
    assert (list(warnings.filters), logging.root.manager.disable) == (before, level)
