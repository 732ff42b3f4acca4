from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgeanim.benchmarks.figures.sampling_cost import Cost, measure
from edgeanim.benchmarks.machine import watch as watch_module
from edgeanim.benchmarks.machine.host import Host


def test_looks_and_their_time_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(watch_module, "_PAUSE_PER_COST", 0.0)
    cost = measure(("linux", "thermal"), Host(tmp_path), 0.3)
    assert cost.looks > 1
    assert cost.seconds >= 0.3
    assert cost.cpu_s >= 0


def test_the_dearer_looks_are_the_seldomer_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Host):
        """Keeps a core busy for 4 ms at every look, which is 1 % of nearly half a second."""

        def advance(self, *, last: bool = False) -> None:
            super().advance(last=last)
            end = time.thread_time() + 0.004
            while time.thread_time() < end:
                pass

    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.001)
    assert 1 <= measure(("linux",), Slow(tmp_path), 0.7).looks <= 3


def test_the_share_is_of_one_core() -> None:
    assert Cost(looks=10, seconds=20.0, cpu_s=0.1).core_share == 0.005
