"""`edgeanim inspect` of a bundle: what travels to a board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeanim import api
from edgeanim.cli.inspect import command
from edgeanim.core.contract import load_contract
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.targets.bundle import open_bundle

SMALL = Path(__file__).parents[1] / "benchmarks" / "small.eab"


def test_it_lists_what_the_bundle_holds() -> None:
    info = api.inspect(SMALL)
    with open_bundle(SMALL) as bundle:
        assert info.contract == bundle.contract
        assert info.sha256 == bundle.sha256
        assert [variant.id for variant in info.variants] == [v.id for v in bundle.variants]
    assert info.size == SMALL.stat().st_size > sum(variant.size for variant in info.variants) > 0
    assert info.golden_frames > 0
    shown = CliRunner().invoke(command, [str(SMALL)], catch_exceptions=False).output
    for variant in info.variants:
        assert variant.id in shown
    assert "made by: tests/benchmarks/make_small.py" in shown
    told = CliRunner().invoke(command, [str(SMALL), "--json"], catch_exceptions=False).output
    assert json.loads(told)["sha256"] == info.sha256


def test_its_contract_can_be_saved_but_not_replaced(tmp_path: Path) -> None:
    saved = tmp_path / "model.toml"
    info = api.inspect(SMALL, save_contract=saved)
    assert load_contract(tmp_path) == info.contract
    with pytest.raises(UsageError, match="--contract"):
        api.inspect(SMALL, contract=saved)


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    harmed = bytearray(SMALL.read_bytes())
    harmed[len(harmed) // 2] ^= 1
    (tmp_path / "harmed.eab").write_bytes(harmed)
    with pytest.raises(BadInput):
        api.inspect(tmp_path / "harmed.eab")


def test_a_backend_of_a_later_version_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeanim.pipeline import inspect_bundle

    def unknown(name: str) -> None:
        raise UsageError(f"There is no backend {name!r}.")

    monkeypatch.setattr(inspect_bundle, "get_backend", unknown)
    info = api.inspect(SMALL)
    assert info.variants
    assert not any(variant.runs_here for variant in info.variants)
    assert all("There is no backend" in (variant.reason or "") for variant in info.variants)
