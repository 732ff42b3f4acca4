"""A call on a host that is stopped: the run ends there, and no other does."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeanim.core.errors import DeviceFailed
from edgeanim.targets.on import remote
from edgeanim.targets.on.link import Link, LinkLost, open_link
from edgeanim.targets.on.remote import Remote
from tests.targets.far_end import Board, Notes, counting_call, fake_board

pytestmark = pytest.mark.usefixtures("small_code")


def test_a_stopped_run_is_gone(fake: Board, tmp_path: Path) -> None:
    there = Remote(fake.host, retry_s=(0.1,))
    call = counting_call(tmp_path, steps=1000)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            there.run(call)
        except DeviceFailed as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    fake.wait_for(2)
    pid = int((fake.runs()[0] / "pid").read_text())
    there.stop(call)
    thread.join()
    assert failed
    assert fake.runs() == []
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_run_whose_start_was_never_answered_is_stopped_too(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Link.ask

    def interrupted(link: Link, do: str, **request: Any) -> dict[str, Any]:
        answer = ask(link, do, **request)
        if do == "start":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Link, "ask", interrupted)
    there, call = Remote(fake.host), counting_call(tmp_path, steps=1000)
    with pytest.raises(KeyboardInterrupt):
        there.run(call)
    fake.wait_for(1)
    there.stop(call)
    assert fake.runs() == []


def test_a_run_that_is_being_started_is_ended_once_it_has_begun(fake: Board) -> None:
    """Until then there is no process to end, and a folder removed would only come again."""

    def end() -> None:
        with open_link(fake.host) as link:
            link.ask("stop", run="0" * 32)

    (fake.folder / "runs").mkdir(parents=True)
    with (fake.folder / "runs" / ".lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        thread = threading.Thread(target=end)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
    thread.join(10.0)
    assert not thread.is_alive()


def test_what_was_stopped_while_the_link_was_lost_is_not_taken_up_again(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, call = Remote(fake.host, retry_s=(0.1,)), counting_call(tmp_path, pause=0.0)
    ask, asked = Link.ask, []

    def lost_at_first(link: Link, do: str, **request: Any) -> dict[str, Any]:
        asked.append(do)
        if len(asked) == 1:
            raise LinkLost("The link was lost.")
        return ask(link, do, **request)

    monkeypatch.setattr(Link, "ask", lost_at_first)
    waiting = SimpleNamespace(sleep=lambda _: there.stop(call))
    monkeypatch.setattr(remote, "time", waiting)
    with pytest.raises(LinkLost):
        there.run(call)
    assert asked == ["probe"]


def test_a_run_that_cannot_be_ended_is_told_of_and_stops_no_other(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C stays Ctrl-C, and the next host's run is ended all the same."""
    notes = Notes()
    there = Remote(fake.host, notes)
    there._asked = True
    fake_board(tmp_path, monkeypatch, before="echo 'No route to host' >&2; exit 255")
    there.stop(counting_call(tmp_path))
    assert notes.stages == ["pi@board: end the run"]
    assert "No route to host. The run goes on there." in notes.ends[0]
