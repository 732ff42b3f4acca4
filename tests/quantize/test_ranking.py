"""In what order channels go from a model, and what that is measured to cost."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.errors import GateFailed
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.pruning import layer_fit
from edgeanim.quantize.pruning.ranking import Scored, judged_takes
from edgeanim.quantize.pruning.rounds import Rounds
from edgeanim.quantize.pruning.takes import Script, Takes
from edgeanim.quantize.pruning.whole import OutputCache, WholeModel

SPEC = PruneSpec(ratio=0.2, of="macs", round_to=4, rounds=1, steps=0)


class Case:
    """A model of one graph, and rounds of pruning a copy of it."""

    def __init__(self, artifact: GraphArtifact, samples: ArraySamples) -> None:
        graph = import_torch(artifact.path)
        name = artifact.spec.name
        self.name = name
        self.whole = WholeModel(Contract("whole", (artifact.spec,)), {name: graph})
        self.student = deepcopy(self.whole)
        self.imported = {name: graph}
        self.takes = Takes({name: samples}, [Script((), (name,), len(samples))])

    def rounds(self, spec: PruneSpec = SPEC) -> Rounds:
        return Rounds(self.student, self.whole, self.imported, self.takes, spec, None)

    def error(self) -> float:
        """The mean squared error of the pruned one's frames, as a share of their variance."""
        with torch.no_grad():
            errors = [
                float((one.frames[0]["frame"] - other.frames[0]["frame"]).square().mean())
                / float(other.frames[0]["frame"].var())
                for one, other in ((self.student(t), self.whole(t)) for t in self.takes)
            ]
        return float(np.mean(errors))


@pytest.fixture
def case(unet: GraphArtifact, samples: ArraySamples) -> Case:
    return Case(unet, samples)


def repeat_half(case: Case) -> None:
    """Let the second half of every convolution's channels but the last's say what the first
    does."""
    for whole in (case.whole, case.student):
        layers = [m for m in whole.net(case.name).modules() if isinstance(m, torch.nn.Conv2d)]
        with torch.no_grad():
            for layer in layers[:-1]:
                half = layer.out_channels // 2
                layer.weight[half:] = layer.weight[:half]
                layer.bias[half:] = layer.bias[:half]


def test_what_is_said_twice_goes_without_a_loss(
    unet: GraphArtifact, samples: ArraySamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_fit, "_RIDGE", 1e-3)  # hardly any
    errors = {}
    for importance in ("reconstruction", "taylor", "magnitude"):
        case = Case(unet, samples)
        repeat_half(case)
        rounds = case.rounds(replace(SPEC, importance=importance))
        rounds.cut(0.4)
        rounds.refit()
        assert rounds.share <= 0.6
        errors[importance] = case.error()
    assert errors["reconstruction"] < 2e-4
    # A score of each channel by itself cannot tell that another says the same.
    assert min(errors["taylor"], errors["magnitude"]) > 3 * errors["reconstruction"]


def test_measuring_leaves_no_trace(case: Case) -> None:
    before = {name: value.clone() for name, value in case.student.state_dict().items()}
    rounds = case.rounds()
    rounds.cut(0.0)
    after = case.student.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    rounds.cut(0.2)
    gone = {g.root for g in rounds.groups()[case.name]}
    assert gone
    kept = case.student.state_dict()
    same = [name for name, value in before.items() if value.shape == kept[name].shape]
    assert all(torch.equal(kept[name], before[name]) for name in same)


def test_a_graph_that_is_given_the_same_again_is_not_run() -> None:
    runs = []

    def net(x: torch.Tensor) -> tuple[torch.Tensor]:
        runs.append(float(x))
        return (2 * x,)

    cache = OutputCache()
    one, two, three = (torch.tensor(float(i)) for i in (1, 2, 3))
    assert [float(cache.run("a", net, [x])[0]) for x in (one, two, one)] == [2, 4, 2]
    cache.changed = "b"
    assert [float(cache.run("a", net, [x])[0]) for x in (two, three, three)] == [4, 6, 6]
    cache.changed = "a"
    assert float(cache.run("a", net, [one])[0]) == 2
    assert runs == [1, 2, 3, 3, 1], "what another graph's change leads to is not kept"


def test_equal_seeds_cut_alike(unet: GraphArtifact, samples: ArraySamples) -> None:
    found = []
    for _ in range(2):
        rounds = Case(unet, samples).rounds()
        rounds.cut(0.3)
        found.append(rounds.groups())
    assert found[0] == found[1]


def test_frames_that_are_no_numbers_are_named(case: Case) -> None:
    with torch.no_grad():
        next(case.student.parameters())[0] = float("nan")
    with pytest.raises(GateFailed, match="not a number"):
        case.rounds().cut(0.2)


def test_the_frames_judged_on_have_moved() -> None:
    image = np.arange(9, dtype=np.float32).reshape(9, 1)
    takes = Takes({"net": ArraySamples({"image": image[:, None]})}, [Script((), ("net",), 9)])
    found = judged_takes(takes)
    assert [float(t.frames[0][0][1]["image"].item()) for t in found] == [3, 7, 8]
    assert all(len(take.frames) == 1 for take in found)
    assert all(float(t.first[0][1]["image"].item()) == 0 for t in found)


def test_scores_add_up() -> None:
    ranking = Scored({"group": torch.tensor([3.0, 1.0, 2.0])})
    assert ranking.order("group") == [1, 2, 0]
    assert [ranking.damage("group", left) for left in (3, 2, 1, 0)] == [0, 1, 3, 6]
