"""How many channels of each group stay, in all graphs of a model at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.pruning.allocation import Damage, Layer, cheapest, uniform
from edgeanim.quantize.pruning.channels import ChannelGroup, kind_of, widths_of
from edgeanim.quantize.pruning.layer_times import LayerTimes
from edgeanim.quantize.pruning.macs import macs_by_layer

if TYPE_CHECKING:
    import torch

    from edgeanim.core.contract import GraphSpec


def in_graph(graph: str, name: str) -> str:
    """The name of a layer or group among those of all graphs."""
    return f"{graph}:{name}"


def group_in(graph: str, group: ChannelGroup) -> ChannelGroup:
    """The group with its layers named as among those of all graphs."""
    return replace(
        group,
        name=in_graph(graph, group.name),
        root=in_graph(graph, group.root),
        given_by={in_graph(graph, name): at for name, at in group.given_by.items()},
        taken_by={in_graph(graph, name): at for name, at in group.taken_by.items()},
    )


def layers_of(
    graph: GraphSpec,
    module: Any,
    example: Sequence[torch.Tensor],
    spec: PruneSpec,
    times: LayerTimes | None,
) -> dict[str, Layer]:
    """Every layer of a graph with what it costs a frame: time if the ratio is one of time, else
    multiply-accumulates. A graph that runs once per still costs a frame nothing."""
    layers = _timed_or_counted(graph.name, module, example, spec, times)
    if graph.runs == "once":
        return {n: Layer(lay.inputs, lay.outputs, lambda _i, _o: 0.0) for n, lay in layers.items()}
    return layers


def _timed_or_counted(
    graph: str,
    module: Any,
    example: Sequence[torch.Tensor],
    spec: PruneSpec,
    times: LayerTimes | None,
) -> dict[str, Layer]:
    if spec.of == "time":
        assert times is not None, "the pipeline measures the layers"
        return {in_graph(graph, name): times.of(name) for name in times.layers}
    modules = dict(module.named_modules())

    def layer(name: str, macs: int) -> Layer:
        made = modules[name]
        if made is module:  # what no layer multiplies: nothing is known of its channels
            return Layer(1, 1, lambda _i, _o: macs)
        inputs, outputs = widths_of(made)
        if kind_of(made) == "grouped":
            return Layer(inputs, outputs, lambda i, _o: macs * (i / inputs))
        return Layer(inputs, outputs, lambda i, o: macs * (i / inputs) * (o / outputs))

    macs = macs_by_layer(module, example)
    return {in_graph(graph, name): layer(name, count) for name, count in macs.items()}


def channels_left(
    groups: Sequence[ChannelGroup],
    layers: Mapping[str, Layer],
    left: Mapping[str, int],
    damage: Damage,
    spec: PruneSpec,
    ratio: float,
) -> dict[str, int]:
    """How many strands of each group stay, by its name, once `ratio` of the whole is gone.

    `groups` are those of the unpruned model, of which each has `left` so many now.
    """
    assert spec.round_to is not None, "the pipeline fills in what the board likes"
    if spec.of == "channels":
        return {
            g.name: min(left[g.name], uniform(g.count, ratio, g.step(spec.round_to)))
            for g in groups
        }
    return cheapest(groups, damage, layers, ratio=ratio, unit=spec.round_to, left=left)
