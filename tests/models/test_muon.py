"""The optimiser of matrices: its steps are orthogonal, it learns, and it goes on after a kill."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional

from edgeanim.models.train import train
from edgeanim.models.training.muon import Muon, orthogonalized
from tests.models.tiny_training import SHORT, KillAfter, Killed


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_singular_values_come_near_to_one_whatever_the_gradients_size(rows, columns, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator))
    values = torch.linspace(0.05, 1, min(rows, columns))
    matrix = left[:, : len(values)] * values @ right[: len(values)]
    found = torch.linalg.svdvals(orthogonalized((matrix * scale)[None])[0])
    assert found.min() > 0.5
    assert found.max() < 1.3


def test_it_keeps_the_directions():
    matrix = torch.randn(8, 20, generator=torch.Generator().manual_seed(3))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    likeness = (u @ v * orthogonalized(matrix[None])[0]).sum() / 8
    assert likeness > 0.7


def test_a_step_of_any_shape_is_as_large_as_the_learning_rate():
    for shape in ((4, 3, 3, 3), (64, 16, 1, 1), (8, 100)):
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-3
        Muon([weight], lr=0.01).step()
        assert 0.005 < float(weight.detach().square().mean().sqrt()) < 0.015


def gradients(count, *shape):
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def test_matrices_follow_the_momentum_ahead_of_them_and_weigh_a_little_less_every_step():
    weight = torch.nn.Parameter(100 * torch.eye(6, 4))
    expected, momentum = weight.detach().clone(), torch.zeros(6, 4)
    optimizer = Muon([weight], lr=0.1)
    for gradient in gradients(3, 6, 4):
        weight.grad = gradient
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.95 * momentum + 0.05 * gradient
        move = orthogonalized(ahead[None])[0]
        expected = (1 - 0.1 * 1e-4) * expected - 0.1 * 6**0.5 * move
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-6, atol=1e-4)


def test_vectors_move_as_by_adam_and_what_has_no_gradient_stays():
    ours, theirs, frozen = (torch.nn.Parameter(torch.ones(5)) for _ in range(3))
    kernel = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([ours, frozen, kernel], lr=0.01)
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99))
    for gradient in gradients(4, 5):
        ours.grad, theirs.grad = gradient, gradient.clone()
        optimizer.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)
    assert (frozen == 1).all()
    assert (kernel == 1).all()


def test_it_learns_a_convolution_with_its_bias():
    generator = torch.Generator().manual_seed(5)
    pictures = torch.randn(16, 3, 8, 8, generator=generator)
    wanted = torch.nn.Conv2d(3, 6, 3)
    learner = torch.nn.Conv2d(3, 6, 3)
    optimizer = Muon(learner.parameters(), lr=0.02)
    losses = []
    for step in range(120):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 120)
        loss = functional.mse_loss(learner(pictures), wanted(pictures).detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.01 * losses[0]


def test_a_killed_training_goes_on_to_the_identical_result(tmp_path):
    config = replace(SHORT, optimizer="muon")
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Killed):
        train(config, tmp_path / "cut", KillAfter(10))
    cut = train(config, tmp_path / "cut")
    expected = load_file(whole / "animator.safetensors")
    for name, value in load_file(cut / "animator.safetensors").items():
        assert torch.equal(value, expected[name]), name
