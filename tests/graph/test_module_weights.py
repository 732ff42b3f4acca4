"""Weights from files: those that do not fit, are not finite, or are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_model

from edgeanim.core.errors import BadInput
from edgeanim.graph.pytorch.module_weights import load_weights, save_weights
from edgeanim.models.animator import Animator
from tests.models.tiny_training import TINY


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


def test_what_modules_share_may_be_in_the_file_once(tmp_path):
    """As `safetensors.torch.save_model` writes it: `save_file` refuses such a module."""
    path = tmp_path / "w.safetensors"
    kept = torch.nn.Linear(2, 2)
    shared = torch.nn.Linear(2, 2)
    tied = torch.nn.ModuleDict({"still": shared, "driver": shared})
    save_model(torch.nn.ModuleDict({"still": kept, "driver": kept}), str(path))
    load_weights(tied, path)
    assert torch.equal(tied["still"].weight, kept.weight)
    apart = torch.nn.ModuleDict({"still": kept, "driver": torch.nn.Linear(2, 2)})
    with pytest.raises(BadInput, match=r"'(still|driver)\.weight' is missing"):
        load_weights(apart, path)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"module": torch.nn.Linear(2, 2)}, "there is 'module.weight'.*begin with 'module.'"),
        ({"g": torch.nn.Linear(2, 2), "d": torch.nn.Linear(1, 1)}, "begin with 'g.'"),
        (
            {"other": torch.nn.Linear(2, 2, bias=False)},
            "'weight' is missing. These are the weights of another",
        ),
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
