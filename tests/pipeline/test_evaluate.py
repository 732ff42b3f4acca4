"""A compiled animator is scored as its networks are, by the player and without PyTorch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeanim import api
from edgeanim.cli.evaluate import command
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets import SIZE
from edgeanim.models.evaluation import sets
from edgeanim.models.evaluation.affine import affine_flow
from edgeanim.models.evaluation.networks import Networks
from edgeanim.models.evaluation.sets import puppet_sequence, puppet_shot
from edgeanim.models.nets.generator import affine_coefficients, compose_flows
from edgeanim.models.regions import COUNT, NEUTRAL_SCORE
from edgeanim.pipeline.reenacted import Played
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.overflow import overflow_warning
from tests.convnets import save_onnx

helper = pytest.importorskip("onnx").helper


@pytest.fixture(autouse=True)
def few_puppets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 2)


def test_the_flow_of_the_regions_is_that_of_an_untrained_generator() -> None:
    rng = np.random.default_rng(0)
    turned = np.tile(np.float32([0.0, 0.0, 0.2, 0.0, 0.0, 0.2]), (2, COUNT, 1))
    motion = (turned + rng.normal(0, 0.05, turned.shape)).astype(np.float32)
    own, driving = torch.from_numpy(motion)[:, None]
    neutral = torch.full((1, COUNT, 24, 32), NEUTRAL_SCORE)
    expected = compose_flows(neutral, *affine_coefficients(own, driving))[0]
    found = affine_flow(motion[0], motion[1], 24, 32)
    np.testing.assert_allclose(found.transpose(2, 0, 1), expected.numpy(), atol=1e-5)


def test_what_is_played_is_what_the_networks_make(small_bundle: Path, small_animator: Any) -> None:
    shot = puppet_shot(puppet_sequence(5_000_001, (0.0, 0.3)))
    pair = make_pair(shot.sequence, shot.still, shot.drivers[0], SIZE)
    before = make_pair(shot.sequence, shot.still, shot.sequence.before[shot.drivers[0]], SIZE)
    expected = Networks(small_animator).reenact(pair.still).make(pair, before)
    with (
        open_bundle(small_bundle) as opened,
        Played.opened(opened.contract, opened.variants[0], SessionOptions()) as played,
    ):
        found = played.reenact(pair.still).make(pair, before)
    for ours, theirs in zip(found, expected, strict=True):
        for made, known in ((ours.frame, theirs.frame), (ours.affine, theirs.affine)):
            assert made is not None
            assert known is not None
            assert np.abs(made - known).mean() < 2 / 255
        assert (ours.label == theirs.label).mean() > 0.95
    assert np.abs(found[0].frame - found[1].frame).max() > 0.01  # each is of its own frame


def test_a_bundle_scores_as_its_networks_do(
    small_bundle: Path, small_animator: Any, moving_clip: Path
) -> None:
    expected = sets.evaluate(Networks(small_animator), clips=[moving_clip], size=64)
    found = api.evaluate(small_bundle, clips=moving_clip).scores
    assert [score.name for score in found] == [score.name for score in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.frames == theirs.frames
        assert ours.still == theirs.still
        assert ours.won == pytest.approx(theirs.won, abs=0.02)
        assert ours.won_affine == pytest.approx(theirs.won_affine, abs=0.02)
        assert ours.cover == pytest.approx(theirs.cover, abs=0.02)


def test_which_variant_was_played_is_told(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Silently so far for a program, and with it that INT8 is wrong on this processor."""
    monkeypatch.setattr(sets, "PUPPETS", 1)
    monkeypatch.setattr("edgeanim.pipeline.playable.overflows", lambda *_: True)
    wrong = overflow_warning("onnxruntime-float32")
    found = api.evaluate(small_bundle)
    assert (found.variant, found.note) == ("onnxruntime-float32", wrong)
    command.main([str(small_bundle)], standalone_mode=False)
    shown, told = capfd.readouterr()
    assert shown.endswith("\n\nPlayed by onnxruntime-float32.\n")
    assert told.endswith(f"{wrong}\n")
    command.main([str(small_bundle), "--json"], standalone_mode=False)
    plain = json.loads(capfd.readouterr().out)
    assert (plain["variant"], plain["note"]) == (found.variant, found.note)
    assert plain["scores"][0]["won"] == pytest.approx(found.scores[0].won)


def test_a_bundle_is_scored_where_there_is_no_pytorch(small_bundle: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from edgeanim import api\n"
        "from edgeanim.models.evaluation import sets\n"
        "sets.PUPPETS = 1\n"
        "print(api.evaluate(sys.argv[1]).scores[0].name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small_bundle)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "puppets\n", done.stderr


def test_options_of_bundles_are_refused_for_networks(small_bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"--variant.*trained networks"):
        api.evaluate(variant="onnxruntime-float32")
    with pytest.raises(UsageError, match=r"--board.*trained networks"):
        api.evaluate(board="raspberry-pi-5")
    with pytest.raises(UsageError, match="openvino"):
        api.evaluate(small_bundle, variant="openvino-int8")


def test_what_is_not_compiled_and_what_is_no_animator_are_told(
    exported_animator: Path, tiny_onnx: Any, photos: Path, moving_clip: Path, tmp_path: Path
) -> None:
    net, out = tiny_onnx(), tmp_path / "filter.eab"
    for model in (exported_animator, net):
        with pytest.raises(BadInput, match=f"edgeanim compile {model} -o net.eab"):
            api.evaluate(model)
    (tmp_path / "notes.gif").write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match=r"notes\.gif: This is not a whole edgeanim bundle"):
        api.evaluate(tmp_path / "notes.gif")
    api.compile(net, out=out, backends=("onnxruntime",), frames=photos)
    with pytest.raises(UsageError, match="animates a still"):
        api.evaluate(out, clips=moving_clip)


def test_a_model_with_regions_of_its_own_is_scored_on_clips_alone(
    exported_animator: Path, moving_clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(exported_animator, folder)
    contract = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(contract.replace('"head"', '"skull"'))
    out = tmp_path / "theirs.eab"
    api.compile(folder, out=out, backends=("onnxruntime",), frames=moving_clip)
    with pytest.raises(UsageError, match="Puppets are for"):
        api.evaluate(out)
    (score,) = api.evaluate(out, clips=moving_clip).scores
    assert score.won is not None
    assert (score.cover, score.miou) == (None, None)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (64, 64)])
def test_a_model_that_copies_the_driver_wins_back_all_whatever_its_shape(
    moving_clip: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    pictures = [
        TensorSpec(role, role, (1, 3, *size), "NCHW", range=(0.0, 1.0))
        for role in ("still", "driving_frame", "frame")
    ]
    copied = GraphSpec("copy", "copy.onnx", "frame", tuple(pictures[:2]), (pictures[2],))
    nodes = [
        helper.make_node("Mul", ["still", "none"], ["black"]),
        helper.make_node("Add", ["driving_frame", "black"], ["frame"]),
    ]
    net = save_onnx(tmp_path / "copy.onnx", copied, nodes, {"none": np.array(0.0)})
    api.compile(net, out=tmp_path / "copy.eab", backends=("onnxruntime",), frames=moving_clip)
    (score,) = api.evaluate(tmp_path / "copy.eab", clips=moving_clip).scores
    assert score.won == pytest.approx(1, abs=1e-3)
