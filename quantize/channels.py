"""Structured pruning of a traced module: which channels are free to go, and taking them out.

A convolution's output channels are free if everything that sees them, up to the next convolutions,
treats all channels alike, each by itself (a depthwise convolution does), and gets them from
convolutions that are free as well. What is reshaped,
sliced, multiplied by constants per channel, added to an input or returned keeps its channels: the
graph's own inputs and outputs never change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from edgeanim.core.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import fx

# Functions that treat every channel alike and keep the channel axis, by name.
_ALIKE = {
    "abs", "adaptive_avg_pool2d", "avg_pool2d", "clamp", "elu", "exp", "gelu", "hardsigmoid",
    "hardswish", "instance_norm", "interpolate", "leaky_relu", "max_pool2d", "neg", "relu",
    "relu6", "sigmoid", "silu", "softplus", "sqrt", "tanh",
}  # fmt: skip
_TIES = {"add", "sub", "mul", "truediv"}
_ALIKE_MODULES = ("BatchNorm2d", "InstanceNorm2d", "Identity", "PReLU")

Kind = Literal["plain", "transposed", "depthwise"]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only go together: the outputs of the convolution `root` and of all others
    tied to it (`given_by`). `taken_by` says how often each layer's inputs hold them; `members` are
    all modules that change.
    """

    root: str
    channels: int
    members: tuple[str, ...]
    given_by: tuple[str, ...]
    taken_by: Mapping[str, int]


@dataclass(frozen=True)
class PrunedGroup:
    """Channels taken out together: `root` is the convolution whose outputs `pruned` indexes.

    `tied` are all modules that changed with it; `before` and `after` count the root's outputs.
    """

    root: str
    tied: tuple[str, ...]
    pruned: tuple[int, ...]
    before: int
    after: int


def kind_of(layer: object) -> Kind | None:
    """What kind of convolution of pictures a module is; `None` if it is none that can lose channels
    (such as a grouped one)."""
    from torch import nn

    if isinstance(layer, nn.Conv2d) and layer.groups == 1:
        return "plain"
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1:
        return "transposed"
    if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels:
        return "depthwise"
    return None


def mixes_channels(layer: object) -> bool:
    """Whether a module is a convolution whose outputs are channels of their own."""
    return kind_of(layer) in ("plain", "transposed")


def free_convolutions(module: fx.GraphModule) -> tuple[str, ...]:
    """The names of the convolutions whose output channels may be pruned, in graph order."""

    modules = dict(module.named_modules())
    made_by: dict[fx.Node, set[str]] = {}  # the convolutions whose outputs are a value's channels
    convolutions, fixed = [], set()
    # Values with channels that no convolution made, such as a picture, and what joins them.
    strange: set[fx.Node] = set()
    widths: dict[fx.Node, int] = {}  # how many channels convolutions have made for a value
    for node in module.graph.nodes:
        sources = [made_by[n] for n in node.all_input_nodes]
        made_by[node] = set()
        own = [widths[n] for n in node.all_input_nodes]
        widths[node] = sum(own) if _function(node) == "cat" else max(own, default=0)
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if mixes_channels(layer):
            name = str(node.target)
            # A layer that is called twice stands at two places of the graph at once.
            fixed |= {name} if name in convolutions else set()
            convolutions.append(name)
            made_by[node], widths[node] = {name}, modules[name].out_channels
        elif _keeps_channels(node, layer):
            made_by[node] = set().union(*sources)
        elif _function(node) in _TIES:
            # A partner that no convolution made has its channels fixed; a number has none. One of
            # another width is a single channel that is repeated over the others.
            if len(set(own)) > 1 or not all(sources):
                fixed |= set().union(*sources)
            made_by[node] = set().union(*sources)
        elif _function(node) == "cat" and _axis(node) == 1:
            made_by[node] = set().union(*sources)
            fixed |= _behind_strange(node.all_input_nodes, made_by, strange)
            _fix_ties_of(node, made_by[node], modules, fixed)
        elif _function(node) == "pad" and len(node.args[1]) <= 4:
            made_by[node] = set().union(*sources)
        else:
            fixed |= set().union(*sources)
        if not made_by[node] or (not mixes_channels(layer) and strange & {*node.all_input_nodes}):
            strange.add(node)
    return tuple(name for name in convolutions if name not in fixed)


def apply_groups(
    module: fx.GraphModule, example: Sequence[torch.Tensor], groups: Sequence[PrunedGroup]
) -> None:
    """Take these channels out of an unpruned `module`, in place."""
    surgeon = Surgeon(module, example)
    for group in groups:
        surgeon.cut(group)


