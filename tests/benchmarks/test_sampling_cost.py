from __future__ import annotations

from pathlib import Path

import pytest

from edgeanim.benchmarks import watch as watch_module
from edgeanim.benchmarks.host import Host
from edgeanim.benchmarks.sampling_cost import Cost, measure


def test_looks_and_their_time_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(watch_module, "_PAUSE_PER_COST", 0.0)
    cost = measure(("linux", "thermal"), Host(tmp_path), 0.3)
    assert cost.looks > 1
    assert cost.seconds >= 0.3
    assert cost.cpu_s >= 0


def test_the_share_is_of_one_core() -> None:
    assert Cost(looks=10, seconds=20.0, cpu_s=0.1).core_share == 0.005
