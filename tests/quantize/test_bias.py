"""Bias correction: the mean of each channel is what it was before rounding."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.graph.pytorch.write_back import write_back
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.distillation.bias import correct_biases
from edgeanim.quantize.distillation.fake_quant import (
    collect_ranges,
    insert_rounding,
    remove_rounding,
)
from edgeanim.quantize.distillation.placement import find_placement
from tests.onnx_text import parsed


def save_net(path: Path, rng: np.random.Generator) -> None:
    """A convolution without bias and a head, with kernels of a few coarse steps."""
    import onnx

    graph = """net (float[1,3,32,32] image) => (float[1,3,32,32] result) {
        [first] mid = Conv <pads = [1,1,1,1]> (image, w0)
        [relu] act = Relu (mid)
        [last] result = Conv <pads = [1,1,1,1]> (act, w1, b1)
    }"""
    weights = {
        "w0": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "w1": rng.normal(0, 0.3, (3, 8, 3, 3)).astype(np.float32),
        "b1": np.zeros(3, np.float32),
    }
    onnx.save(parsed(graph, weights, opset=17), str(path))


def test_the_mean_of_every_channel_returns(tmp_path: Path) -> None:
    save_net(tmp_path / "net.onnx", np.random.default_rng(4))
    graph = import_torch(tmp_path / "net.onnx")
    batches = [[torch.rand(1, 3, 32, 32)] for _ in range(4)]
    module = graph.module
    placement = find_placement(module, traced_shapes(module, batches[0]))
    with torch.no_grad():
        wanted = torch.cat([module(*inputs)[0] for inputs in batches]).mean((0, 2, 3))
    insert_rounding(module, placement, weight_limit=4)  # coarse, so that rounding shifts much
    collect_ranges(module, batches, "minmax")

    def shift() -> float:
        with torch.no_grad():
            found = torch.cat([module(*inputs)[0] for inputs in batches]).mean((0, 2, 3))
        return float((found - wanted).abs().max())

    before = shift()
    assert correct_biases(module, batches) > 0.05
    assert shift() < 0.2 * before

    remove_rounding(module)
    write_back(graph, module, tmp_path / "corrected.onnx")
    again = import_torch(tmp_path / "corrected.onnx").module
    assert again.get_submodule("first").bias is not None


def test_clipped_tails_no_longer_darken(unet: GraphArtifact, samples: ArraySamples) -> None:
    graph = import_torch(unet.path)
    batches = [graph.tensors(sample) for sample in samples]
    module = graph.module

    def mean() -> Array:
        with torch.no_grad():
            found = torch.cat([module(*inputs)[0] for inputs in batches])
        return np.asarray(found.mean((0, 2, 3)))

    wanted = mean()
    placement = find_placement(module, traced_shapes(module, batches[0]))
    insert_rounding(module, placement, weight_limit=127)
    collect_ranges(module, batches, "minmax")
    for part in module.modules():
        if hasattr(part, "high") and part.high > 1.5:  # cut a tail off everything inside
            part.high *= 0.6
    clipped = np.abs(mean() - wanted).max()
    correct_biases(module, batches)
    assert np.abs(mean() - wanted).max() < 0.7 * clipped


def test_what_clipping_takes_is_given_back_through_a_pad() -> None:
    """The value is rounded before the pad, and the convolution reads it behind that."""
    torch.manual_seed(3)

    class Padded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.last = torch.nn.Conv2d(8, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = F.relu(self.first(x))
            return self.last(F.pad(hidden, [1, 1, 1, 1], mode="reflect"))

    net = Padded()
    module = fx.symbolic_trace(deepcopy(net))
    batches = [[torch.rand(1, 3, 16, 16)] for _ in range(3)]
    with torch.no_grad():
        wanted = torch.cat([module(*inputs) for inputs in batches]).mean((0, 2, 3))
    placement = find_placement(module, traced_shapes(module, batches[0]))
    insert_rounding(module, placement, weight_limit=127)
    collect_ranges(module, batches, "minmax")
    module.get_submodule("rounded_relu").high *= 0.4

    def shift() -> float:
        with torch.no_grad():
            found = torch.cat([module(*inputs) for inputs in batches]).mean((0, 2, 3))
        return float((found - wanted).abs().max())

    before = shift()
    with torch.no_grad():
        hidden = F.relu(net.first(torch.cat([x for (x,) in batches])))
        clipped = module.get_submodule("rounded_relu")(hidden)
        exact, made = (
            layer(F.pad(x, [1, 1, 1, 1], mode="reflect"))
            for layer, x in ((net.last, hidden), (module.get_submodule("last"), clipped))
        )
        apart = (made - exact).mean((0, 2, 3)).abs() / exact.std((0, 2, 3))
    assert correct_biases(module, batches) == pytest.approx(float(apart.max()), rel=0.01)
    assert shift() < 0.2 * before
