"""Muon: momentum whose matrices are made orthogonal before each step.

A step along the gradient moves the few directions that already dominate a layer; orthogonalised, it
moves all of them alike (Jordan et al., "Muon: an optimizer for hidden layers", 2024). The root of a
matrix's longer side makes steps of all shapes equally large (Liu et al., "Muon is scalable for LLM
training", 2025): the learning rate is the root mean square of a step.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    """Muon for convolutions, taken as matrices [out, in * kh * kw]; Adam for biases and norms.

    Matrices of one shape are multiplied together, and all vectors move together: one by one, the
    calls would take an accelerator longer than what they compute.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 1e-3) -> None:
        super().__init__(list(parameters), {"lr": lr})

    def step(self, closure: None = None) -> None:  # noqa: ARG002
        """One step from the gradients at hand."""
        with torch.no_grad():
            for group in self.param_groups:
                moved = [p for p in group["params"] if p.grad is not None]
                self._orthogonal_step([p for p in moved if p.dim() > 1], group["lr"])
                self._adam_step([p for p in moved if p.dim() < 2], group["lr"])

    def _orthogonal_step(self, matrices: list[Tensor], lr: float) -> None:
        if not matrices:
            return
        for each in matrices:
            if not self.state[each]:
                self.state[each]["momentum"] = torch.zeros_like(each)
        gradients = [each.grad for each in matrices]
        momenta = [self.state[each]["momentum"] for each in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)
        torch._foreach_mul_(matrices, 1 - lr * _WEIGHT_DECAY)
        for alike in _of_one_shape(ahead):
            moves = orthogonalized(torch.stack([ahead[i].flatten(1) for i in alike]))
            size = lr * max(moves.shape[1:]) ** 0.5
            for i, move in zip(alike, moves, strict=True):
                matrices[i].sub_(move.reshape(matrices[i].shape), alpha=size)

    def _adam_step(self, vectors: list[Tensor], lr: float) -> None:
        """Adam with bias correction (Kingma and Ba 2015)."""
        if not vectors:
            return
        for each in vectors:
            if not self.state[each]:
                self.state[each]["step"] = torch.zeros(())
                self.state[each]["mean"] = torch.zeros_like(each)
                self.state[each]["square"] = torch.zeros_like(each)
        gradients = [each.grad for each in vectors]
        steps, means, squares = (
            [self.state[each][key] for each in vectors] for key in ("step", "mean", "square")
        )
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(means, gradients, 1 - _BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - _BETAS[1])
        biases, heights = ([1 - beta ** float(step) for step in steps] for beta in _BETAS)
        roots = torch._foreach_sqrt(torch._foreach_div(squares, heights))
        torch._foreach_add_(roots, _EPSILON)
        torch._foreach_addcdiv_(vectors, torch._foreach_div(means, biases), roots, -lr)


def _of_one_shape(tensors: list[Tensor]) -> list[list[int]]:
    """The indices of the tensors, those of one shape together."""
    groups: dict[torch.Size, list[int]] = {}
    for index, tensor in enumerate(tensors):
        groups.setdefault(tensor.shape, []).append(index)
    return list(groups.values())


def orthogonalized(matrices: Tensor) -> Tensor:
    """About U V^T for each of `matrices` = U S V^T [N, m, n]: its singular values come to lie
    around 1, between 0.7 and 1.2, unless they are a thousandth of the largest or less."""
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
