"""What a pruned layer can still do: its weights fitted anew, by least squares, to its old results.

Taking channels out of a layer's input leaves the rest to carry on alone, although much of what went
can be said by what stayed. The best weights for that are the solution of a linear system, without
any training: He et al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017), eq. 4.
Layers are fitted in order, each on what the fitted ones before it give, so that it also makes up
for their errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from edgeanim.graph.traced import watched_run
from edgeanim.quantize.channels import gives_channels

# Places in each sample's map that are fitted on: neighbours say nearly the same.
PLACES = 256
# Pull towards the weights as they are, as a share of the inputs' mean square. It stands for all
# that the frames do not show: with a fiftieth of it puppets lost no less, and people, who were in
# none of the frames, visibly more.
_RIDGE = 5e-2
_RIDGE_OF_BIAS = 1e-9

Values = dict[str, list[Tensor]]


def refit(
    student: fx.GraphModule,
    teacher: fx.GraphModule,
    left: Mapping[str, Sequence[int]],
    batches: Sequence[Sequence[Tensor]],
    *,
    seed: int,
    places: int = PLACES,
) -> None:
    """Fit the weights of `student` in place, a pruned copy of `teacher`, on these inputs.

    `left` says which output channels of the teacher's a layer has left; one that is not named has
    all of them. Convolutions, transposed ones too, and linear layers are fitted on so many `places`
    of each sample's map; everything else stays.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = dict(student.named_modules())
    twins = {node.name: node for node in teacher.graph.nodes}
    uses = Counter(i.name for node in student.graph.nodes for i in node.all_input_nodes)
    alike = _alike(student, teacher)
    given: Values = {}
    wanted: Values = {}
    inputs = iter(zip(*batches, strict=True))
    with torch.no_grad():
        for node in student.graph.nodes:
            if node.op == "output":
                break
            if node.op == "placeholder":
                given[node.name] = wanted[node.name] = list(next(inputs))
                continue
            wanted[node.name] = list(_results(teacher, twins[node.name], wanted, len(batches)))
            layer = layers.get(str(node.target)) if node.op == "call_module" else None
            if gives_channels(layer) and not set(node.all_input_nodes) <= alike:
                kept = left.get(str(node.target))
                channels = -1 if isinstance(layer, nn.Linear) else 1
                goals = (
                    y if kept is None else y.index_select(channels, torch.tensor(kept))
                    for y in wanted[node.name]
                )
                _fit(layer, given[node.args[0].name], goals, places, generator)
            given[node.name] = (
                wanted[node.name]
                if node in alike
                else list(_results(student, node, given, len(batches)))
            )
            for source in node.all_input_nodes:
                uses[source.name] -= 1
                if not uses[source.name]:  # no later layer looks at it
                    given.pop(source.name)
                    wanted.pop(source.name)


def held_for_each(module: fx.GraphModule, example: Sequence[Tensor]) -> int:
    """Bytes that `refit` holds of each sample at most: what is still to be read of all that a layer
    makes, in the unpruned module and in the pruned one."""
    sizes: dict[fx.Node, int] = {}

    def watch(node: fx.Node, value: Any) -> None:
        sizes[node] = value.nbytes if isinstance(value, Tensor) else 0

    watched_run(module, example, watch)
    uses = {node: len(node.users) for node in module.graph.nodes}
    held = most = 0
    for node in module.graph.nodes:
        held += sizes[node]
        most = max(most, held)
        for source in node.all_input_nodes:
            uses[source] -= 1
            held -= 0 if uses[source] else sizes[source]
    return 2 * most


def _alike(student: fx.GraphModule, teacher: fx.GraphModule) -> set[fx.Node]:
    """The student's nodes that give what the teacher's do: pruning has reached nothing before them.
    A layer that reads such ones only has nothing to make up for."""
    stored, kept = teacher.state_dict(), student.state_dict()
    changed = {
        name.rpartition(".")[0] or name
        for name, tensor in kept.items()
        if not torch.equal(tensor, stored[name])
    }
    alike: set[fx.Node] = set()
    for node in student.graph.nodes:
        if str(node.target) not in changed and set(node.all_input_nodes) <= alike:
            alike.add(node)
    return alike


def _results(module: fx.GraphModule, node: fx.Node, values: Values, count: int) -> Iterator[Any]:
    """What `node` makes of every sample."""
    runner = fx.Interpreter(module, garbage_collect_values=False)
    for sample in range(count):
        runner.env = {source: values[source.name][sample] for source in node.all_input_nodes}
        yield runner.run_node(node)


def _fit(
    layer: nn.Module,
    inputs: Sequence[Tensor],
    goals: Iterable[Tensor],
    places: int,
    generator: torch.Generator,
) -> None:
    """Fit a convolution or a linear layer; a transposed one as the convolution that it is of a
    picture with gaps, a linear one as that of pictures of one pixel."""
    if isinstance(layer, nn.Linear):
        pixels = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=False)
        # The weights are the layer's own, in another shape.
        pixels.weight, pixels.bias = nn.Parameter(layer.weight[:, :, None, None]), layer.bias
        _solve(pixels, map(_pixels, inputs), map(_pixels, goals), places, generator)
        return
    if not isinstance(layer, nn.ConvTranspose2d):
        _solve(layer, inputs, goals, places, generator)
        return
    plain = _without_gaps(layer)
    _solve(plain, (_with_gaps(layer, x) for x in inputs), goals, places, generator)
    layer.weight.copy_(plain.weight.transpose(0, 1).flip(2, 3))
    if layer.bias is not None:
        layer.bias.copy_(plain.bias)


