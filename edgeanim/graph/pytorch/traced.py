"""What is known of a traced module once it has run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import fx


def watched_run(
    module: fx.GraphModule, inputs: Sequence[torch.Tensor], watch: Callable[[fx.Node, Any], None]
) -> Any:
    """What `module` returns, run node by node without gradients; `watch` sees each node with its
    value."""
    import torch
    from torch import fx

    class Watched(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            watch(n, value)
            return value

    with torch.no_grad():
        return Watched(module).run(*inputs)


def traced_shapes(
    module: fx.GraphModule, example: Sequence[torch.Tensor]
) -> dict[str, tuple[int, ...]]:
    """The shape of every value that is a tensor, by its node's name, where `example` is given."""
    import torch

    shapes: dict[str, tuple[int, ...]] = {}

    def watch(node: fx.Node, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            shapes[node.name] = tuple(value.shape)

    watched_run(module, example, watch)
    return shapes
