"""What `bench --json` prints of one place, and of several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeanim.benchmarks.emulation import Emulation
from edgeanim.benchmarks.results.result import ModelRecord
from edgeanim.cli.bench import command
from edgeanim.core.errors import DeviceFailed
from edgeanim.pipeline.on import bench
from edgeanim.pipeline.on.bench import Placed


def test_of_several_places_each_says_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "net.eab"
    model = ModelRecord("net", "0" * 64, None)
    report = Emulation("edgeanim.emulation/1", "haswell", "", "x86-avx2", "3.11", model, ())
    found = [
        Placed("emulated:haswell", report),
        Placed("ssh://pi@pi4", error=DeviceFailed("It does not answer.", where="ssh://pi@pi4")),
    ]
    monkeypatch.setattr(bench, "bench_on", lambda *_, **__: found)
    several = CliRunner().invoke(command, [str(bundle), "--json"])
    assert several.exit_code == DeviceFailed.exit_code
    one, other = json.loads(several.stdout)
    assert (one["place"], one["error"]) == ("emulated:haswell", None)
    assert (other["place"], other["report"]) == ("ssh://pi@pi4", None)
    assert "does not answer" in other["error"]
    monkeypatch.setattr(bench, "bench_on", lambda *_, **__: found[:1])
    alone = CliRunner().invoke(command, [str(bundle), "--json"])
    assert json.loads(alone.stdout) == one["report"]
