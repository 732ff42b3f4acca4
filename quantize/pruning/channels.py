"""What is known of single layers and ops in structured pruning, and what it takes out.

How channels hang together over a whole module `strands` finds out; `surgeon` takes them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations
from math import gcd
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import fx

# Functions that treat every channel alike and keep the channel axis, by name.
_ALIKE = {
    "abs", "adaptive_avg_pool2d", "atan", "avg_pool2d", "ceil", "clamp", "cos", "elu", "erf", "exp",
    "floor", "gelu", "hardsigmoid", "hardswish", "instance_norm", "interpolate", "isnan",
    "leaky_relu", "log", "logical_not", "max_pool2d", "mish", "neg", "reciprocal", "relu", "relu6",
    "round", "sigmoid", "sign", "silu", "sin", "softplus", "softsign", "sqrt", "square", "tanh",
}  # fmt: skip
_OF_PICTURES = {
    "adaptive_avg_pool2d", "avg_pool2d", "instance_norm", "interpolate", "max_pool2d"
}  # fmt: skip
"""Those among them that look at more than one number of a channel."""
_OVER_PICTURES = {"amax", "amin", "mean", "sum"}
"""They treat every channel alike if they reduce each by itself and keep the axes."""
_TIES = {
    "add", "eq", "ge", "gt", "le", "logical_and", "logical_or", "logical_xor", "lt", "maximum",
    "minimum", "mul", "pow", "sub", "truediv", "where",
}  # fmt: skip
_ALIKE_MODULES = (
    "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "Identity", "PReLU", "PicturePad"
)  # fmt: skip

Kind = Literal["plain", "transposed", "grouped"]
Places = tuple[tuple[int, ...], ...]
"""For each strand of a group, where its channels are among those of a layer: as many for each."""


@dataclass(frozen=True)
class ChannelGroup:
    """Strands of channels (see `pruning.strands`) by their numbers: any can go, but each only as a
    whole. All are alike, in that each has as many channels of every layer. `given_by` are the
    layers that make them, of which `root` is the first, with their outputs, `taken_by` those
    that read them, with their inputs; `members` all modules that change. The `name` is that of the
    root, with a number where its channels are of several groups.
    """

    name: str
    root: str
    strands: tuple[int, ...]
    members: tuple[str, ...]
    given_by: Mapping[str, Places]
    taken_by: Mapping[str, Places]

    @property
    def count(self) -> int:
        """How many strands there are."""
        return len(self.strands)

    def without(self, left: Collection[int]) -> PrunedGroup | None:
        """What is taken out if these of the strands are left; `None` if all are."""
        outputs = dict(zip(self.strands, self.given_by[self.root], strict=True))
        gone = sorted(i for strand, at in outputs.items() if strand not in left for i in at)
        before = sum(map(len, outputs.values()))
        made = PrunedGroup(self.root, self.members, tuple(gone), before, before - len(gone))
        return made if gone else None

    def step(self, unit: int) -> int:
        """How many strands go at once for layers to lose a multiple of `unit` channels, but for
        those that lose several for a strand anyway."""
        each = gcd(*(len(at[0]) for at in (*self.given_by.values(), *self.taken_by.values())))
        return unit // gcd(unit, each)


@dataclass(frozen=True)
class ChannelParameter:
    """A parameter, by its name, that holds a number for each channel of `value`."""

    value: fx.Node
    parameter: str


@dataclass(frozen=True)
class PrunedGroup:
    """Channels taken out together: `root` is the layer whose outputs `pruned` indexes.

    `tied` are all modules that changed with it; `before` and `after` count those of the root's
    outputs that are in the group.
    """

    root: str
    tied: tuple[str, ...]
    pruned: tuple[int, ...]
    before: int
    after: int


def kind_of(layer: object) -> Kind | None:
    """What kind of convolution of pictures a module is; `None` if it is none that can lose channels
    (such as a transposed one in groups). A grouped one, such as a depthwise one, loses whole
    groups."""
    from torch import nn

    if isinstance(layer, nn.Conv2d):
        return "plain" if layer.groups == 1 else "grouped"
    return "transposed" if isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1 else None


def mixes_channels(layer: object) -> bool:
    """Whether a module is a convolution whose outputs are channels of their own."""
    return kind_of(layer) in ("plain", "transposed")


def gives_channels(layer: object) -> bool:
    """Whether a module makes channels of their own of those that it reads: a convolution, or a
    linear layer, whose last axis may come of channels and become such."""
    from torch import nn

    return mixes_channels(layer) or isinstance(layer, nn.Linear)


def channels_read(layer: Any) -> int:
    """How many channels a convolution or a linear layer reads."""
    return widths_of(layer)[0]


def widths_of(layer: Any) -> tuple[int, int]:
    """How many channels a convolution or a linear layer reads, and how many it makes."""
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def channel_counts(shapes: Mapping[fx.Node, tuple[int, ...] | None]) -> dict[fx.Node, int]:
    """How many channels values of these shapes have, as pictures [N, C, H, W] or constants
    [C, 1, 1] have them: 1 if it has fewer axes, 0 if it is no tensor."""
    return {
        node: 0 if shape is None else shape[-3] if len(shape) > 2 else 1
        for node, shape in shapes.items()
    }


def channel_parameters(
    module: fx.GraphModule, counts: Mapping[fx.Node, int]
) -> dict[fx.Node, ChannelParameter]:
    """What nodes combine a value with one number per channel: with a parameter of the module that
    nothing else reads, such as the scale of a layer."""
    readers = Counter(str(node.target) for node in module.graph.nodes if node.op == "get_attr")
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    found = {}
    for node in module.graph.nodes:
        if function_of(node) not in _TIES or len(node.all_input_nodes) != 2:
            continue
        for stored, value in permutations(node.all_input_nodes):
            name = str(stored.target)
            alone = stored.op == "get_attr" and readers[name] == len(stored.users) == 1
            if (
                alone
                and counts[node] == counts[value] == counts[stored] > 1
                and sizes.get(name) == counts[stored]
            ):
                found[node] = ChannelParameter(value, name)
    return found


def keeps_channels(node: fx.Node, layer: object) -> bool:
    """Whether what a node makes has the channels of what it reads, each made of its own (or, by
    what works on groups of channels, of those of its group)."""
    return (
        kind_of(layer) == "grouped"
        or type(layer).__name__ in _ALIKE_MODULES
        or function_of(node) in _ALIKE
        or (function_of(node) == "pad" and len(node.args[1]) <= 4)
        or (function_of(node) in _OVER_PICTURES and tuple(node.args[1:]) == ((2, 3), True))
    )


def works_on_each(node: fx.Node) -> bool:
    """Whether a node makes each number of one of a single value, whatever its axes."""
    function = function_of(node)
    return len(node.all_input_nodes) == 1 and (
        function in _ALIKE - _OF_PICTURES or function in _TIES
    )


def pools_pictures(node: fx.Node) -> bool:
    """Whether a node makes one number of each channel of a picture, and drops its other axes."""
    return function_of(node) in _OVER_PICTURES and tuple(node.args[1:]) == ((2, 3), False)


def averages_channels(node: fx.Node) -> bool:
    """Whether a node makes means over the channels of a picture, which those that are left have
    too, as in a norm of the whole picture."""
    return function_of(node) == "mean" and 1 in node.args[1]


def ties_channels(node: fx.Node) -> bool:
    """Whether a node combines the channels of several values one by one."""
    return function_of(node) in _TIES


def gathers_rows(node: fx.Node) -> bool:
    """Whether a node looks up rows of a matrix by their numbers."""
    return function_of(node) == "embedding" and len(node.all_input_nodes) == 2


def joins_channels(node: fx.Node) -> bool:
    """Whether a node puts the channels of several values behind each other."""
    return function_of(node) == "cat" and _axis(node) in (1, -3)


def function_of(node: fx.Node) -> str:
    """The plain name of the function that a node calls, or nothing."""
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _axis(node: fx.Node) -> object:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
