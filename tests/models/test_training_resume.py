"""A training that was killed goes on to the identical result, and only from what is its own."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.progress import SILENT
from edgeanim.models.export import shipped_folder
from edgeanim.models.shipped_files import WEIGHTS
from edgeanim.models.train import train
from edgeanim.models.training import checkpoint
from edgeanim.models.training.checkpoint import Checkpoint
from edgeanim.models.training.config import DataConfig, Phase, TrainConfig
from edgeanim.models.training.run import Training
from edgeanim.runtime.media import write_animation
from tests.models.tiny_training import CONFIG, SHORT, KillAfter, Killed, brightening


def _on_the_clip(folder: Path) -> TrainConfig:
    """A step of each stage on a puppet and on the clip `me` in `folder`."""
    data = DataConfig(puppets=1, moments=2, clips=folder, clip_names=("me",), clip_share=0.5)
    phase = (Phase(1, batch=2, sizes=(64,)),)
    return replace(CONFIG, data=data, regions=phase, generator=phase)


@pytest.mark.parametrize(
    "change",
    [{}, {"precision": "bfloat16"}, {"joint": False}],
    ids=["float32", "bfloat16", "regions at rest"],
)
def test_a_killed_training_goes_on_to_the_identical_result(tmp_path, change):
    config = replace(SHORT, **change)
    whole = train(config, tmp_path / "whole")
    for steps in (5, 7, 10):  # to go on within either stage
        with pytest.raises(Killed):
            train(config, tmp_path / "cut", KillAfter(steps))
    cut = train(config, tmp_path / "cut")
    expected = load_file(whole / "animator.safetensors")
    for name, value in load_file(cut / "animator.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_a_disk_that_takes_no_checkpoint_costs_none_of_those_before(tmp_path):
    with pytest.raises(Killed):
        train(SHORT, tmp_path, KillAfter(5))
    before = (tmp_path / "checkpoint" / "state.json").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, limits[1]))
    try:
        with pytest.raises(DeviceFailed, match="too large"):
            train(SHORT, tmp_path, SILENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint" / "state.json").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_finished_training_is_not_begun_again(trained):
    class Stages(KillAfter):
        told = ()

        def stage(self, title, total=None):  # noqa: ARG002
            assert title == "training"

        def step(self, count=1, note=""):  # noqa: ARG002
            pytest.fail("a step was taken")

        def done(self, note=""):
            self.told += (note,)

    stages = Stages(0)
    assert train(CONFIG, trained, stages) == trained
    assert stages.told == ("was done already",)


def test_a_training_killed_after_its_last_checkpoint_still_leaves_its_weights(trained, tmp_path):
    done = shutil.copytree(trained, tmp_path / "done")
    (done / "animator.safetensors").unlink()
    train(CONFIG, done)
    made, expected = (load_file(f / "animator.safetensors") for f in (done, trained))
    assert all(torch.equal(made[name], expected[name]) for name in expected)


def test_a_training_goes_on_without_the_weights_that_it_started_from(trained, tmp_path):
    start = Path(shutil.copytree(trained, tmp_path / "start"))
    config = replace(SHORT, start=start)
    with pytest.raises(Killed):
        train(config, tmp_path / "out", KillAfter(6))
    shutil.rmtree(start)
    train(config, tmp_path / "out")
    whole = train(replace(config, start=trained), tmp_path / "whole")
    for name, values in load_file(whole / WEIGHTS).items():
        torch.testing.assert_close(
            load_file(tmp_path / "out" / WEIGHTS)[name], values, rtol=0, atol=0
        )


def test_a_checkpoint_of_another_configuration_is_refused(trained, tmp_path):
    with pytest.raises(BadInput, match=r"another configuration\. Go on with .*train\.toml"):
        train(replace(CONFIG, seed=1), trained)
    changed = shutil.copytree(trained, tmp_path / "changed")
    written = changed / "train.toml"
    written.write_text(written.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(BadInput, match=r"another configuration\. Train into another folder"):
        train(replace(CONFIG, seed=1), changed)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("state.json", lambda _: b"[]"),
        ("state.json", lambda data: data.replace(b'"done"', b'"dine"')),
        ("state.json", lambda data: data.replace(b'"done":', b'"done":-')),
        ("regions.optimizer.safetensors", lambda data: data.replace(b"0.exp_avg", b"x.exp_avg")),
        ("generator.optimizer.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 64])),
        ("ema.safetensors", lambda data: data[:100]),
    ],
)
def test_a_damaged_checkpoint_is_refused(trained, tmp_path, name, change):
    shutil.copytree(trained, tmp_path / "out")
    file = tmp_path / "out" / "checkpoint" / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BadInput, match="checkpoint"):
        train(CONFIG, tmp_path / "out")


def test_a_checkpoint_of_other_material_is_refused(tmp_path):
    clip, out = tmp_path / "me.gif", tmp_path / "out"
    write_animation(clip, brightening(40), 10)
    config = _on_the_clip(tmp_path)
    train(config, out)
    train(config, out)
    write_animation(clip, brightening(200), 10)  # recorded anew
    with pytest.raises(BadInput, match=r"clips or datasets.*have changed"):
        train(config, out)
    # Checkpoints from before this was written down are gone on with.
    state = json.loads((out / "checkpoint" / "state.json").read_text())
    del state["material"], state["tensors"]
    (out / "checkpoint" / "state.json").write_text(json.dumps(state))
    train(config, out)


def test_a_training_goes_on_wherever_its_files_are_named_from(trained, tmp_path, monkeypatch):
    """The same clip and the same weights, told by other paths, are no other training."""
    clip, out = tmp_path / "me.gif", tmp_path / "out"
    write_animation(clip, brightening(40), 10)
    config = replace(_on_the_clip(tmp_path), start=trained)
    train(config, out)
    stated = json.loads((out / "checkpoint" / "state.json").read_text())
    # Checkpoints from before hold the paths as they were written.
    older = {**stated, "config": checkpoint._digest_with_places(config)}
    assert older != stated
    (out / "checkpoint" / "state.json").write_text(json.dumps(older))
    train(config, out)
    (out / "checkpoint" / "state.json").write_text(json.dumps(stated))
    (tmp_path / "copied").mkdir()
    shutil.move(clip, tmp_path / "copied" / "also me.gif")
    monkeypatch.chdir(trained.parent)
    data = replace(config.data, clips=tmp_path / "copied", clip_names=("also me.gif",))
    train(replace(config, data=data, start=Path(trained.name)), out)
    other = shutil.copytree(trained, tmp_path / "other")
    with pytest.raises(BadInput, match="another configuration"):
        train(replace(config, data=data, start=other), out)


def test_a_training_that_bends_no_clips_goes_on_from_when_none_could():
    config = replace(SHORT, data=replace(SHORT.data, bend_clips=False))
    began = "18e37a99f2252b600a112cbca68f17b5160ccf5536d33c5608071edcc982c54a"
    assert checkpoint.config_digest(config) == began
    bends = replace(config, data=replace(config.data, bend_clips=True))
    assert checkpoint.config_digest(bends) != began


def test_the_shipped_weights_are_the_same_start_by_name_and_by_folder():
    named, found = (replace(SHORT, start=start) for start in (Path("shipped"), shipped_folder()))
    assert checkpoint.config_digest(named) == checkpoint.config_digest(found)
    assert checkpoint.config_digest(named) != checkpoint.config_digest(SHORT)


def test_losses_begin_anew_where_the_checkpoint_was_removed(tmp_path):
    once = replace(SHORT, regions=(Phase(2, 2, (64,)),), generator=(Phase(2, 2, (64,)),))
    train(once, tmp_path)
    expected = (tmp_path / "losses.csv").read_text()
    shutil.rmtree(tmp_path / "checkpoint")
    train(once, tmp_path)
    assert (tmp_path / "losses.csv").read_text() == expected
    shutil.rmtree(tmp_path / "checkpoint")
    (tmp_path / "losses.csv").write_text("my own,figures\n1,2\n")
    with pytest.raises(BadInput, match="no list of losses"):
        train(once, tmp_path)
    assert "my own" in (tmp_path / "losses.csv").read_text()


@pytest.mark.parametrize(
    ("thing", "step"),
    [(Checkpoint, "save"), (Training, "write_results")],
    ids=["before a checkpoint", "after it"],
)
def test_no_losses_are_lost_or_told_twice_whenever_it_is_killed(tmp_path, monkeypatch, thing, step):
    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(thing, step, killed)
        train(SHORT, tmp_path / "cut")
    cut, whole = (train(SHORT, tmp_path / name) for name in ("cut", "whole"))
    assert (cut / "losses.csv").read_text() == (whole / "losses.csv").read_text()


def test_a_folder_of_other_things_is_not_replaced_by_a_checkpoint(tmp_path):
    mine = tmp_path / "checkpoint" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        train(SHORT, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert mine.read_text() == "mine"
