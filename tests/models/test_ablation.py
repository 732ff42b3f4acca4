"""An ablation trains arms that differ in one thing, trains none twice, and shows them all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import to_plain
from edgeanim.core.progress import SILENT
from edgeanim.models import ablation
from edgeanim.models.ablation import ARMS, ablate, hide_cue, table
from edgeanim.models.animator import load_animator
from edgeanim.models.train import train
from edgeanim.models.training.batches import draw_batch, load_material
from edgeanim.models.training.config import DataConfig, Phase, TrainConfig
from tests.models.tiny_training import TINY

SHORT = (Phase(2, batch=2, sizes=(64,)),)
CONFIG = TrainConfig(
    model=TINY, data=DataConfig(puppets=2, moments=2), regions=SHORT, generator=SHORT, gan_from=0.0
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    start = train(CONFIG, tmp_path_factory.mktemp("start"))
    return replace(CONFIG, start=start, regions=())


@pytest.fixture(scope="module")
def ablated(
    config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[ablation.Result]]:
    out = tmp_path_factory.mktemp("ablation")
    return out, ablate(config, out, puppets=2, size=64)


def terms(out: Path, folder: str) -> set[str]:
    rows = (out / folder / "losses.csv").read_text().splitlines()[1:]
    return {row.split(",")[1] for row in rows if float(row.split(",")[2]) != 0}


def test_each_arm_lacks_what_its_name_says_and_nothing_else(
    ablated: tuple[Path, list[ablation.Result]],
) -> None:
    out, _ = ablated
    everything = terms(out, "full")
    assert {"regions", "direction", "adversarial", "discriminator"} <= everything
    assert everything - terms(out, "no-gan") == {"adversarial", "features", "discriminator"}
    assert everything - terms(out, "no-regions") == {"regions", "direction"}
    assert terms(out, "no-cue") == everything


def test_all_arms_begin_alike_and_end_apart(
    ablated: tuple[Path, list[ablation.Result]],
) -> None:
    out, _ = ablated
    weights = [load_file(out / arm.folder / "animator.safetensors") for arm in ARMS]
    for index, one in enumerate(weights):
        for other in weights[index + 1 :]:
            assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_table_has_a_row_for_each_arm_and_the_start(
    ablated: tuple[Path, list[ablation.Result]],
) -> None:
    _, results = ablated
    lines = table(results).splitlines()
    assert len(lines) == 2 + 1 + len(ARMS)
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split(" |")[0] for line in lines[3:]] == [f"| {arm.name}" for arm in ARMS]
    assert f"{results[0].won['puppets']:.3f}" in lines[2]
    json.dumps(to_plain(results))


def test_a_finished_ablation_is_scored_again_without_training(
    ablated: tuple[Path, list[ablation.Result]],
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, results = ablated

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr("edgeanim.models.training.run.generator_step", refuse)
    again = ablate(config, out, puppets=2, size=64)
    assert [to_plain(result) for result in again] == [to_plain(result) for result in results]


def test_arms_may_begin_with_what_ships(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeanim.models.export.shipped_folder", lambda: config.start)
    monkeypatch.setattr(ablation, "ARMS", ARMS[:1])
    began, full = ablate(replace(config, start=Path("shipped")), tmp_path, puppets=1, size=64)
    assert began.won.keys() == full.won.keys() == {"puppets"}


def test_without_its_cue_a_network_reads_as_if_nothing_had_changed(config: TrainConfig) -> None:
    assert config.start is not None
    animator = load_animator(config.start)
    frame, cue = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        expected = animator.regions.predict(frame, torch.zeros_like(cue)).scores
        before = animator.regions.predict(frame, cue).scores
        hide_cue(animator)
        found = animator.regions.predict(frame, cue).scores
    assert not torch.equal(before, expected)
    torch.testing.assert_close(found, expected)


def test_a_hidden_cue_is_nought_in_every_batch_and_all_else_is_the_same() -> None:
    material = load_material(CONFIG.data, SILENT)
    hidden = replace(CONFIG.data, cue="off")
    seen, blind = (draw_batch(material, data, 64, 4, (0, 1)) for data in (CONFIG.data, hidden))
    assert np.abs(seen.cue.numpy()).max() > 0
    assert np.abs(blind.cue.numpy()).max() == 0
    assert torch.equal(seen.driving, blind.driving)


def test_without_weights_to_begin_with_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="trained weights") as caught:
        ablate(CONFIG, tmp_path)
    assert "start" in str(caught.value)


def test_what_it_cannot_be_scored_on_is_told_before_it_trains(
    config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="No such file"):
        ablate(config, tmp_path / "out", dataset=tmp_path / "gone")
    assert not (tmp_path / "out").exists()


def test_a_size_that_cannot_be_scored_is_told_before_it_trains(
    config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="multiple of 4"):
        ablate(config, tmp_path / "out", puppets=1, size=65)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.toml"
    assert ablation.main([str(missing), "-o", str(tmp_path / "out")]) == BadInput.exit_code
    assert str(missing) in capsys.readouterr().err
