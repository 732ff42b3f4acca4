"""A training that starts from the weights of another, narrower or shipped animator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeanim.core.errors import BadInput
from edgeanim.graph.pytorch.module_weights import save_weights
from edgeanim.models.animator import Animator, load_animator
from edgeanim.models.config import SIZES
from edgeanim.models.export import load_shipped
from edgeanim.models.train import train
from edgeanim.models.training.checkpoint import Ema
from edgeanim.models.training.config import Phase
from edgeanim.models.training.run import build_networks, start_from
from tests.models.tiny_training import CONFIG, TINY, errors, fixed_batch


def test_a_training_may_start_from_the_weights_of_another(trained, tmp_path):
    config = replace(CONFIG, start=trained, regions=(), generator=(Phase(1, 2, (64,), 1e-6),))
    train(config, tmp_path)
    expected = load_file(trained / "animator.safetensors")
    for name, value in load_file(tmp_path / "animator.safetensors").items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)


def test_a_training_may_start_from_the_weights_of_a_narrower_one(trained, tmp_path):
    batch = fixed_batch()
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
