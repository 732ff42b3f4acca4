"""Equalisation changes no result and evens out the channels of what is stored in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn

from edgeanim.core.artifact import GraphArtifact
from edgeanim.graph.pytorch.from_torch import export_onnx
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.distillation.equalise import equalise
from edgeanim.quantize.distillation.placement import Placement, find_placement
from tests.quantize.cyclegan import as_samples, make_generator, photographs, spec_of

STEPS: dict[str, Callable[[int], nn.Module]] = {
    "conv": lambda c: nn.Conv2d(c, c, 3, padding=1),
    "depthwise": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=c),
    "grouped": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=2, bias=False),
    "batch_norm": lambda c: nn.BatchNorm2d(c),
    "norm": lambda c: nn.InstanceNorm2d(c, eps=1e-9, affine=True),
    "plain_norm": lambda c: nn.InstanceNorm2d(c, eps=1e-9),
    "prelu": lambda c: nn.PReLU(c),
    "pool": lambda _: nn.AvgPool2d(3, 1, padding=1),
    "silu": lambda _: nn.SiLU(),
}
FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "pad": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "pad_one": lambda x: F.pad(x, (1, 1, 1, 1), value=1.0),
    "plus_one": lambda x: x + 1.0,
    "twice": lambda x: x * 2.0,
    "resize": lambda x: F.interpolate(x, scale_factor=2.0),
    "twin": lambda x: x + F.relu(x),
    "gate": lambda x: x * torch.sigmoid(x),
    "square": lambda x: x * x,
    "shuffle": lambda x: F.pixel_shuffle(torch.cat([x, F.relu(x), x, x], 1), 2),
    "double": lambda x: torch.cat([x, F.relu(x)], 1)[:, : x.shape[1]],
}


class Stack(nn.Module):
    """Named steps between two convolutions, with a skip that joins the end by concatenation."""

    def __init__(self, names: list[str], channels: int = 4) -> None:
        super().__init__()
        self.names = names
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.steps = nn.ModuleDict(
            {f"s{i}": STEPS[name](channels) for i, name in enumerate(names) if name in STEPS}
        )
        self.middle = nn.Conv2d(channels, channels, 1)
        self.last = nn.Conv2d(2 * channels, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        for i, name in enumerate(self.names):
            x = self.steps[f"s{i}"](x) if name in STEPS else FUNCTIONS[name](x)
        return self.last(torch.cat([F.relu(self.middle(x)), x], 1))


@given(st.lists(st.sampled_from([*STEPS, *FUNCTIONS]), max_size=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_whatever_the_graph_its_results_stay(names: list[str], seed: int) -> None:
    require_equal_results(names, seed)


@pytest.mark.parametrize("name", [*STEPS, *FUNCTIONS])
def test_each_step_between_two_convolutions_leaves_the_results_as_they_are(name: str) -> None:
    require_equal_results([name, "conv"], 0)


def require_equal_results(names: list[str], seed: int) -> None:
    torch.manual_seed(seed)
    module = Stack(names).eval().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    traced = fx.symbolic_trace(module)
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    targets = [n for n, m in traced.named_modules() if isinstance(m, nn.Conv2d)]
    values = tuple(node.name for node in traced.graph.nodes if node.op.startswith("call"))
    with torch.no_grad():
        wanted = module(*batch)
        equalise(traced, Placement(tuple(targets), values), [batch])
        # A norm's epsilon lets a little of a factor through; all else is exact.
        tolerance = 5e-3 if {"norm", "plain_norm"} & set(names) else 1e-9
        error = (traced(*batch) - wanted).abs().max() / wanted.abs().max().clamp_min(1)
    assert float(error) < tolerance


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_strength_says_whose_channels_become_even(strength: float) -> None:
    """Those of the activations, of the kernel that reads them, or both as far as the other's."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 1, 1)).double()
    with torch.no_grad():
        net[0].weight.abs_().mul_(torch.tensor([1, 2, 4, 8, 16, 32]).reshape(6, 1, 1, 1))
        net[0].bias.zero_()
        net[2].weight.mul_(torch.tensor([5, 1, 3, 1, 4, 2]).reshape(6, 1, 1))
        traced = fx.symbolic_trace(net)
        batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
        equalise(traced, Placement(("0", "2"), ("_0", "_1")), [batch], strength=strength)
        ranges = F.relu(getattr(traced, "0")(*batch)).amax((0, 2, 3))
        columns = getattr(traced, "2").weight.abs().amax((0, 2, 3))
    even = {0.0: [columns], 0.5: [ranges / columns], 1.0: [ranges]}[strength]
    for values in even:
        torch.testing.assert_close(values / values.max(), torch.ones(6, dtype=torch.float64))


class Shifted(Stack):
    """With a parameter of that shape added on the way."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(["relu"])
        self.map = nn.Parameter(torch.rand(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x)) + self.map
        return self.last(torch.cat([F.relu(self.middle(x)), x], 1))


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1, 4, 8, 8)])
def test_a_parameter_is_scaled_along_its_channels_wherever_they_are(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    module = Shifted(shape).eval().double()
    traced = fx.symbolic_trace(module)
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    targets = [n for n, m in traced.named_modules() if isinstance(m, nn.Conv2d)]
    # What a sum adds is stored in 8 bits like what it adds it to.
    values = tuple(n.name for n in traced.graph.nodes if n.op.startswith(("call", "get_attr")))
    before = module.map.detach().clone()
    with torch.no_grad():
        wanted = module(*batch)
        equalise(traced, Placement(tuple(targets), values), [batch])
        torch.testing.assert_close(traced(*batch), wanted)
    assert not torch.equal(traced.map, before)


class NormedTwice(nn.Module):
    """Two norms of one value; the first one's epsilon is large beside its variance."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.coarse, self.fine = nn.InstanceNorm2d(4, eps=0.1), nn.InstanceNorm2d(4, eps=1e-9)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        return self.last(self.coarse(x) + self.fine(x))


