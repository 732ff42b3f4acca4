"""The comparison of steps at the same time with steps one after the other, on a small bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.benchmarks.figures.overlapping import compare, main
from edgeanim.runtime.media import write_animation
from edgeanim.targets.bundle import open_bundle

SMALL = Path(__file__).with_name("small.eab")


def test_both_ways_are_timed_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.gif"
    write_animation(clip, (np.full((32, 32, 3), 20 * i, np.uint8) for i in range(6)), 25)
    with open_bundle(SMALL) as bundle:
        variant = bundle.variants[0].id
        found = compare(bundle, variant, None, clip, ".gif", threads=1, rounds=2)
    assert found.apart_ms > 0
    assert found.overlapping_ms > 0
    assert found.gain.interval.low <= found.gain.value <= found.gain.interval.high
    command = [str(SMALL), "--drive", str(clip), "--to", ".gif", "--variant", variant]
    assert main([*command, "--rounds", "2"]) == 0
    assert f"{variant} to .gif: " in capsys.readouterr().out
    for wrong in (["--rounds", "1"], ["--variant", "nothing"], ["--threads", "0"]):
        assert main([*command, *wrong]) == 2
    assert main([*command, "--drive", str(tmp_path / "none.gif")]) == 3
