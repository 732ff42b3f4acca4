"""Which channels of a graph go: how many of each group, and in each group the least important."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeanim.core.artifact import Samples
from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.allocation import Layer, cheapest, uniform
from edgeanim.quantize.channels import ChannelGroup, PrunedGroup, Surgeon, macs_by_layer
from edgeanim.quantize.importance import channel_scores
from edgeanim.quantize.layer_times import LayerTimes

if TYPE_CHECKING:
    from edgeanim.graph.to_torch import ImportedGraph


def choose_groups(
    imported: ImportedGraph, samples: Samples, spec: PruneSpec, times: LayerTimes | None = None
) -> tuple[PrunedGroup, ...]:
    """Which channels go: how many of each group by `spec.ratio`, the least important first."""
    import torch

    surgeon = Surgeon(imported.module, imported.example())
    groups = surgeon.groups()
    scores = channel_scores(surgeon, groups, spec, samples, imported.input_names)
    order = {root: torch.argsort(values, stable=True).tolist() for root, values in scores.items()}
    damages = {root: [float(values[i]) for i in order[root]] for root, values in scores.items()}
    left = _channels_left(imported, groups, damages, spec, times)
    return tuple(
        PrunedGroup(
            root=group.root,
            tied=group.members,
            pruned=tuple(sorted(order[group.root][: group.channels - left[group.root]])),
            before=group.channels,
            after=left[group.root],
        )
        for group in groups
        if left[group.root] < group.channels
    )


def _channels_left(
    imported: ImportedGraph,
    groups: Sequence[ChannelGroup],
    damages: Mapping[str, Sequence[float]],
    spec: PruneSpec,
    times: LayerTimes | None,
) -> dict[str, int]:
    assert spec.round_to is not None, "the pipeline fills in what the board likes"
    if spec.of == "channels":
        return {g.root: uniform(g.channels, spec.ratio, spec.round_to) for g in groups}
    if spec.of == "time":
        assert times is not None, "the pipeline measures the layers"
        layers = {name: times.of(name) for name in times.layers}
    else:
        layers = _by_macs(imported)
    return cheapest(groups, damages, layers, ratio=spec.ratio, unit=spec.round_to)


def _by_macs(imported: ImportedGraph) -> dict[str, Layer]:
    """Every convolution and linear layer with its multiply-accumulates as its cost."""
    modules = dict(imported.module.named_modules())

    def layer(name: str, macs: int) -> Layer:
        outputs, inputs = modules[name].weight.shape[:2]
        return Layer(inputs, outputs, lambda i, o: macs * (i / inputs) * (o / outputs))

    macs = macs_by_layer(imported.module, imported.example())
    return {name: layer(name, count) for name, count in macs.items()}
