"""An interruption that was swallowed is raised again, and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from edgeanim.core.interruption import acknowledge, end_with, raise_unacknowledged


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    acknowledge()


def swallow(error: BaseException) -> None:
    with suppress(BaseException):
        end_with(error)


def test_nothing_is_raised_that_nobody_asked_for() -> None:
    raise_unacknowledged()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_what_was_swallowed_is_raised_again_however_often_that_takes(error: BaseException) -> None:
    swallow(error)
    for _ in range(2):
        with pytest.raises(type(error)) as again:
            raise_unacknowledged()
        assert again.value.args == error.args


def test_what_was_heard_is_not() -> None:
    swallow(KeyboardInterrupt())
    acknowledge()
    raise_unacknowledged()


def test_it_is_not_raised_while_it_is_handled() -> None:
    """Where runs on boards are ended because of it, say."""
    with pytest.raises(KeyboardInterrupt):
        try:
            end_with(KeyboardInterrupt())
        finally:
            raise_unacknowledged()
    with pytest.raises(KeyboardInterrupt):
        raise_unacknowledged()


def test_it_is_raised_in_the_main_thread_alone() -> None:
    """Others end when that ends them."""
    swallow(KeyboardInterrupt())
    went_on = []

    def work() -> None:
        raise_unacknowledged()
        went_on.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert went_on
