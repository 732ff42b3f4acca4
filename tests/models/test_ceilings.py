"""What an animator could reach if one thing were known for certain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeanim.models.animator import Animator
from edgeanim.models.config import AnimatorConfig
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.ceilings import COLUMNS, ceilings, main, table
from edgeanim.models.evaluation.sets import ShotSet, clip_shot, shot_sets
from edgeanim.models.export import load_shipped
from edgeanim.runtime.media.animations import write_animation


@pytest.fixture(scope="module")
def puppets() -> dict[str, float]:
    return ceilings(load_shipped(), shot_sets(puppets=3)[0], 128)


def test_what_is_known_of_puppets_brings_them_nearer(puppets: dict[str, float]) -> None:
    assert set(puppets) == set(COLUMNS)
    animator, regions, flow, fill, fine = (puppets[name] for name in COLUMNS)
    assert 0 < animator < flow < fill < fine <= 1
    assert regions > animator + 0.03


def test_the_animator_is_as_evaluate_scores_it(puppets: dict[str, float]) -> None:
    from edgeanim.models.evaluation.networks import Networks
    from edgeanim.models.evaluation.sets import evaluate

    (score,) = evaluate(Networks(load_shipped()), puppets=3, size=128)
    assert puppets["animator"] == pytest.approx(score.won, abs=1e-3)
    # The warp of regions alone wins something, and regions are neither everywhere nor nowhere.
    assert 0.05 < score.won_affine < score.won
    assert 0.05 < score.cover < 0.5
    assert score.miou > 0.5


@pytest.fixture
def moving_clip(tmp_path: Path) -> Path:
    """Ten frames in which a textured square crosses a textured ground."""
    rng = np.random.default_rng(0)
    ground, square = (
        cv2.resize(rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8), (side, side))
        for side in (256, 96)
    )
    frames = []
    for step in range(10):
        frame = ground.copy()
        frame[80:176, 20 + 6 * step : 116 + 6 * step] = square
        frames.append(frame)
    write_animation(tmp_path / "crossing.mp4", frames, 25)
    return tmp_path / "crossing.mp4"


def test_of_a_clip_no_regions_are_known(moving_clip: Path) -> None:
    tiny = AnimatorConfig(
        "tiny", 64, regions=(8, 8, 16, 16, 16), encoder=(8, 16, 16), generator=(8, 16, 16)
    )
    torch.manual_seed(0)
    animator = Animator(tiny).eval()
    before = list(animator.state_dict())
    (clip,) = shot_sets(puppets=0, clips=[moving_clip])
    found = ceilings(animator, ShotSet("clip", "clip", clip.shots), 64)
    assert list(animator.state_dict()) == before  # who asks keeps it as it is
    assert "true regions" not in found
    assert found["true flow"] > found["animator"]
    assert "| clip |" in table({"clip": found})


def test_where_nothing_moves_nothing_can_be_known_better() -> None:
    pictures = np.full((3, 256, 256, 3), 90, np.uint8)
    shot = clip_shot(FrameSequence("resting", pictures, (0, 0, 1)))
    found = ceilings(load_shipped(), ShotSet("resting", "resting", [shot]), 64)
    assert found == {}
    assert table({"resting": found}).splitlines()[-1] == "| resting" + " | -" * 5 + " |"


def test_a_missing_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path / "absent"), "--puppets", "0"]) == 3
    assert main(["--size", "66", "--puppets", "0"]) == 2
    assert "absent" in capsys.readouterr().err
