"""What a recovery keeps of the frames that it is to make again."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")


class Counting:
    """Makes of a take, which is a number here, a picture of that value; counts how often."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, take: Any) -> Any:
        from edgeanim.quantize.pruning.whole import Played

        self.made.append(take)
        frame = torch.full((1, 3, 8, 8), float(take))
        return Played(torch.zeros(1), {}, ({"frame": frame},))


def test_what_is_wanted_is_kept_up_to_a_limit_and_made_again_beyond() -> None:
    from edgeanim.quantize.pruning.recover import _Wanted

    teacher: Any = Counting()
    takes: Any = range(10, 20)
    one = 4 * 3 * 8 * 8
    wanted = _Wanted(teacher, takes, [0, 2, 4, 6], memory=2 * one)
    assert len(wanted) == 4
    for _ in range(3):
        for index, value in enumerate((10, 12, 14, 16)):
            assert wanted[index].bytes == one
            assert (wanted[index].frames[0]["frame"] == value).all()
    assert [teacher.made.count(value) for value in (10, 12, 14, 16)] == [1, 1, 6, 6]
