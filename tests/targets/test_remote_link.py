"""A call whose link is cut is taken up again, or picked up by the next call."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.targets.on.link import Link, LinkLost
from edgeanim.targets.on.remote import Remote
from tests.targets.far_end import Board, Notes, counting_call

pytestmark = pytest.mark.usefixtures("small_code")


def _cut_once(there: Remote, board: Board) -> threading.Thread:
    def cut() -> None:
        board.wait_for(3)
        assert there._link is not None
        there._link.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    return thread


def test_a_link_cut_in_mid_run_is_taken_up_again(fake: Board, tmp_path: Path) -> None:
    _cut_and_take_up(fake, tmp_path)


def test_a_real_link_cut_in_mid_run_is_taken_up_again(real: Board, tmp_path: Path) -> None:
    _cut_and_take_up(real, tmp_path)


def _cut_and_take_up(board: Board, tmp_path: Path) -> None:
    notes = Notes()
    there = Remote(board.host, notes, retry_s=(0.1, 0.1))
    cutter = _cut_once(there, board)
    results = there.run(counting_call(tmp_path, steps=12, pause=0.1))
    cutter.join()
    assert results["answer.json"] == b"once\n"
    assert notes.steps == [str(i) for i in range(12)]
    assert board.runs() == []


def test_a_link_is_taken_up_as_often_as_it_is_lost_while_the_run_gets_on(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, heard = Link.answer, []

    def lost_after_each_log(link: Link) -> dict[str, Any]:
        if heard and heard[-1].get("log") and len(heard) < 4:
            heard.append({})
            raise LinkLost("The link was lost.")
        heard.append(answer(link))
        return heard[-1]

    monkeypatch.setattr(Link, "answer", lost_after_each_log)
    notes = Notes()
    call = counting_call(tmp_path, steps=12, pause=0.1)
    there = Remote(fake.host, notes, retry_s=(0.05,))
    start = there._start
    monkeypatch.setattr(there, "_start", lambda *given: (start(*given), heard.clear()))
    assert there.run(call) == {"answer.json": b"once\n"}
    assert heard.count({}) >= 2
    assert notes.steps == [str(i) for i in range(12)]


def test_a_file_that_is_damaged_on_its_way_back_is_noticed(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Link.answer

    def another_hash(link: Link) -> dict[str, Any]:
        found = answer(link)
        return found | {"sha256": "0" * 64} if "sha256" in found else found

    monkeypatch.setattr(Link, "answer", another_hash)
    with pytest.raises(DeviceFailed, match=r"damaged on its way.*Run the same command again"):
        Remote(fake.host, retry_s=()).run(counting_call(tmp_path, pause=0.0))


@pytest.mark.parametrize("end", ["", "refuse", "die"])
def test_a_link_cut_while_the_run_is_removed_costs_no_result(
    fake: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    ask = Link.ask

    def cut_after_drop(link: Link, do: str, **request: Any) -> dict[str, Any]:
        answer = ask(link, do, **request)
        if do == "drop":
            raise LinkLost("The link was lost.")
        return answer

    monkeypatch.setattr(Link, "ask", cut_after_drop)
    there, call = Remote(fake.host, retry_s=(0.1,)), counting_call(tmp_path, pause=0.0, end=end)
    if end:
        with pytest.raises(DeviceFailed if end == "die" else BadInput, match=r"no more|Too blue"):
            there.run(call)
    else:
        assert there.run(call) == {"answer.json": b"once\n"}
    assert fake.runs() == []


def test_a_run_whose_link_stays_away_goes_on_and_is_picked_up(fake: Board, tmp_path: Path) -> None:
    _lose_and_pick_up(fake, tmp_path)


def test_a_real_run_goes_on_without_us_and_is_picked_up(real: Board, tmp_path: Path) -> None:
    _lose_and_pick_up(real, tmp_path)


def _lose_and_pick_up(board: Board, tmp_path: Path) -> None:
    there = Remote(board.host, retry_s=())
    cutter = _cut_once(there, board)
    call = counting_call(tmp_path, steps=10, pause=0.1)
    with pytest.raises(DeviceFailed, match="goes on there"):
        there.run(call)
    cutter.join()
    notes = Notes()
    results = Remote(board.host, notes).run(call)
    assert re.search(r"picked up the run that began at \d{4}-\d\d-\d\d \d", notes.ends[0])
    assert results["answer.json"] == b"once\n"
    assert notes.steps == [str(i) for i in range(10)]
    assert board.runs() == []


def test_two_who_make_the_same_call_both_get_what_came_of_it(fake: Board, tmp_path: Path) -> None:
    """From two terminals, say, or by two names of one board: who was first removed the run."""
    call = counting_call(tmp_path, steps=10, pause=0.1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(Remote(fake.host, retry_s=()).run, call)
        fake.wait_for(2)
        second = Remote(fake.host, retry_s=())
        fetched, finish = threading.Event(), second._finish

        def late(*given: Any) -> dict[str, bytes]:
            fetched.wait(20)
            return finish(*given)

        second._finish = late  # type: ignore[method-assign]
        other = pool.submit(second.run, call)
        assert first.result(20) == {"answer.json": b"once\n"}
        fetched.set()
        assert other.result(20) == {"answer.json": b"once\n"}
    assert fake.runs() == []
