"""What is asked of a training: sizes, phases, and what is wrong with a configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeanim.core.errors import BadInput
from edgeanim.core.parsing import parse
from edgeanim.models.config import SIZES
from edgeanim.models.training.config import Phase, TrainConfig, load_train_config
from edgeanim.models.training.schedule import schedule
from tests.models.tiny_training import CONFIG


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
        ({"threads": 0}, "at least 1 and at most 256"),
        ({"threads": 100_000}, "at least 1 and at most 256"),
        ({"model": {"size": 100}}, "multiple of 32"),
        ({"ema": 1.0}, "ema"),
        ({"regions": [{"steps": 1, "batch": 1_000_000_000}]}, "`batch` at most 1024"),
        ({"regions": [{"steps": 99_999_999_999}]}, "at most 1000000"),
        ({"regions": [{"steps": 1, "sizes": [32_000]}]}, "between 64 and 1024"),
        ({"losses": {"pixels": -3}}, "`pixels` must not be negative"),
        ({"losses": {"warp": float("nan")}}, "`warp`|finite"),
        ({"precision": "float16"}, "not possible|bfloat16"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(data, says):
    with pytest.raises(BadInput, match=says):
        parse(TrainConfig, data, where="train.toml")
