"""`--refine`: tracks and scores of a compiled animator are nearer to the real frames with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.cli.animate import command as animate
from edgeanim.cli.evaluate import command as evaluate
from edgeanim.cli.motion import extract
from edgeanim.core.errors import UsageError
from edgeanim.models.evaluation import sets
from edgeanim.runtime.media import read_frames
from edgeanim.runtime.motion import MotionTrack, load_track
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import open_bundle

FRAMES = 4


def _off(bundle: Path, track: MotionTrack, clip: Path) -> float:
    """How far what the bundle makes of a track is from the clip's own frames, in levels."""
    real = [frame for _, frame in zip(range(FRAMES), read_frames(clip), strict=False)]
    with (
        open_bundle(bundle) as opened,
        load_player(
            opened.contract, opened.variants[0], SessionOptions(), motion=MotionOptions("raw")
        ) as player,
    ):
        made = list(player.play(Scene(still=real[0], track=track)))
    pairs = zip(made, real, strict=True)
    return float(np.mean([np.abs(one.astype(int) - other).mean() for one, other in pairs]))


def test_a_refined_track_is_nearer_to_its_clip(
    small_bundle: Path, moving_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracks = []
    for name, options in (("plain", []), ("refined", ["--refine"])):
        out = tmp_path / f"{name}.npz"
        told = [
            str(moving_clip),
            "--bundle",
            str(small_bundle),
            "-o",
            str(out),
            "--no-smooth",
            "--json",
        ]
        extract.main([*told, "--frames", str(FRAMES), *options], standalone_mode=False)
        assert json.loads(capfd.readouterr().out)["frames"] == FRAMES
        tracks.append(load_track(out))
    plain, refined = tracks
    assert refined.regions == plain.regions
    assert np.abs(refined.values - plain.values).max() > 1e-3
    assert _off(small_bundle, refined, moving_clip) < 0.98 * _off(small_bundle, plain, moving_clip)


def test_what_is_refined_wins_back_more(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sets, "PUPPETS", 1)
    won = []
    for options in ([], ["--refine"]):
        evaluate.main([str(small_bundle), "--json", *options], standalone_mode=False)
        won.append(json.loads(capfd.readouterr().out)["scores"][0]["won"])
    assert won[1] > won[0] + 0.02


def test_an_animation_follows_a_clip_more_closely(
    small_bundle: Path, moving_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real = [frame for _, frame in zip(range(FRAMES), read_frames(moving_clip), strict=False)]
    still, off = tmp_path / "still.png", []
    Image.fromarray(real[0]).save(still)
    for name, options in (("plain", []), ("refined", ["--refine"])):
        out = tmp_path / name
        told = [small_bundle, "--still", still, "--drive", moving_clip, "-o", f"{out}/", "--json"]
        told += ["--no-smooth", "--frames", FRAMES, *options]
        animate.main([str(word) for word in told], standalone_mode=False)
        assert json.loads(capfd.readouterr().out)["frames"] == FRAMES
        made = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(out.iterdir())]
        pairs = zip(made, real, strict=True)
        off.append(float(np.mean([np.abs(one.astype(int) - two).mean() for one, two in pairs])))
    assert off[1] < 0.98 * off[0]


def test_stored_motions_and_trained_networks_are_not_refined(
    small_bundle: Path, moving_clip: Path, tmp_path: Path
) -> None:
    still = tmp_path / "still.png"
    Image.fromarray(next(iter(read_frames(moving_clip)))).save(still)
    with pytest.raises(UsageError, match=r"no frames.*`edgeanim motion extract --refine`"):
        api.animate(small_bundle, still=still, drive="wave", out=tmp_path / "out.gif", refine=True)
    assert not (tmp_path / "out.gif").exists()
    with pytest.raises(UsageError, match=r"--refine.*trained networks"):
        api.evaluate(refine=True)
