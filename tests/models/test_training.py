"""Training learns, can be killed and resumed to the identical result, and refuses what is wrong."""

from __future__ import annotations

import csv
import errno
import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput, DeviceFailed, EdgeanimError, UsageError
from edgeanim.core.parsing import parse
from edgeanim.core.progress import SILENT
from edgeanim.models import dataset_sheet
from edgeanim.models import train as train_module
from edgeanim.models.animator import Animator, load_animator, load_weights, save_weights
from edgeanim.models.config import SIZES
from edgeanim.models.export import load_shipped, shipped_folder
from edgeanim.models.shipped_files import WEIGHTS
from edgeanim.models.train import LOCK, build_networks, start_from, train
from edgeanim.models.training import checkpoint
from edgeanim.models.training.batches import draw_batch, load_material
from edgeanim.models.training.checkpoint import Ema
from edgeanim.models.training.config import DataConfig, Phase, TrainConfig, load_train_config
from edgeanim.models.training.losses import (
    compose,
    motion_weight,
    multiscale_l1,
    segmentation,
)
from edgeanim.models.training.schedule import schedule
from edgeanim.models.training.sheets import append_losses
from edgeanim.pipeline.dataset import import_dataset
from edgeanim.runtime.media import write_animation
from tests.models.tiny_training import CONFIG, SHORT, TINY, KillAfter, Killed

PIXEL = np.zeros((1, 1, 3), np.uint8)


def losses_of(folder, term):
    with (folder / "losses.csv").open() as stream:
        return [float(row["value"]) for row in csv.DictReader(stream) if row["term"] == term]


