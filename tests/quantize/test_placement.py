"""Where a traced graph is rounded, on graphs of a few nodes."""

from __future__ import annotations

import torch
from torch import fx, nn

from edgeanim.quantize.placement import find_placement, value_shapes


class Branched(nn.Module):  # type: ignore[misc]
    """A convolution and its ReLU; the convolution may be read a second time."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.twice = twice

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        made = self.first(image)
        bright = nn.functional.relu(made)
        return self.second(bright + made if self.twice else bright + image)


def rounded(*, twice: bool) -> set[str]:
    module = fx.symbolic_trace(Branched(twice=twice))
    shapes = value_shapes(module, [torch.zeros(1, 3, 8, 8)])
    return set(find_placement(module, shapes, results=False).values)


def test_a_convolution_is_rounded_behind_its_relu_unless_something_else_reads_it() -> None:
    assert rounded(twice=False) == {"image", "relu", "add"}
    assert rounded(twice=True) == {"image", "first", "relu", "add"}
