"""A compiled animator is scored as its networks are, by the player and without PyTorch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
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
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.evaluation import sets
from edgeanim.models.evaluation.affine import affine_flow
from edgeanim.models.evaluation.clips import clip_frames
from edgeanim.models.evaluation.networks import Networks
from edgeanim.models.evaluation.reenact import Made
from edgeanim.models.evaluation.score import score_set
from edgeanim.models.evaluation.sets import puppet_sequence, puppet_shot
from edgeanim.models.nets.generator import affine_coefficients, compose_flows
from edgeanim.models.regions import COUNT, NEUTRAL_SCORE
from edgeanim.pipeline.reenacted import Played
from edgeanim.pipeline.stills import square_stills
from edgeanim.runtime.graphs import Graphs
from edgeanim.runtime.media import write_animation
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.overflow import overflow_warning
from tests.convnets import save_onnx
from tests.pipeline.followers import bundle_of

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
    expected = Networks(small_animator).reenact(pair.still, ()).make(pair, before, shot.drivers[0])
    with (
        open_bundle(small_bundle) as opened,
        Played.opened(opened.contract, opened.variants[0], SessionOptions()) as played,
    ):
        found = played.reenact(pair.still, ()).make(pair, before, shot.drivers[0])
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


def picture(role: str) -> TensorSpec:
    return TensorSpec(role, role, (1, 3, 64, 64), "NCHW", range=(0.0, 1.0))


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """A bundle whose every frame is the mean of the driver's and of the frame made before."""
    state = TensorSpec("last", "state:last", (1, 3, 64, 64), "NCHW")
    seen = (picture("still"), picture("driving_frame"), state)
    made = (picture("frame"), replace(state, name="next"))
    nodes = [
        helper.make_node("Mul", ["still", "none"], ["black"]),
        helper.make_node("Add", ["driving_frame", "last"], ["both"]),
        helper.make_node("Mul", ["both", "half"], ["mean"]),
        helper.make_node("Add", ["mean", "black"], ["frame"]),
        helper.make_node("Identity", ["frame"], ["next"]),
    ]
    net = GraphSpec("net", "net.onnx", "frame", seen, made)
    weights = {"none": np.array(0.0), "half": np.array(0.5)}
    return bundle_of(tmp_path / "recurrent.eab", [(net, nodes)], weights)


def test_a_model_with_a_state_is_scored_on_what_it_plays_from_the_first_frame_on(
    recurrent: Path, pictures: np.ndarray, tmp_path: Path
) -> None:
    """It was refused."""
    clip = tmp_path / "clip.png"
    write_animation(clip, np.concatenate([pictures] * 3), 10)
    shot = sets.clip_shot(clip_frames(clip))
    frames: list[np.ndarray] = []
    for number in range(len(shot.sequence.pictures)):
        shown = make_pair(shot.sequence, 0, number, 64).driving
        frames.append((shown + frames[-1]) / 2 if frames else shown / 2)

    class Known:
        size = 64

        def reenact(self, *_: object) -> Known:
            return self

        def make(self, _pair: object, _before: object, number: int) -> tuple[Made, Made]:
            return Made(frames[number]), Made(frames[number - 1])

    expected = score_set(Known(), "clip", [shot], 64).animator
    (found,) = api.evaluate(recurrent, clips=clip).scores
    assert found.frames == 12  # of 24: what is not scored was played
    for name, value in asdict(expected).items():
        assert getattr(found.animator, name) == pytest.approx(value, rel=0.01, abs=0.01), name


def test_a_model_with_a_state_is_scored_on_whole_clips_alone(
    recurrent: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"without a state.*--clips"):
        api.evaluate(recurrent)
    with pytest.raises(UsageError, match=r"--dataset: This model carries a state.*--clips"):
        api.evaluate(recurrent, dataset=tmp_path)


@pytest.mark.parametrize("option", ["more_stills", "refine"])
def test_what_a_model_with_a_state_cannot_heed_is_refused(
    recurrent: Path, moving_clip: Path, option: str
) -> None:
    said = {"more_stills": "no other still can take over", "refine": "Leave out --refine"}
    with pytest.raises(UsageError, match=said[option]):
        api.evaluate(recurrent, clips=moving_clip, **{option: moving_clip})


def test_a_clips_stills_are_encoded_once(
    small_bundle: Path, moving_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The further ones were for each frame that is scored."""
    prepared = []
    prepare = Graphs.prepare

    def counted(self: Graphs, *arguments: Any) -> None:
        prepared.append(1)
        prepare(self, *arguments)

    monkeypatch.setattr(Graphs, "prepare", counted)
    (score,) = api.evaluate(small_bundle, clips=moving_clip, more_stills=moving_clip).scores
    assert score.frames > 1
    assert len(prepared) == 1 + len(square_stills(moving_clip))


def test_what_is_scored_depends_on_no_frame_that_was_scored_before(
    small_bundle: Path, moving_clip: Path
) -> None:
    shot = sets.clip_shot(clip_frames(moving_clip))
    pairs = [
        [make_pair(shot.sequence, 0, number, SIZE) for number in (driver, driver - 1)]
        for driver in shot.drivers
    ]
    with (
        open_bundle(small_bundle) as opened,
        Played.opened(
            opened.contract,
            opened.variants[0],
            SessionOptions(),
            more_stills=square_stills(moving_clip),
        ) as played,
    ):
        together = played.reenact(pairs[0][0].still, ())
        for pair, before in pairs:
            alone = played.reenact(pair.still, ())
            for one, other in zip(
                together.make(pair, before, 1), alone.make(pair, before, 1), strict=True
            ):
                np.testing.assert_array_equal(one.frame, other.frame)