def count_macs(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> int:
    """Multiply-accumulates of all convolutions and linear layers in one run."""
    return sum(macs_by_layer(module, example).values())


def macs_by_layer(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> dict[str, int]:
    """Multiply-accumulates of each convolution, transposed or not, and linear layer in one run."""
    import torch

    names = {layer: name for name, layer in module.named_modules()}
    found: dict[str, int] = {}

    def count(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        values = inputs[0] if kind_of(layer) == "transposed" else output
        macs = values.numel() * prod(layer.weight.shape[1:])
        found[names[layer]] = found.get(names[layer], 0) + macs

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            module(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class Surgeon:
    """The dependency graph of one module, and what is read from and done through it."""

    def __init__(self, module: fx.GraphModule, example: Sequence[torch.Tensor]) -> None:
        import torch_pruning

        self.module = module
        self._pruning = torch_pruning
        self._names = {layer: name for name, layer in module.named_modules()}
        self._layers = dict(module.named_modules())
        self._graph = torch_pruning.DependencyGraph()
        with quiet():  # it warns of how deep it looks into a graph
            self._graph.build_dependency(module, example_inputs=tuple(example), verbose=False)

    def layer(self, name: str) -> Any:
        """The module of this name."""
        return self._layers[name]

    def groups(self) -> tuple[ChannelGroup, ...]:
        """Every group of which all convolutions that give its channels are free, in graph order."""
        free = free_convolutions(self.module)
        seen: set[str] = set()
        groups = []
        for root in free:
            if root in seen:
                continue
            found = self._whole_group(root)
            giving = self._names_of(d for d, _ in found if self._gives_channels(d))
            seen |= set(giving)
            if set(giving) <= set(free):
                members = self._names_of(dependency for dependency, _ in found)
                channels = self.layer(root).out_channels
                taking = Counter[str]()
                for dependency, indices in found:
                    name = self._name(dependency)
                    if name is not None and self._takes_channels(dependency):
                        taking[name] += len(indices) // channels
                groups.append(ChannelGroup(root, channels, members, giving, dict(taking)))
        return tuple(groups)

    def magnitude(self, root: str) -> torch.Tensor:
        """The norm of all weights that go with each output channel of `root`."""
        score: torch.Tensor = self._pruning.importance.GroupMagnitudeImportance(p=2)(
            self._whole_group(root)
        )
        return score

    def cut(self, group: PrunedGroup) -> None:
        """Take the group's pruned channels out of the module."""
        found = self._graph.get_pruning_group(
            self._layers[group.root],
            self._pruning.prune_conv_out_channels,
            idxs=list(group.pruned),
        )
        found.prune()

    def _whole_group(self, root: str) -> Any:
        layer = self._layers[root]
        everything = list(range(layer.out_channels))
        cut = self._pruning.prune_conv_out_channels
        return self._graph.get_pruning_group(layer, cut, idxs=everything)

    def _name(self, dependency: Any) -> str | None:
        return self._names.get(dependency.target.module)

    def _names_of(self, dependencies: Iterable[Any]) -> tuple[str, ...]:
        names = dict.fromkeys(self._name(dependency) for dependency in dependencies)
        return tuple(name for name in names if name is not None)

    def _takes_channels(self, dependency: Any) -> bool:
        import torch

        layer = dependency.target.module
        counts = isinstance(layer, torch.nn.Linear) or kind_of(layer) is not None
        return counts and self._graph.is_in_channel_pruning_fn(dependency.handler)

    def _gives_channels(self, dependency: Any) -> bool:
        convolution = mixes_channels(dependency.target.module)
        return convolution and self._graph.is_out_channel_pruning_fn(dependency.handler)


def _keeps_channels(node: fx.Node, layer: object) -> bool:
    """Whether what a node makes has the channels of what it reads, each made of its own."""
    return (
        kind_of(layer) == "depthwise"
        or type(layer).__name__ in _ALIKE_MODULES
        or _function(node) in _ALIKE
    )


def _function(node: fx.Node) -> str:
    """The plain name of the function that a node calls, or nothing."""
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _axis(node: fx.Node) -> object:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)


def _behind_strange(
    joined: Sequence[fx.Node], made_by: Mapping[fx.Node, set[str]], strange: set[fx.Node]
) -> set[str]:
    """The convolutions whose channels stand in a concatenation with or behind some that none made:
    Torch-Pruning 1.6 does not count those, and would cut at other places."""
    first = next((number for number, node in enumerate(joined) if node in strange), len(joined))
    return set().union(*(made_by[node] for node in joined[first:]))


def _fix_ties_of(
    node: fx.Node, sources: set[str], modules: Mapping[str, Any], fixed: set[str]
) -> None:
    """A concatenation may feed convolutions only: a sum behind it would tie parts of channels."""
    frontier = list(node.users)
    while frontier:
        user = frontier.pop()
        layer = modules.get(str(user.target)) if user.op == "call_module" else None
        if mixes_channels(layer):
            continue
        if _keeps_channels(user, layer) or _function(user) in ("cat", "pad"):
            frontier.extend(user.users)
        else:
            fixed |= sources
