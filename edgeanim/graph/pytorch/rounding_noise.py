"""How far rounding alone moves what a graph gives: what no gate may take for a fault.

A softmax of a low temperature, Gaussians round key points and warps by what follows from them
multiply the last bit of a convolution by thousands. Two runtimes that add in another order are then
further apart than the usual tolerance, and neither is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeanim.graph.reference import deviation

if TYPE_CHECKING:
    import torch

_DRAWS = 3
_LAST_BIT = 2.0**-23
_SUM_BITS = 3.0  # of hundreds of numbers
_MARGIN = 4.0
"""Runtimes were found up to twice as far apart as the draws, which are few."""
_MOST = 1e-2
"""What differs by more is refused however it comes about: no golden frame could be held to it."""


def tolerance_with_noise(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], tolerance: float
) -> float:
    """`tolerance`, or more where rounding moves an output of an fx `module` further than that: in
    `_DRAWS` runs every op's results are off by up to their last bit, and sums by `_SUM_BITS` of
    them."""
    import torch

    with torch.no_grad():
        expected = module(*inputs)
        moved = [
            deviation(wanted.numpy(), found.numpy())
            for seed in range(_DRAWS)
            for wanted, found in zip(expected, _run_rounded(module, inputs, seed), strict=True)
        ]
    return max(tolerance, min(_MARGIN * max(moved), _MOST))


def _run_rounded(module: Any, inputs: Sequence[torch.Tensor], seed: int) -> Any:
    import torch
    from torch import fx

    generator = torch.Generator().manual_seed(seed)
    sums = (torch.matmul, torch.einsum, torch.sum, torch.mean)

    class Rounding(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            if not n.op.startswith("call") or not torch.is_tensor(value):
                return value
            if not value.is_floating_point():
                return value
            share = 2 * torch.rand(value.shape, generator=generator) - 1
            size = value.abs()
            if n.op == "call_module" or n.target in sums:
                # What came out small may be a sum of large ones.
                size = _SUM_BITS * size.maximum(size.mean())
            # Whole numbers are mostly positions, and exact.
            return value.where(value == value.round(), value + share * size * _LAST_BIT)

    return Rounding(module).run(*inputs)
