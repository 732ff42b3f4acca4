"""Where a distillation stands, on disk: what is not whole there is as good as nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from edgeanim.core.files import sha256_bytes
from edgeanim.quantize.distillation.state import TrainingHistory, load_state, save_state

Tensors = dict[str, torch.Tensor]


def begun() -> tuple[dict[str, torch.nn.Parameter], torch.optim.Adam]:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(4, 3))
    adam = torch.optim.Adam([weight], lr=0.1)
    weight.square().sum().backward()
    adam.step()
    return {"weight": weight}, adam


@pytest.fixture
def state(tmp_path: Path) -> Path:
    parameters, adam = begun()
    best = {name: p.detach().clone() for name, p in parameters.items()}
    save_state(tmp_path, TrainingHistory(10, 10, (1.0, 0.5)), parameters, adam, best)
    return tmp_path


def rewrite(state: Path, data: bytes, **record: object) -> None:
    """Put `data` in the place of the tensors, as whoever made it all would."""
    (state / "state.safetensors").write_bytes(data)
    told: dict[str, Any] = json.loads((state / "state.json").read_text())
    told |= {"tensors": sha256_bytes(data), **record}
    (state / "state.json").write_text(json.dumps(told))


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors | {name: change(tensors[name])}


def test_a_whole_state_is_taken_up(state: Path) -> None:
    wanted, _ = begun()
    parameters, adam = begun()
    with torch.no_grad():
        parameters["weight"].zero_()
    found = load_state(state, parameters, adam)
    assert found is not None
    assert found[0].held_out == (1.0, 0.5)
    assert torch.equal(parameters["weight"], wanted["weight"])


@pytest.mark.parametrize(
    "damage",
    [
        without("best/weight"),
        without("exp_avg_sq/weight"),
        changed("now/weight", lambda value: value * torch.nan),
        changed("best/weight", lambda value: value * torch.inf),
        changed("best/weight", lambda value: value[:2].clone()),
        changed("exp_avg/weight", lambda value: value[:2].clone()),
        changed("exp_avg/weight", lambda value: value.long()),
        changed("step/weight", lambda value: value.repeat(3)),
    ],
)
def test_tensors_that_are_not_the_parameters_are_not_taken_up(
    damage: Callable[[Tensors], Tensors], state: Path
) -> None:
    rewrite(state, save(damage(load((state / "state.safetensors").read_bytes()))))
    assert load_state(state, *begun()) is None


@pytest.mark.parametrize("data", [b"", b"no tensors at all"])
def test_what_holds_no_tensors_is_not_taken_up(data: bytes, state: Path) -> None:
    rewrite(state, data)
    assert load_state(state, *begun()) is None


@pytest.mark.parametrize("record", [{"held_out": []}, {"step": -10}, {"every": 0}])
def test_a_course_that_cannot_have_been_run_is_not_taken_up(
    record: dict[str, object], state: Path
) -> None:
    rewrite(state, (state / "state.safetensors").read_bytes(), **record)
    assert load_state(state, *begun()) is None
