"""Structured pruning of a traced module: which channels are free to go (`surgeon` takes them out).

A convolution's output channels are free if everything that sees them, up to the next convolutions,
treats all channels alike, each by itself (a depthwise convolution does), and gets them from
convolutions that are free as well. A single channel, such as a mask, that is repeated over others
ties nothing, nor does a parameter of one number per channel, which loses what they lose. What is
reshaped, sliced, added to an input or returned keeps its channels: the graph's own inputs and
outputs never change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import fx

# Functions that treat every channel alike and keep the channel axis, by name.
_ALIKE = {
    "abs", "adaptive_avg_pool2d", "avg_pool2d", "ceil", "clamp", "cos", "elu", "erf", "exp",
    "floor", "gelu", "hardsigmoid", "hardswish", "instance_norm", "interpolate", "leaky_relu",
    "log", "max_pool2d", "mish", "neg", "reciprocal", "relu", "relu6", "round", "sigmoid", "sign",
    "silu", "sin", "softplus", "softsign", "sqrt", "square", "tanh",
}  # fmt: skip
_OVER_PICTURES = {"amax", "amin", "mean", "sum"}
"""They treat every channel alike if they reduce each by itself and keep the axes."""
_TIES = {"add", "maximum", "minimum", "mul", "sub", "truediv"}
_ALIKE_MODULES = ("BatchNorm2d", "InstanceNorm2d", "Identity", "PReLU", "PicturePad")

_NOTHING = ""
"""Stands among convolutions for channels that none of them made, which are fixed, and with them all
that are tied to them, however many sums later."""

Parts = list[tuple[str | None, int]]
"""Where a value's channels come from, part by part: the convolution that makes them (none: they are
fixed), and how many."""
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
class Carried:
    """A parameter, by its name, that holds a number for each channel of `value`."""

    value: fx.Node
    parameter: str


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


def free_convolutions(module: fx.GraphModule, counts: Mapping[fx.Node, int]) -> tuple[str, ...]:
    """The names of the convolutions whose output channels may be pruned, in graph order; `counts`
    are those of `channel_counts`."""
    modules = dict(module.named_modules())
    carried = carried_parameters(module, counts)
    made_by: dict[fx.Node, set[str]] = {}  # the convolutions whose outputs are a value's channels
    convolutions, fixed = [], set[str]()
    for node in module.graph.nodes:
        sources = [made_by[n] for n in node.all_input_nodes]
        made_by[node] = set()
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if mixes_channels(layer):
            name = str(node.target)
            # A layer that is called twice stands at two places of the graph at once, and of one
            # channel none can go.
            fixed |= {name} if name in convolutions or counts[node] == 1 else set()
            convolutions.append(name)
            made_by[node] = {name}
        elif keeps_channels(node, layer):
            made_by[node] = set().union(*sources)
        elif node in carried:
            made_by[node] = made_by[carried[node].value]
        elif _function(node) in _TIES:
            # A number has no channels.
            made_by[node] = set().union(*[made_by[n] for n in tied_by(node, counts)])
            if _NOTHING in made_by[node]:
                fixed |= made_by[node]
        elif joins_channels(node):
            made_by[node] = set().union(*sources)
            if _is_tied(node, modules, carried):
                fixed |= made_by[node]
        else:
            fixed |= set().union(*sources)
            made_by[node] = {_NOTHING}
    return tuple(name for name in convolutions if name not in fixed)


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


def channel_counts(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> dict[fx.Node, int]:
    """How many channels each value of the module has, as pictures [N, C, H, W] or constants
    [C, 1, 1] have them: 1 if it has fewer axes, 0 if it is no tensor."""
    import torch
    from torch import fx

    counts: dict[fx.Node, int] = {}

    class Counting(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                counts[n] = value.shape[-3] if value.ndim > 2 else 1
            return value

    with torch.no_grad():
        Counting(module).run(*example)
    return dict.fromkeys(module.graph.nodes, 0) | counts


def channel_parts(module: fx.GraphModule, counts: Mapping[fx.Node, int]) -> dict[fx.Node, Parts]:
    """Where the channels of each value come from, in order. Of values that are tied to each other
    the first stands for all."""
    modules = dict(module.named_modules())
    carried = carried_parameters(module, counts)
    parts: dict[fx.Node, Parts] = {}
    for node in module.graph.nodes:
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if mixes_channels(layer):
            parts[node] = [(str(node.target), counts[node])]
        elif keeps_channels(node, layer):
            parts[node] = parts[node.all_input_nodes[0]]
        elif node in carried:
            parts[node] = parts[carried[node].value]
        elif tied := tied_by(node, counts):
            parts[node] = parts[tied[0]]
        elif joins_channels(node):
            parts[node] = [part for joined in node.args[0] for part in parts[joined]]
        else:
            parts[node] = [(None, counts[node])]
    return parts


def carried_parameters(
    module: fx.GraphModule, counts: Mapping[fx.Node, int]
) -> dict[fx.Node, Carried]:
    """What nodes combine a value with one number per channel: with a parameter of the module that
    nothing else reads, such as the scale of a layer."""
    readers = Counter(str(node.target) for node in module.graph.nodes if node.op == "get_attr")
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    found = {}
    for node in module.graph.nodes:
        if _function(node) in _TIES and len(node.all_input_nodes) == 2:
            for stored, value in permutations(node.all_input_nodes):
                name = str(stored.target)
                alone = stored.op == "get_attr" and readers[name] == len(stored.users) == 1
                if (
                    alone
                    and counts[node] == counts[value] == counts[stored] > 1
                    and sizes.get(name) == counts[stored]
                ):
                    found[node] = Carried(value, name)
    return found


def tied_by(node: fx.Node, counts: Mapping[fx.Node, int]) -> list[fx.Node]:
    """The values whose channels a node combines one by one, if it does; a single channel that is
    repeated over them is none."""
    if _function(node) not in _TIES:
        return []
    return [n for n in node.all_input_nodes if counts[n] == counts[node]]


def keeps_channels(node: fx.Node, layer: object) -> bool:
    """Whether what a node makes has the channels of what it reads, each made of its own."""
    return (
        kind_of(layer) == "depthwise"
        or type(layer).__name__ in _ALIKE_MODULES
        or _function(node) in _ALIKE
        or (_function(node) == "pad" and len(node.args[1]) <= 4)
        or (_function(node) in _OVER_PICTURES and tuple(node.args[1:]) == ((2, 3), True))
    )


def joins_channels(node: fx.Node) -> bool:
    """Whether a node puts the channels of several values behind each other."""
    return _function(node) == "cat" and _axis(node) in (1, -3)


def _function(node: fx.Node) -> str:
    """The plain name of the function that a node calls, or nothing."""
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _axis(node: fx.Node) -> object:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)


def _is_tied(node: fx.Node, modules: Mapping[str, Any], carried: Mapping[fx.Node, Carried]) -> bool:
    """Whether a concatenation feeds anything but convolutions: a sum behind it ties parts of its
    channels to those of others."""
    frontier = list(node.users)
    while frontier:
        user = frontier.pop()
        layer = modules.get(str(user.target)) if user.op == "call_module" else None
        if mixes_channels(layer):
            continue
        if not (keeps_channels(user, layer) or _function(user) == "cat" or user in carried):
            return True
        frontier.extend(user.users)
    return False
