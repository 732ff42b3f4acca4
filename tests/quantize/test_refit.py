"""What a layer is fitted on: the patches that its kernel meets."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.to_torch import import_torch
from edgeanim.quantize import refit as module
from edgeanim.quantize.calibration import ArraySamples
from edgeanim.quantize.refit import (
    PLACES,
    _fit,
    _with_gaps,
    _without_gaps,
    held_for_each,
    patches,
    refit,
)
from edgeanim.quantize.takes import Script, Takes
from edgeanim.quantize.whole import Whole


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), 1, 1, 1),
        ((1, 1), 2, 0, 1),
        ((3, 5), (2, 1), (0, 2), (1, 2)),
        ((4, 2), 3, (3, 1), 2),
    ],
)
def test_patches_are_those_of_the_unfolded_picture(
    kernel: tuple[int, int], stride: object, padding: object, dilation: object
) -> None:
    layer = nn.Conv2d(2, 1, kernel, stride, padding, dilation)
    x = torch.rand(3, 2, 11, 13)
    whole = functional.unfold(x, kernel, layer.dilation, layer.padding, layer.stride)
    whole = whole.transpose(1, 2).flatten(0, 1)
    places = torch.randperm(len(whole))
    assert layer(x)[:, 0].numel() == len(whole)
    torch.testing.assert_close(patches(layer, x, places), whole[places])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "dilation"),
    [(4, 2, 1, 0, 1), (3, 2, 1, 1, 1), (2, 2, 0, 0, 1), ((3, 2), (1, 3), (2, 0), (0, 2), (2, 1))],
)
def test_a_transposed_convolution_is_one_of_a_picture_with_gaps(
    kernel: object, stride: object, padding: object, extra: object, dilation: object
) -> None:
    layer = nn.ConvTranspose2d(3, 2, kernel, stride, padding, extra, dilation=dilation)
    x = torch.rand(2, 3, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(_without_gaps(layer)(_with_gaps(layer, x)), layer(x))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_that_can_give_what_is_asked_learns_to(
    kind: type[nn.Module], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RIDGE", 1e-4)  # hardly any pull towards the weights as they are
    torch.manual_seed(0)
    wanted, layer = (kind(4, 3, 3, padding=1, stride=2, bias=bias) for _ in range(2))
    inputs = [torch.rand(1, 4, 16, 16) for _ in range(12)]

    def error() -> float:
        pairs = zip(inputs, goals, strict=True)
        return sum(float((layer(x) - y).square().sum()) for x, y in pairs)

    with torch.no_grad():
        goals = [wanted(x) for x in inputs]
        before = error()
        _fit(layer, inputs, goals, PLACES, torch.Generator().manual_seed(0))
        assert error() < 1e-3 * before


def test_what_the_frames_do_not_show_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    layer, wanted = nn.Conv2d(2, 3, 1, bias=False), nn.Conv2d(2, 3, 1, bias=False)
    inputs = [torch.cat([torch.rand(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.01)], 1)] * 4
    before = layer.weight.detach().clone()
    with torch.no_grad():
        _fit(layer, inputs, [wanted(x) for x in inputs], PLACES, torch.Generator().manual_seed(0))
    shown, hidden = (layer.weight.detach() - before).abs().mean((0, 2, 3))
    assert hidden < 0.1 * shown


def test_layers_that_pruning_has_not_reached_are_left_as_they_are() -> None:
    torch.manual_seed(0)
    teacher = fx.symbolic_trace(nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3))).eval())
    student = deepcopy(teacher)
    with torch.no_grad():
        student.get_submodule("1").weight[0] = 0  # as if its first channel had gone
    refit(student, teacher, {}, [[torch.rand(1, 4, 8, 8)] for _ in range(4)], seed=0)
    for name, same in (("0", True), ("1", False), ("2", False)):
        pair = (net.get_submodule(name).weight for net in (student, teacher))
        assert torch.equal(*pair) is same, name


def test_what_a_sample_holds_is_what_is_still_to_be_read() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    picture = torch.zeros(1, 3, 10, 10)
    # The first result and its ReLU are the most that is there at once, of two modules each.
    assert held_for_each(fx.symbolic_trace(net), [picture]) == 2 * (8 + 8) * 100 * 4


def test_large_maps_are_fitted_on_fewer_samples_at_more_places(
    unet: GraphArtifact, samples: ArraySamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeanim.quantize import rounds

    fitted = []

    def refit(*arguments: object, places: int, **_: object) -> None:
        fitted.append((len(arguments[3]), places))  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "refit", refit)
    graph = import_torch(unet.path)
    name = unet.spec.name
    whole = Whole(Contract("whole", (unet.spec,)), {name: graph})
    takes = Takes({name: samples}, [Script((), (name,), len(samples))])
    spec = PruneSpec(ratio=0.5, of="channels", importance="magnitude", round_to=4)
    made = rounds.Rounds(deepcopy(whole), whole, {name: graph}, takes, spec, None)
    made.refit()
    monkeypatch.setattr(rounds, "_MEMORY", 4 * held_for_each(graph.module, graph.example()))
    made.refit()
    (many, few_places), (few, many_places) = fitted
    assert many > 4 >= few
    assert many_places == 64 * few_places
