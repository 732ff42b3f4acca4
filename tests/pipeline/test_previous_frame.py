"""A net that takes two frames: each with the one before it, whatever else is played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.store import Store
from edgeanim.graph.load import load_model
from edgeanim.pipeline.export import export
from edgeanim.pipeline.work import Work, open_original, play
from edgeanim.runtime.scene import Scene

torch = pytest.importorskip("torch")


class Between(torch.nn.Module):
    """The frame halfway between two."""

    def forward(self, image: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.logit((image + previous) / 2, 1e-6))


def test_each_frame_is_played_with_the_one_before_it(tmp_path: Path) -> None:
    shapes = {"image": (1, 3, 16, 16), "previous": (1, 3, 16, 16)}
    export(Between(), shapes=shapes, out=tmp_path / "net")
    model = load_model(tmp_path / "net")
    clip = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    work = Work.on("local", store=Store(tmp_path / "store"))
    with open_original(work, model.contract, model.graphs) as player:
        frames = play(player, Scene(driver=clip))
    before = clip[[0, 0, 1, 2, 3]]
    halfway = (clip.astype(np.float32) + before) / 2
    assert np.abs(np.asarray(frames, np.float32) - halfway).max() <= 0.51
