"""What a batch is drawn from: colours, first frames, flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgeanim.core.progress import SILENT
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.sequences import FrameSequence, puppet_sequence
from edgeanim.models.training.batches import Material, draw_batch, load_material
from edgeanim.models.training.config import DataConfig
from edgeanim.runtime.media import write_animation


@pytest.mark.parametrize("recoloured", [True, False])
def test_clips_keep_their_colours_where_that_is_asked_for(recoloured):
    grey = np.full((3, SIZE, SIZE, 3), (200, 120, 40), np.uint8)
    material = Material((puppet_sequence(1, (0.1,)),), (FrameSequence("one", grey, (0, 0, 1)),))
    config = DataConfig(puppets=1, clip_share=0.5, recolour_clips=recoloured)
    batch = draw_batch(material, config, 64, 4, (0, 0))
    colours = batch.still[:2].mean((2, 3)) * 255
    same = (colours - torch.tensor([200.0, 120.0, 40.0])).abs().max() < 1
    assert bool(same) != recoloured


def numbered_clip(frames=20):
    """A clip whose every frame is as bright as its number."""
    shades = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10
    pictures = np.broadcast_to(shades, (frames, SIZE, SIZE, 3))
    return FrameSequence("numbered", pictures, tuple(max(0, i - 1) for i in range(frames)))


def test_half_of_a_clips_pairs_start_from_its_first_frame_and_the_rest_from_any():
    material = Material((puppet_sequence(1, (0.1,)),), (numbered_clip(),))
    config = DataConfig(puppets=1, clip_share=1.0, recolour_clips=False)
    batch = draw_batch(material, config, 64, 200, (0, 0))
    still, driving = (
        (pictures.mean((1, 2, 3)) * 25.5).round().long()
        for pictures in (batch.still, batch.driving)
    )
    assert 0.4 < (still == 0).float().mean() < 0.65
    assert (driving == 0).float().mean() < 0.15
    assert min(len(still.unique()), len(driving.unique())) > 15


def test_clips_are_disguised_only_where_that_is_asked_for():
    material = Material((puppet_sequence(1, (0.1,)),), (numbered_clip(6),))
    config = DataConfig(puppets=1, clip_share=0.5, recolour_clips=False)
    plain, other = (
        draw_batch(material, replace(config, disguise_clips=on), 64, 8, (0, 1))
        for on in (False, True)
    )
    # Every frame is of one shade, which no bend changes: the very frames come up.
    assert plain.still[:1].mean((1, 2, 3)) == pytest.approx(other.still[:1].mean((1, 2, 3)))
    assert not torch.equal(plain.still[4:], other.still[4:]), "the same numbers draw other puppets"


def test_clips_are_bent_only_where_that_is_asked_for(tmp_path):
    pictures = np.full((8, SIZE, SIZE, 3), 220, np.uint8)
    for t in range(8):
        pictures[t, 100:140, 24 * t + 20 : 24 * t + 60] = 40
    write_animation(tmp_path / "hand.gif", pictures, 10)
    plain = DataConfig(
        puppets=1, clips=tmp_path, clip_names=("hand",), clip_share=1.0, recolour_clips=False
    )
    straight, other = (
        [draw_batch(material, config, 64, 1, (0, step)) for step in range(12)]
        for config in (plain, replace(plain, bend_clips=True))
        for material in (load_material(config, SILENT),)
    )
    pairs = list(zip(straight, other, strict=True))
    assert all(torch.equal(one.still, two.still) for one, two in pairs)
    assert {torch.equal(one.driving, two.driving) for one, two in pairs} == {True, False}


def test_flow_is_seen_in_clips_only_where_that_is_asked_for():
    material = Material((puppet_sequence(1, (0.1,)),), (numbered_clip(2),))
    config = DataConfig(puppets=1, clip_share=0.5)
    blind, seeing = (
        draw_batch(material, replace(config, optical_flow=on), 64, 4, (0, 3))
        for on in (False, True)
    )
    assert (blind.flow_weight[:2] == 0).all()
    assert (seeing.flow_weight[:2] == 1).any()
    for name in ("still", "driving", "known"):
        assert torch.equal(getattr(blind, name), getattr(seeing, name))
    assert torch.equal(blind.flow_weight[2:], seeing.flow_weight[2:])
    assert torch.equal(blind.flow[2:], seeing.flow[2:])
