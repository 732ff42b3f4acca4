"""Muon: momentum whose matrices are made orthogonal before each step.

A step along the gradient moves the few directions that already dominate a layer; orthogonalised, it
moves all of them alike (Jordan et al., "Muon: an optimizer for hidden layers", 2024). The root of a
matrix's longer side makes steps of all shapes equally large (Liu et al., "Muon is scalable for LLM
training", 2025): the learning rate is the root mean square of a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_WEIGHT_DECAY = 1e-4
# Of the odd polynomial that drives singular values towards 1 (Jordan et al. 2024).
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_BETAS = (0.9, 0.99)
_EPSILON = 1e-8


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon for convolutions, taken as matrices [out, in * kh * kw]; Adam for biases and norms."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 1e-3) -> None:
        super().__init__(list(parameters), {"lr": lr})

    def step(self, closure: None = None) -> None:  # noqa: ARG002
        """One step from the gradients at hand."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        move = _orthogonal_step if parameter.dim() > 1 else _adam_step
                        move(parameter, parameter.grad, self.state[parameter], group["lr"])


def _orthogonal_step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    momentum: Tensor = state["momentum"]
    momentum.lerp_(gradient, 1 - _MOMENTUM)
    ahead = gradient.lerp(momentum, _MOMENTUM).flatten(1)
    scale = max(ahead.shape) ** 0.5
    parameter.mul_(1 - lr * _WEIGHT_DECAY)
    parameter.sub_(orthogonalized(ahead).reshape(parameter.shape), alpha=lr * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """About U V^T for `matrix` = U S V^T [m, n]: its singular values come to lie around 1, between
    0.7 and 1.2, unless they are a thousandth of the largest or less."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def _adam_step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float) -> None:
    """Adam with bias correction (Kingma and Ba 2015)."""
    if not state:
        state["step"] = torch.zeros(())
        state["mean"] = torch.zeros_like(parameter)
        state["square"] = torch.zeros_like(parameter)
    state["step"] += 1
    count = float(state["step"])
    mean, square = state["mean"], state["square"]
    mean.lerp_(gradient, 1 - _BETAS[0])
    square.lerp_(gradient.square(), 1 - _BETAS[1])
    height = (square / (1 - _BETAS[1] ** count)).sqrt() + _EPSILON
    parameter.addcdiv_(mean / (1 - _BETAS[0] ** count), height, value=-lr)