def errors(animator, batch):
    """Of the regions and of the finished frames, on a fixed batch."""
    animator.eval()
    with torch.no_grad():
        reading = animator.regions.read(batch.driving, batch.cue)
        _, motion = reading.masks_and_motion()
        still_mask, still_motion = animator.regions(batch.still, torch.zeros_like(batch.cue))
        features = animator.encoder(batch.still, still_mask)
        flow, alpha, colour = animator.generator(*features, still_motion, motion)
        frame, _ = compose(batch.still, flow, alpha, colour)
    weight = motion_weight(batch.still, batch.driving, 4.0)
    return (
        float(segmentation(reading.scores, batch.label_driving)),
        float(multiscale_l1(frame, batch.driving, weight)),
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_size_stands_for_its_widths(tmp_path, size):
    path = tmp_path / "train.toml"
    path.write_text(f'model = "{size}"\nseed = 3')
    config = load_train_config(path)
    assert config.model == SIZES[size]
    assert config.seed == 3


def test_an_unknown_size_is_named(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text('model = "nanno"')
    with pytest.raises(BadInput, match=r"size 'nanno'.*'nano'"):
        load_train_config(path)


def test_a_short_training_reduces_both_errors_and_leaves_what_it_says(trained):
    material = load_material(CONFIG.data, SILENT)
    batch = draw_batch(material, CONFIG.data, 64, 8, (0, 12345))
    before = errors(build_networks(CONFIG).animator, batch)
    after = errors(load_animator(trained), batch)
    assert after[0] < 0.9 * before[0]
    assert after[1] < before[1]
    assert (trained / "sheets" / "000110.png").is_file()
    assert load_train_config(trained / "train.toml") == CONFIG
    assert load_animator(trained).config == TINY


def test_convolutions_in_bfloat16_learn_much_the_same(tmp_path):
    # Processors without instructions for it take long: half of the steps shows it as well.
    regions, generator = (
        tuple(replace(phase, steps=phase.steps // 2) for phase in phases)
        for phases in (CONFIG.regions, CONFIG.generator)
    )
    config = replace(CONFIG, regions=regions, generator=generator)
    exact = train(config, tmp_path / "exact")
    rough = train(replace(config, precision="bfloat16"), tmp_path / "rough")
    weights = load_file(rough / "animator.safetensors")
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float32}
    batch = draw_batch(load_material(CONFIG.data, SILENT), CONFIG.data, 64, 8, (0, 12345))
    before = errors(build_networks(CONFIG).animator, batch)
    found, wanted = (errors(load_animator(folder), batch) for folder in (rough, exact))
    assert wanted[0] < 0.98 * before[0]
    assert before[0] - found[0] == pytest.approx(before[0] - wanted[0], rel=0.2)
    assert found[1] == pytest.approx(wanted[1], rel=0.05)


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


def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(tmp_path):
    out = tmp_path / "out"

    class Second:
        """Progress that begins another training in the midst of the first."""

        refused = 0

        def stage(self, title, total=None):
            pass

        def step(self, count=1, note=""):  # noqa: ARG002
            if note and not self.refused:
                with pytest.raises(UsageError, match="Another training"):
                    train(SHORT, out)
                self.refused += 1

        def done(self, note=""):
            pass

    progress = Second()
    train(SHORT, out, progress)
    assert progress.refused == 1
    alone = train(SHORT, tmp_path / "alone")
    assert (out / "losses.csv").read_text() == (alone / "losses.csv").read_text()
    assert not (out / LOCK).exists()


def test_a_training_that_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(BadInput):
        train(replace(SHORT, start=tmp_path / "nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


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


def test_a_training_may_start_from_the_weights_of_another(trained, tmp_path):
    config = replace(CONFIG, start=trained, regions=(), generator=(Phase(1, 2, (64,), 1e-6),))
    train(config, tmp_path)
    expected = load_file(trained / "animator.safetensors")
    for name, value in load_file(tmp_path / "animator.safetensors").items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)


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


def test_a_training_may_start_from_the_weights_of_a_narrower_one(trained, tmp_path):
    material = load_material(CONFIG.data, SILENT)
    batch = draw_batch(material, CONFIG.data, 64, 8, (0, 12345))
    wide = replace(TINY, regions=(8, 16, 16, 24, 16), encoder=(16, 16, 24), generator=(8, 24, 16))
    barely = replace(
        CONFIG, model=wide, start=trained, regions=(), generator=(Phase(1, 2, (64,), 1e-6),)
    )
    made = load_animator(train(barely, tmp_path / "barely"))
    assert made.config == wide
    assert errors(made, batch) == pytest.approx(errors(load_animator(trained), batch), rel=0.05)
    longer = replace(barely, generator=(Phase(20, 4, (64,), 5e-3),), checkpoint_every=20)
    learned = load_animator(train(longer, tmp_path / "longer"))
    assert errors(learned, batch)[1] < errors(made, batch)[1]


def test_a_training_may_start_from_what_ships():
    networks = build_networks(replace(CONFIG, model=SIZES["small"]))
    ema = Ema(networks.animator, 0.9)
    start_from(networks, ema, Path("shipped"))
    still, cue = torch.rand(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        one, other = (a.eval().regions(still, cue) for a in (networks.animator, load_shipped()))
    for found, expected in zip(one, other, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "widths",
    [{"generator": (8, 16, 8)}, {"generator": (8, 16, 24), "encoder": (8, 8, 16)}],
    ids=["narrower", "wider and narrower"],
)
def test_a_training_cannot_start_from_the_weights_of_a_wider_one(trained, tmp_path, widths):
    config = replace(CONFIG, start=trained, model=replace(TINY, **widths))
    with pytest.raises(BadInput, match="architecture"):
        train(config, tmp_path)


def test_weights_that_are_not_finite_are_not_widened(tmp_path):
    animator = Animator(TINY)
    with torch.no_grad():
        animator.generator.head.bias[0] = torch.nan
    save_weights(animator, tmp_path / "animator.safetensors")
    config = replace(CONFIG, start=tmp_path, model=replace(TINY, generator=(8, 16, 24)))
    with pytest.raises(BadInput, match="not finite"):
        train(config, tmp_path / "out")


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
    write_animation(clip, np.full((3, 64, 64, 3), 40, np.uint8), 10)
    data = DataConfig(puppets=1, moments=2, clips=tmp_path, clip_names=("me",), clip_share=0.5)
    phase = (Phase(1, batch=2, sizes=(64,)),)
    config = replace(CONFIG, data=data, regions=phase, generator=phase)
    train(config, out)
    train(config, out)
    write_animation(clip, np.full((3, 64, 64, 3), 200, np.uint8), 10)  # recorded anew
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
    write_animation(clip, np.full((3, 64, 64, 3), 40, np.uint8), 10)
    data = DataConfig(puppets=1, moments=2, clips=tmp_path, clip_names=("me",), clip_share=0.5)
    phase = (Phase(1, batch=2, sizes=(64,)),)
    config = replace(CONFIG, data=data, start=trained, regions=phase, generator=phase)
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
    data = replace(data, clips=tmp_path / "copied", clip_names=("also me.gif",))
    train(replace(config, data=data, start=Path(trained.name)), out)
    other = shutil.copytree(trained, tmp_path / "other")
    with pytest.raises(BadInput, match="another configuration"):
        train(replace(config, data=data, start=other), out)


def test_the_shipped_weights_are_the_same_start_by_name_and_by_folder():
    named, found = (replace(SHORT, start=start) for start in (Path("shipped"), shipped_folder()))
    assert checkpoint.config_digest(named) == checkpoint.config_digest(found)
    assert checkpoint.config_digest(named) != checkpoint.config_digest(SHORT)


def test_only_clips_that_were_searched_are_shown_with_what_was_found(tmp_path, monkeypatch):
    """Those of datasets are not, so nothing is said of them."""
    clip, stored = tmp_path / "me.gif", tmp_path / "stored"
    write_animation(clip, np.full((3, 64, 64, 3), 40, np.uint8), 10)
    import_dataset(clip, stored, split="train")
    shown = []
    monkeypatch.setattr(
        dataset_sheet, "contact_sheet", lambda _, captions: shown.append(captions) or PIXEL
    )
    data = DataConfig(puppets=1, moments=2, datasets=(stored,), weak_labels=True)
    phase = (Phase(1, batch=2, sizes=(64,)),)
    config = replace(CONFIG, data=data, regions=phase, generator=phase)
    train(config, tmp_path / "alone")
    assert shown == []
    data = replace(data, clips=tmp_path, clip_names=("me",))
    train(replace(config, data=data), tmp_path / "beside")
    assert shown == [["me: no face with hands that move found, so no weak labels"]]


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
    ("module", "step"),
    [(checkpoint, "save_checkpoint"), (train_module, "_write_results")],
    ids=["before a checkpoint", "after it"],
)
def test_no_losses_are_lost_or_told_twice_whenever_it_is_killed(
    tmp_path, monkeypatch, module, step
):
    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module, step, killed)
        train(SHORT, tmp_path / "cut")
    cut, whole = (train(SHORT, tmp_path / name) for name in ("cut", "whole"))
    assert (cut / "losses.csv").read_text() == (whole / "losses.csv").read_text()


def test_losses_are_added_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "losses.csv"
    append_losses(path, 1, {"pixels": 0.5, "warp": 0.25})

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    with monkeypatch.context() as patched, pytest.raises(EdgeanimError, match="full"):
        patched.setattr(Path, "write_text", full)
        patched.setattr(Path, "write_bytes", full)
        append_losses(path, 2, {"pixels": 0.4})
    assert [p.name for p in tmp_path.iterdir()] == ["losses.csv"]
    append_losses(path, 3, {"pixels": 0.3})
    assert path.read_text() == "step,term,value\n1,pixels,0.5\n1,warp,0.25\n3,pixels,0.3\n"


def test_a_folder_of_other_things_is_not_replaced_by_a_checkpoint(tmp_path):
    mine = tmp_path / "checkpoint" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        train(SHORT, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_real_clips_take_part(tmp_path, precision):
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (128, 96)
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        writer.write(rng.integers(0, 255, (96, 128, 3), np.uint8))
    writer.release()
    data = DataConfig(
        puppets=1,
        moments=2,
        clips=tmp_path,
        clip_names=("a",),
        clip_share=0.5,
        optical_flow=True,
    )
    phase = Phase(2, batch=2, sizes=(64,))
    config = replace(CONFIG, data=data, regions=(phase,), generator=(phase,), precision=precision)
    train(config, tmp_path / "out")
    assert np.isfinite(losses_of(tmp_path / "out", "pixels")).all()
    missing = replace(config, data=replace(data, clip_names=("b",)))
    with pytest.raises(BadInput, match="'b'"):
        train(missing, tmp_path / "other")


def test_a_clip_is_the_one_that_is_named_and_no_other_of_its_name(tmp_path):
    for name, shade in (("a.GIF", 40), ("a.MP4", 200)):
        write_animation(tmp_path / name.lower(), np.full((3, 64, 64, 3), shade, np.uint8), 10)
        (tmp_path / name.lower()).rename(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    for name, shade in (("a.GIF", 40), ("a.MP4", 200)):
        data = DataConfig(puppets=1, moments=2, clips=tmp_path, clip_names=(name,))
        (clip,) = load_material(data, SILENT).clips
        assert np.abs(clip.pictures[0].astype(int) - shade).max() < 8
    with pytest.raises(BadInput, match=r"2 clips here are called 'a': a\.GIF and a\.MP4"):
        load_material(replace(data, clip_names=("a",)), SILENT)


def test_the_schedule_runs_both_stages_phase_by_phase():
    phases = (Phase(3, sizes=(64, 128)), Phase(2, sizes=(256,)))
    steps = list(schedule(replace(CONFIG, regions=(Phase(2),), generator=phases)))
    assert [s.number for s in steps] == list(range(7))
    assert [s.stage for s in steps] == ["regions"] * 2 + ["generator"] * 5
    assert [s.size for s in steps[2:]] == [64, 128, 64, 256, 256]
    assert steps[2].stage_share == 0
    assert all(0 < s.rate <= 2e-3 for s in steps)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"sed": 1}, "Did you mean 'seed'"),
        ({"regions": []}, "at least one phase"),
        ({"regions": [{"steps": 1, "sizes": [100]}]}, "multiples of 32"),
        ({"data": {"clip_names": ["a"]}}, "needs the folder"),
        ({"data": {"clips": "people"}}, "needs `clip_names`"),
        ({"data": {"first_seed": -1}}, "`first_seed`"),
        ({"seed": -1}, "`seed`"),
        ({"model": {"size": 100}}, "multiple of 32"),
        ({"ema": 1.0}, "ema"),
        ({"precision": "float16"}, "not possible|bfloat16"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(data, says):
    with pytest.raises(BadInput, match=says):
        parse(TrainConfig, data, where="train.toml")


def test_weights_of_another_shape_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "animator.safetensors"
    save_weights(Animator(replace(TINY, generator=(8, 16, 24))), path)
    animator = Animator(TINY)
    before = {name: value.clone() for name, value in animator.state_dict().items()}
    with pytest.raises(BadInput, match=r"shape .* architecture has"):
        load_weights(animator, path)
    assert all(torch.equal(before[n], v) for n, v in animator.state_dict().items())


def test_weights_that_are_missing_unknown_or_not_finite_are_refused(tmp_path):
    layer = torch.nn.Linear(2, 2)
    path = tmp_path / "w.safetensors"
    for state, says in (
        ({"weight": torch.ones(2, 2)}, "'bias' is missing"),
        ({"weight": torch.ones(2, 2), "bias": torch.full((2,), torch.nan)}, "not finite"),
    ):
        holder = torch.nn.Module()
        for name, value in state.items():
            holder.register_buffer(name, value)
        save_weights(holder, path)
        with pytest.raises(BadInput, match=says):
            load_weights(layer, path)
    save_weights(layer, path)
    with pytest.raises(BadInput, match="'bias' is not known"):
        load_weights(torch.nn.Linear(2, 2, bias=False), path)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"module": torch.nn.Linear(2, 2)}, "there is 'module.weight'.*begin with 'module.'"),
        ({"g": torch.nn.Linear(2, 2), "d": torch.nn.Linear(1, 1)}, "begin with 'g.'"),
        ({"other": torch.nn.Linear(2, 2, bias=False)}, "'weight' is missing. Use the animator"),
    ],
)
def test_weights_of_something_larger_are_told_with_what_it_calls_them(tmp_path, held, says):
    path = tmp_path / "w.safetensors"
    save_weights(torch.nn.ModuleDict(held), path)
    with pytest.raises(BadInput, match=says):
        load_weights(torch.nn.Linear(2, 2), path)


def test_a_checkpoint_is_told_how_it_becomes_safetensors(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(torch.nn.Linear(1, 1).state_dict(), path)
    with pytest.raises(BadInput, match=r"not a safetensors file.*weights_only=True.*save_file"):
        load_weights(torch.nn.Linear(1, 1), path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 not tensors"])
def test_a_file_that_is_not_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not a safetensors file"):
        load_weights(torch.nn.Linear(1, 1), path)
    with pytest.raises(BadInput, match="No such file"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "absent")
