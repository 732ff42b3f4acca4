"""Whether pruning took out what was asked for, and what holds the rest if it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from edgeanim.core.errors import UsageError
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.load import Model
from edgeanim.pipeline.work import artifact_digest
from edgeanim.quantize.pruning.allocation import LEAST_LEFT, Layer, cost_of, largest_cut
from edgeanim.quantize.pruning.channels import ChannelGroup
from edgeanim.quantize.pruning.prune import Cut
from edgeanim.quantize.pruning.pruned import import_graph
from edgeanim.quantize.pruning.selection import group_in, in_graph, layers_of

if TYPE_CHECKING:
    from edgeanim.core.contract import GraphSpec
    from edgeanim.graph.pytorch.to_torch import ImportedGraph
    from edgeanim.quantize.pruning.holders import HeldLayer

_NAMED = 3
"""So many layers are named, of those that hold the most."""
_CLEARLY = 0.01
"""A share of a frame's multiply-accumulates that is worth a word."""


def require_reach(model: Model, spec: PruneSpec) -> None:
    """`UsageError` as of `require_effect` if clearly less can go at the most than the share of the
    multiply-accumulates that is asked for: known before anything is pruned."""
    if spec.of != "macs" or not spec.ratio:
        return
    limits = _limits(model)
    most = limits.largest(spec.round_to)
    if most and Cut({}, 1 - most).falls_short(spec):
        raise limits.too_little(most, spec)


def require_effect(model: Model, cut: Cut, spec: PruneSpec) -> None:
    """`UsageError` if nothing went, or clearly less than the share asked for; it names the layers
    that hold the most of what is left."""
    nothing = bool(spec.ratio) and all(
        artifact_digest(g) == artifact_digest(cut.graphs[g.spec.name]) for g in model.graphs
    )
    if nothing or cut.falls_short(spec):
        limits = _limits(model)
        raise limits.no_effect(spec) if nothing else limits.too_little(1 - cut.left, spec)


@dataclass(frozen=True)
class _Limits:
    """What can go of a model: its groups of channels, what its layers cost a frame, and which of
    them are held in its `graphs`."""

    groups: Sequence[ChannelGroup]
    layers: dict[str, Layer]
    graphs: Sequence[tuple[GraphSpec, ImportedGraph]]

    def no_effect(self, spec: PruneSpec) -> UsageError:
        if not self.groups:
            why = self._held_in_words() or (
                "Something counts on all of them, such as an input, an output, or a shuffle "
                "between groups."
            )
            return UsageError(
                f"No convolution of this model has channels that could go. {why}",
                hint="Quantise it as it is.",
            )
        if spec.of != "channels" and not self._whole:
            return UsageError(
                "All that multiplies in this model runs once per still, so that pruning takes "
                "nothing off a frame.",
                hint="Prune by channels, `--of channels`, for a still to be ready sooner.",
            )
        can_go = spec.of == "channels" or self.largest(spec.round_to) > 0
        if not can_go and not self.largest(1):
            return self.too_little(0.0, spec)
        ways = ["raise --ratio"] * can_go + ["lower --round-to"] * (spec.round_to != 1)
        return UsageError(
            f"A ratio of {spec.ratio:g} removes nothing from this model when channels are kept in "
            f"multiples of {spec.round_to}.",
            hint=_as_hint(ways),
        )

    def too_little(self, gone: float, spec: PruneSpec) -> UsageError:
        counted = "layers' time" if spec.of == "time" else "multiply-accumulates"
        lower = self.largest(1)
        helps = lower > self.largest(spec.round_to) + _CLEARLY
        ways = ["ask for less with --ratio"] * (gone >= _CLEARLY)
        ways += [f"lower --round-to, with which up to {lower:.0%} can go"] * helps
        held = self._held_in_words()
        sentences = (
            f"Only {gone:.0%} of a frame's {counted} can be pruned away, not {spec.ratio:.0%}.",
            held,
            f"{'Other' if held else 'All'} layers keep at least {LEAST_LEFT:.1%} of their "
            f"channels, in multiples of {spec.round_to}.",
        )
        return UsageError(" ".join(filter(None, sentences)), hint=_as_hint(ways))

    @property
    def _whole(self) -> float:
        return cost_of((), self.layers)

    def largest(self, unit: int | None) -> float:
        """The share of the multiply-accumulates that can go, of channels kept in such multiples."""
        return largest_cut(self.groups, self.layers, unit or 1)

    @cached_property
    def held(self) -> Sequence[HeldLayer]:
        """The layers between channels that cannot go, of what runs every frame."""
        from edgeanim.quantize.pruning.holders import held_layers

        held: list[HeldLayer] = []
        for spec, imported in self.graphs:
            if spec.runs != "once":
                found = held_layers(spec, imported)
                several = len(self.graphs) > 1
                held += [_in_model(spec.name, layer) if several else layer for layer in found]
        return held

    def _held_in_words(self) -> str:
        """A sentence about the layers that hold the most; none if they hold little."""
        shares = sorted(((layer.macs / self._whole, layer) for layer in self.held), key=_by_share)
        told = [(share, layer) for share, layer in shares if share >= _CLEARLY]
        if not told:
            return ""
        named = [f"{layer.name} ({share:.0%}: {layer.why})" for share, layer in told[:_NAMED]]
        more = len(told) - _NAMED
        if more > 0:
            named.append(f"{more} layer{'s' * (more > 1)} more")
        total = sum(share for share, _ in shares)
        return (
            f"{total:.0%} of a frame's multiply-accumulates are between channels that cannot go: "
            f"{'; '.join(named)}."
        )


def _as_hint(ways: Sequence[str]) -> str:
    text = ", or ".join(ways) or "quantise it as it is"
    return f"{text[0].upper()}{text[1:]}."


def _by_share(pair: tuple[float, HeldLayer]) -> float:
    return -pair[0]


def _limits(model: Model) -> _Limits:
    from edgeanim.quantize.pruning.surgeon import Surgeon

    groups: list[ChannelGroup] = []
    layers: dict[str, Layer] = {}
    graphs = [(graph.spec, import_graph(graph.path)) for graph in model.graphs]
    for spec, imported in graphs:
        module, example = imported.module, imported.example()
        groups += [group_in(spec.name, group) for group in Surgeon(module, example).groups()]
        layers |= layers_of(spec, module, example, PruneSpec(of="macs"), None)
    return _Limits(groups, layers, graphs)


def _in_model(graph: str, layer: HeldLayer) -> HeldLayer:
    return replace(layer, name=in_graph(graph, layer.name))
