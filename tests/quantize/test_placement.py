"""Where a traced graph is rounded, on graphs of a few nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import fx, nn

from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.quantize.distillation.placement import find_placement
from tests.onnx_text import parsed


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
    shapes = traced_shapes(module, [torch.zeros(1, 3, 8, 8)])
    return set(find_placement(module, shapes, results=False).values)


def test_a_convolution_is_rounded_behind_its_relu_unless_something_else_reads_it() -> None:
    assert rounded(twice=False) == {"image", "relu", "add"}
    assert rounded(twice=True) == {"image", "first", "relu", "add"}


@pytest.mark.parametrize("kept", ["a.b", "a/b", "a_b", ""])
def test_nodes_whose_names_torch_cannot_tell_apart_are_kept_by_their_own(
    tmp_path: Path, kept: str
) -> None:
    names = ["a.b", "a/b", "a_b", ""]
    body = "\n".join(f"v{i + 1} = Conv (v{i}, w)" for i in range(4))
    weights = {"w": np.full((3, 3, 1, 1), 0.1, np.float32)}
    model = parsed(f"g (float[1,3,8,8] v0) => (float[1,3,8,8] v4) {{ {body} }}", weights)
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    imported = import_torch(path)
    shapes = traced_shapes(imported.module, imported.example())
    found = find_placement(imported.module, shapes, imported.submodules_of([kept or "v4"]))
    quantized = [imported.origins[target] for target in found.convolutions]
    assert quantized == [f"v{i + 1}" for i in range(4) if names[i] != kept]
