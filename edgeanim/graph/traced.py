"""What is known of a traced module once it has run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import fx


def value_shapes(
    module: fx.GraphModule, example: Sequence[torch.Tensor]
) -> dict[str, tuple[int, ...]]:
    """The shape of every value that is a tensor, by its node's name, where `example` is given."""
    import torch
    from torch import fx

    shapes: dict[str, tuple[int, ...]] = {}

    class Measuring(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                shapes[n.name] = tuple(value.shape)
            return value

    with torch.no_grad():
        Measuring(module).run(*example)
    return shapes