def _pixels(rows: Tensor) -> Tensor:
    """Rows [..., C] as pictures [N, C, 1, 1]."""
    return rows.reshape(-1, rows.shape[-1], 1, 1)


def _without_gaps(layer: nn.ConvTranspose2d) -> nn.Conv2d:
    """The convolution that makes of `_with_gaps` what `layer` makes of the picture itself."""
    channels, bias = (layer.in_channels, layer.out_channels), layer.bias is not None
    plain = nn.Conv2d(*channels, layer.kernel_size, dilation=layer.dilation, bias=bias)
    plain.weight.copy_(layer.weight.transpose(0, 1).flip(2, 3))
    if bias:
        plain.bias.copy_(layer.bias)
    return plain


def _with_gaps(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Zeros between the pixels of x [N, C, H, W], as many as the stride asks for, and around it."""
    size = [(n - 1) * step + 1 for n, step in zip(x.shape[2:], layer.stride, strict=True)]
    spread = x.new_zeros(*x.shape[:2], *size)
    spread[:, :, :: layer.stride[0], :: layer.stride[1]] = x
    reach = [
        gap * (k - 1) - pad
        for gap, k, pad in zip(layer.dilation, layer.kernel_size, layer.padding, strict=True)
    ]
    below, right = (n + extra for n, extra in zip(reach, layer.output_padding, strict=True))
    return F.pad(spread, [reach[1], right, reach[0], below])


def _solve(
    layer: nn.Conv2d,
    inputs: Iterable[Tensor],
    goals: Iterable[Tensor],
    places: int,
    generator: torch.Generator,
) -> None:
    """Solve for the change D of the weights W: (X'X + ridge) D = X'(Y - XW)."""
    weights = rows_of(layer)
    products = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    errors = torch.zeros(weights.shape, dtype=torch.float64)
    for given, goal in zip(inputs, goals, strict=True):
        chosen = torch.randperm(goal[:, 0].numel(), generator=generator)[:places]
        x = beside_bias(layer, patches(layer, given, chosen))
        y = goal.movedim(1, -1).flatten(0, -2)[chosen]
        # The sums over places are made in float32, which the ridge bears; all else in more.
        products += (x.T @ x).double()
        errors += (x.T @ (y - x @ weights)).double()
    ridge = ridge_of(products, layer.weight[0].numel())
    weights = weights.double() + torch.linalg.solve(products + ridge, errors)
    if bool(torch.isfinite(weights).all()):
        give_rows(layer, weights)


def rows_of(layer: nn.Conv2d) -> Tensor:
    """The weights of a convolution as its `patches` meet them, [C * kh * kw, outputs]; a bias is
    one row more."""
    weights = layer.weight.detach().flatten(1).T
    return weights if layer.bias is None else torch.cat([weights, layer.bias.detach()[None]])


def give_rows(layer: nn.Conv2d, rows: Tensor) -> None:
    """Give a convolution the weights that `rows_of` reads."""
    count = layer.weight[0].numel()
    layer.weight.data.copy_(rows[:count].T.reshape(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.data.copy_(rows[count])


def beside_bias(layer: Any, met: Tensor) -> Tensor:
    """What weights meet, [places, n], with a column of 1 for the bias if the layer has one."""
    return met if layer.bias is None else torch.cat([met, met.new_ones(len(met), 1)], 1)


def ridge_of(products: Tensor, rows: int) -> Tensor:
    """What is added to X'X, float64 [n, n]: a share of the inputs' mean square on the `rows` of the
    weights, next to nothing on that of a bias."""
    pull = torch.full((len(products),), _RIDGE_OF_BIAS, dtype=torch.float64)
    pull[:rows] = _RIDGE * products.diagonal()[:rows].mean().clamp(min=1e-9)
    return torch.diag(pull)


def patches(layer: nn.Conv2d, x: Tensor, places: Tensor) -> Tensor:
    """What the kernel meets of x [N, C, H, W] at these places of its output, numbered over all
    pictures row by row: [places, C * kh * kw]."""
    (kernel_h, kernel_w), (step_h, step_w) = layer.kernel_size, layer.dilation
    x = F.pad(x, [p for p in reversed(layer.padding) for _ in range(2)])
    height, width = (
        (x.shape[2 + i] - layer.dilation[i] * (layer.kernel_size[i] - 1) - 1) // layer.stride[i] + 1
        for i in range(2)
    )
    picture, place = places // (height * width), places % (height * width)
    rows = place // width * layer.stride[0]
    columns = place % width * layer.stride[1]
    rows = rows[:, None, None] + step_h * torch.arange(kernel_h)[:, None]
    columns = columns[:, None, None] + step_w * torch.arange(kernel_w)
    met = x[picture[:, None, None], :, rows, columns]
    return met.movedim(-1, 1).flatten(1)