def test_of_several_norms_of_a_value_the_strictest_limits_its_factor() -> None:
    torch.manual_seed(3)
    module = NormedTwice().eval().double()
    traced = fx.symbolic_trace(module)
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    with torch.no_grad():
        wanted = module(*batch)
        equalise(traced, Placement(("first", "last"), ("relu", "add")), [batch])
        assert float((traced(*batch) - wanted).abs().max() / wanted.abs().max()) < 5e-3


class Stacked(nn.Module):
    """Looks at both halves of its channels as if they were two pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.halves = nn.Conv2d(2, 2, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pair = F.relu(self.first(x)).reshape(2, 2, 8, 8)
        return self.last(F.relu(self.halves(pair)).reshape(1, 4, 8, 8))


def test_a_convolution_of_several_pictures_at_once_is_left_as_it_is() -> None:
    module = Stacked().eval().double()
    traced = fx.symbolic_trace(module)
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    with torch.no_grad():
        wanted = module(*batch)
        equalise(traced, Placement(("first", "halves", "last"), ("relu", "relu_1")), [batch])
        torch.testing.assert_close(traced(*batch), wanted)


def test_a_transposed_convolution_of_which_an_output_is_dead_is_equalised_all_the_same() -> None:
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1),
        nn.Conv2d(4, 3, 3, padding=1),
    ).eval()
    with torch.no_grad():
        module[2].weight[:, 1] = 0
        module[0].weight *= torch.logspace(-1, 1, 6)[:, None, None, None]
    traced = fx.symbolic_trace(module.double())
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    with torch.no_grad():
        wanted = module(*batch).clone()
        report = equalise(traced, Placement(("0", "2", "3"), ("_0", "_1", "_2")), [batch])
        torch.testing.assert_close(traced(*batch), wanted)
    assert report.channels == 6 + 6 + 4  # what the ReLU reads and gives, and what the next reads


@pytest.mark.parametrize("gate_first", [False, True])
def test_what_a_gate_multiplies_is_equalised_on_whichever_side_it_stands(gate_first: bool) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3, padding=1)
            self.gate = nn.Conv2d(3, 6, 1)
            self.last = nn.Conv2d(6, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features, gate = F.relu(self.first(x)), torch.sigmoid(self.gate(x))
            return self.last(gate * features if gate_first else features * gate)

    torch.manual_seed(4)
    traced = fx.symbolic_trace(Gated().eval().double())
    batch = [torch.rand(1, 3, 8, 8, dtype=torch.float64)]
    with torch.no_grad():
        wanted = traced(*batch)
        report = equalise(traced, Placement(("first", "last"), ("first", "relu", "mul")), [batch])
        torch.testing.assert_close(traced(*batch), wanted)
    assert report.channels == 3 * 6  # the convolution's, the ReLU's and the product's


def imported(path: Path, samples: ArraySamples) -> tuple[Any, Placement, list[Any]]:
    graph = import_torch(path)
    batches = [graph.tensors(sample) for sample in samples]
    placement = find_placement(graph.module, traced_shapes(graph.module, batches[0]))
    return graph.module, placement, batches


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Placement, list[Any]]:
    """An untrained CycleGAN-style generator whose channels differ widely."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("generator") / "net.onnx"
    export_onnx(make_generator(4, 1, spread=1.0), spec_of(32), path)
    return imported(path, as_samples(photographs(3, 32, seed=1)))


def unevenness(module: Any, batches: list[Any], values: tuple[str, ...]) -> float:
    """How much wider the widest channel is than the median one: the median over all values."""
    ratios = []

    class Watching(fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            if n.name in values and value.shape[1] > 3:
                peaks = value.abs().amax((0, 2, 3))
                ratios.append(float(peaks.max() / peaks.median()))
            return value

    with torch.no_grad():
        Watching(module).run(*batches[0])
    return float(torch.tensor(ratios).median())


def test_channels_of_a_generator_become_even_through_its_norms(
    generator: tuple[Any, Placement, list[Any]],
) -> None:
    module, placement, batches = generator
    changed = deepcopy(module)
    report = equalise(changed, placement, batches, strength=1.0)
    assert report.classes > 20
    assert report.largest > 3
    before = unevenness(module, batches, placement.values)
    assert unevenness(changed, batches, placement.values) - 1 < 0.5 * (before - 1)
    with torch.no_grad():
        difference = (changed(*batches[1])[0] - module(*batches[1])[0]).abs().max()
    assert float(difference) < 2e-3  # a norm's epsilon; the rest is exact


def test_a_unet_with_skips_stays_the_same(unet: GraphArtifact, samples: ArraySamples) -> None:
    module, placement, batches = imported(unet.path, samples)
    changed = deepcopy(module)
    assert equalise(changed, placement, batches[:3]).classes > 50
    with torch.no_grad():
        for inputs in batches[3:6]:
            torch.testing.assert_close(changed(*inputs)[0], module(*inputs)[0], rtol=0, atol=2e-6)
