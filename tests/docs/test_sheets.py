"""What the program of the contact sheets takes its scenes for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "docs" / "sheets.py"


def test_a_plus_may_be_in_the_name_of_a_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse_scene = runpy.run_path(str(PROGRAM))["parse_scene"]
    monkeypatch.chdir(tmp_path)
    Path("a+b.png").touch()
    assert parse_scene("a+b.png=wave") == (Path("a+b.png"), None, "wave")
    assert parse_scene("a.png+more=wave") == (Path("a.png"), Path("more"), "wave")
