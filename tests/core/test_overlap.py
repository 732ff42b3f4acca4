"""Steps that work ahead of each other: the same items in their order, and nothing left behind."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core import overlap as overlap_module
from edgeanim.core.overlap import Overlap

_WAIT = 10.0


def steps_running() -> int:
    return sum(thread.name == "edgeanim-ahead" for thread in threading.enumerate())


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 4))
def test_items_come_in_their_order_through_any_number_of_steps(items, steps):
    with Overlap() as overlap:
        stream = iter(items)
        for _ in range(steps):
            stream = overlap.ahead(stream)
        assert list(stream) == items
        assert list(stream) == []
    assert not steps_running()


def test_the_next_item_is_made_while_one_is_used_and_none_further():
    made, second = [], threading.Event()

    def source() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            if number == 1:
                second.set()
            yield number

    with Overlap() as overlap:
        stream = overlap.ahead(source())
        assert next(stream) == 0
        assert second.wait(_WAIT)  # nobody has asked for it
        time.sleep(0.05)
        assert made == [0, 1]
        assert next(stream) == 1
    assert len(made) <= 3


def test_what_a_step_raises_comes_in_its_place():
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with Overlap() as overlap:
        stream = overlap.ahead(x + 1 for x in overlap.ahead(source()))
        assert next(stream) == 2
        for _ in range(2):
            with pytest.raises(ValueError, match="broken"):
                next(stream)
    assert not steps_running()


def test_the_end_of_the_block_ends_what_is_still_going_on_and_closes_it():
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)

    with pytest.raises(KeyError), Overlap() as overlap:
        stream = overlap.ahead(overlap.ahead(source()))
        next(stream)
        raise KeyError
    assert not steps_running()
    assert closed == ["edgeanim-ahead"]
    assert list(itertools.islice(stream, 5)) in ([], [1])  # what was ready, and no more


def test_a_step_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(overlap_module, "_LAST_SECONDS", 0.05)
    release = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        release.wait(_WAIT)
        yield 1

    with Overlap() as overlap:
        stream = overlap.ahead(source())
        assert next(stream) == 0
        began = time.monotonic()
    assert time.monotonic() - began < _WAIT / 2
    release.set()
    assert next(stream, None) in (None, 1)


def test_a_step_that_is_never_asked_for_anything_ends_too():
    with Overlap() as overlap:
        overlap.ahead(itertools.count())
    assert not steps_running()


def test_of_what_does_not_wait_the_first_is_given_then_the_newest_and_others_are_counted():
    shown, asked = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield from range(5)
        shown.set()
        assert asked.wait(_WAIT)
        yield from range(5, 9)

    with Overlap() as overlap:
        stream = overlap.newest(source())
        assert overlap.ahead(stream) is stream  # a step that reads ahead would let it grow old
        assert not shown.wait(0.05)
        assert next(stream) == 0
        assert shown.wait(_WAIT)
        assert next(stream) == 4
        assert overlap.left_out == 3
        asked.set()
        rest = list(stream)
        assert rest[-1] == 8
        assert overlap.left_out == 9 - 2 - len(rest)
    assert not steps_running()


def test_what_does_not_wait_ends_as_its_source_does_after_the_last_item():
    closed, ended = threading.Event(), threading.Event()

    def broken() -> Iterator[int]:
        try:
            yield 1
            yield 2
            raise ValueError("broken")
        finally:
            closed.set()

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            ended.set()

    with Overlap() as overlap:
        stream = overlap.newest(broken())
        assert next(stream) == 1
        assert closed.wait(_WAIT)
        assert next(stream) == 2
        with pytest.raises(ValueError, match="broken"):
            next(stream)
        next(overlap.newest(endless()))
    assert ended.is_set()
    assert not steps_running()


def test_where_no_thread_can_be_started_items_come_one_after_the_other(monkeypatch):
    def refused(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with Overlap() as overlap:
        assert list(overlap.ahead(overlap.ahead(range(3)))) == [0, 1, 2]
        assert list(overlap.newest(range(3))) == [0, 1, 2]
