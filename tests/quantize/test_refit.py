"""The layers of a pruned module fitted to the unpruned one's outputs."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import fx, nn

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.pruning.refit import bytes_per_sample, refit
from edgeanim.quantize.pruning.takes import Script, Takes
from edgeanim.quantize.pruning.whole import WholeModel


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
    assert bytes_per_sample(fx.symbolic_trace(net), [picture]) == 2 * (8 + 8) * 100 * 4


def test_large_maps_are_fitted_on_fewer_samples_at_more_places(
    unet: GraphArtifact, samples: ArraySamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeanim.quantize.pruning import rounds

    fitted = []

    def refit(*arguments: object, places: int, **_: object) -> None:
        fitted.append((len(arguments[3]), places))  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "refit", refit)
    graph = import_torch(unet.path)
    name = unet.spec.name
    whole = WholeModel(Contract("whole", (unet.spec,)), {name: graph})
    takes = Takes({name: samples}, [Script((), (name,), len(samples))])
    spec = PruneSpec(ratio=0.5, of="channels", importance="magnitude", round_to=4)
    made = rounds.Rounds(deepcopy(whole), whole, {name: graph}, takes, spec, None)
    made.refit()
    monkeypatch.setattr(rounds, "_MEMORY", 4 * bytes_per_sample(graph.module, graph.example()))
    made.refit()
    (many, few_places), (few, many_places) = fitted
    assert many > 4 >= few
    assert many_places == 64 * few_places
