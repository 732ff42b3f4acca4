"""Taking channels out of a traced module: which belong together, what they weigh, and the cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from edgeanim.quantize.channels import (
    ChannelGroup,
    Parts,
    PrunedGroup,
    carried_parameters,
    channel_counts,
    channel_parts,
    free_convolutions,
    kind_of,
    mixes_channels,
    tied_by,
)

if TYPE_CHECKING:
    import torch
    from torch import fx

# What a layer holds for each channel that it reads, beside a convolution's weight.
_HELD_EACH = ("weight", "bias", "running_mean", "running_var")


def apply_groups(
    module: fx.GraphModule, example: Sequence[torch.Tensor], groups: Sequence[PrunedGroup]
) -> None:
    """Take these channels out of an unpruned `module`, in place; `KeyError` or `IndexError` if they
    are of another one."""
    surgeon = Surgeon(module, example)
    for group in groups:
        surgeon.cut(group)


class Surgeon:
    """Knows of one module which channels every layer reads, and changes all of them together."""

    def __init__(self, module: fx.GraphModule, example: Sequence[torch.Tensor]) -> None:
        self._module = module
        self._layers = dict(module.named_modules())
        counts = channel_counts(module, example)
        parts = channel_parts(module, counts)
        self._free = free_convolutions(module, counts)
        carried = carried_parameters(module, counts)
        self._carried = {each.parameter: list(parts[each.value]) for each in carried.values()}
        self._read: dict[str, Parts] = {}
        self._root: dict[str, str] = {}  # of each convolution, the one that stands for its group
        for node in module.graph.nodes:
            if node.op == "call_module":
                name = str(node.target)
                self._read[name] = list(parts[node.all_input_nodes[0]])
                if mixes_channels(self.layer(name)):
                    self._root.setdefault(name, name)
            tied = [] if node in carried else tied_by(node, counts)
            self._tie([source for n in tied for source, _ in parts[n] if source is not None])

    def layer(self, name: str) -> Any:
        """The module of this name."""
        return self._layers[name]

    def groups(self) -> tuple[ChannelGroup, ...]:
        """Every group of which all convolutions that give its channels are free, in graph order."""
        giving: dict[str, list[str]] = {}
        for name, root in self._root.items():
            giving.setdefault(root, []).append(name)
        free = set(self._free)
        return tuple(self._group(names) for names in giving.values() if free.issuperset(names))

    def magnitude(self, root: str) -> torch.Tensor:
        """The summed squares of the weights of convolutions that go with each output channel of
        `root`."""
        import torch

        giving = self._given_with(root)
        score = torch.zeros(self.layer(root).out_channels)
        for name in giving:
            score += along(self.layer(name), "outputs").square().flatten(1).sum(1)
        for name in self._read:
            layer = self.layer(name)
            for first in self.copies(name, root) if kind_of(layer) else ():
                weight = along(layer, "inputs")[first : first + len(score)]
                score += weight.square().flatten(1).sum(1)
        return score

    def copies(self, name: str, root: str) -> list[int]:
        """Where among the inputs of the layer `name` the channels given with `root` begin, once for
        each time that they are there."""
        giving, first, found = self._given_with(root), 0, []
        for source, count in self._read[name]:
            if source in giving:
                found.append(first)
            first += count
        return found

    def cut(self, group: PrunedGroup) -> None:
        """Take the group's pruned channels out of the module."""
        import torch

        giving, gone = self._given_with(group.root), set(group.pruned)
        if not gone <= set(range(self.layer(group.root).out_channels)):
            raise IndexError(f"{group.root} has no channel {max(gone)}")
        for name, read in self._read.items():
            kept, self._read[name] = _left(read, giving, gone)
            if self._read[name] != read:
                _keep(self.layer(name), "inputs", torch.tensor(kept))
        for name, held in self._carried.items():
            kept, self._carried[name] = _left(held, giving, gone)
            if self._carried[name] != held:
                _keep_numbers(self._module, name, torch.tensor(kept))
        for name in giving:
            layer = self.layer(name)
            kept = [i for i in range(layer.out_channels) if i not in gone]
            _keep(layer, "outputs", torch.tensor(kept))

    def _tie(self, names: Sequence[str]) -> None:
        roots = {self._root[name] for name in names}
        if len(roots) > 1:
            first = next(name for name in self._root if name in roots)
            for name, root in self._root.items():
                if root in roots:
                    self._root[name] = first

    def _given_with(self, root: str) -> Collection[str]:
        """The convolutions whose output channels are those of `root`."""
        wanted = self._root[root]
        return [name for name, first in self._root.items() if first == wanted]

    def _group(self, giving: Sequence[str]) -> ChannelGroup:
        times = {
            name: sum(source in giving for source, _ in read) for name, read in self._read.items()
        }
        changed = [
            name
            for name, count in times.items()
            if name in giving or (count and _holds_channels(self.layer(name)))
        ]
        taken = {name: times[name] for name in changed if times[name] and kind_of(self.layer(name))}
        numbers = [n for n, held in self._carried.items() if any(s in giving for s, _ in held)]
        channels = self.layer(giving[0]).out_channels
        return ChannelGroup(giving[0], channels, (*changed, *numbers), tuple(giving), taken)


def along(layer: Any, side: str) -> torch.Tensor:
    """A layer's weight with its input or output channels as the first axis."""
    weight: torch.Tensor = layer.weight.detach()
    flipped = {"plain": "inputs", "transposed": "outputs"}.get(str(kind_of(layer)))
    return weight.transpose(0, 1) if side == flipped else weight


def _left(parts: Parts, giving: Collection[str], gone: Collection[int]) -> tuple[list[int], Parts]:
    """Which channels of `parts` stay once these of the convolutions `giving` are `gone`, and what
    is left of the parts."""
    kept: list[int] = []
    first = 0
    for source, count in parts:
        kept += [first + i for i in range(count) if source not in giving or i not in gone]
        first += count
    return kept, [(s, n - len(gone) * (s in giving)) for s, n in parts]


def _holds_channels(layer: Any) -> bool:
    """Whether a layer knows how many channels it reads."""
    return kind_of(layer) is not None or hasattr(layer, "num_features") or _slopes(layer) > 1


def _slopes(layer: Any) -> int:
    return getattr(layer, "num_parameters", 1)


def _keep(layer: Any, side: str, kept: torch.Tensor) -> None:
    """Let a layer have these of its input or output channels only."""
    from torch import nn

    if mixes_channels(layer):
        axis = 1 if (side == "inputs") == (kind_of(layer) == "plain") else 0
        layer.weight = nn.Parameter(layer.weight.detach().index_select(axis, kept))
        if side == "outputs" and layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach()[kept])
        setattr(layer, "in_channels" if side == "inputs" else "out_channels", len(kept))
    elif _holds_channels(layer):
        for name in _HELD_EACH:
            held = getattr(layer, name, None)
            if isinstance(held, nn.Parameter):
                setattr(layer, name, nn.Parameter(held.detach()[kept]))
            elif held is not None:
                setattr(layer, name, held[kept])
        for name in ("in_channels", "out_channels", "groups", "num_features", "num_parameters"):
            if hasattr(layer, name):
                setattr(layer, name, len(kept))


def _keep_numbers(module: fx.GraphModule, name: str, kept: torch.Tensor) -> None:
    """Let a parameter [..., C, 1, 1] of the module itself have these of its channels only."""
    from torch import nn

    numbers = module.get_parameter(name).detach()
    setattr(module, name, nn.Parameter(numbers.index_select(numbers.ndim - 3, kept)))
