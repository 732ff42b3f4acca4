"""What a pruned layer can still do: its weights fitted anew, by least squares, to its old results.

Taking channels out of a layer's input leaves the rest to carry on alone, although much of what went
can be said by what stayed. The best weights for that are the solution of a linear system, without
any training: He et al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017), eq. 4.
Layers are fitted in order, each on what the fitted ones before it give, so that it also makes up
for their errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

# Places in each sample's map that are fitted on: neighbours say nearly the same.
_PLACES = 256
# Pull towards the weights as they are, as a share of the inputs' mean square.
_RIDGE = 1e-3
_RIDGE_OF_BIAS = 1e-9

Values = dict[str, list[Tensor]]


def refit(
    student: fx.GraphModule,
    teacher: fx.GraphModule,
    left: Mapping[str, Sequence[int]],
    batches: Sequence[Sequence[Tensor]],
    *,
    seed: int,
) -> None:
    """Fit the weights of `student` in place, a pruned copy of `teacher`, on these inputs.

    `left` says which output channels of the teacher's a layer has left; one that is not named has
    all of them. Plain convolutions are fitted, everything else stays.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = dict(student.named_modules())
    twins = {node.name: node for node in teacher.graph.nodes}
    uses = Counter(i.name for node in student.graph.nodes for i in node.all_input_nodes)
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
            if isinstance(layer, nn.Conv2d) and layer.groups == 1:
                kept = left.get(str(node.target))
                goals = [y if kept is None else y[:, kept] for y in wanted[node.name]]
                _fit(layer, given[node.args[0].name], goals, generator)
            given[node.name] = list(_results(student, node, given, len(batches)))
            for source in node.all_input_nodes:
                uses[source.name] -= 1
                if not uses[source.name]:  # no later layer looks at it
                    given.pop(source.name)
                    wanted.pop(source.name)


def _results(module: fx.GraphModule, node: fx.Node, values: Values, count: int) -> Iterator[Any]:
    """What `node` makes of every sample."""
    runner = fx.Interpreter(module, garbage_collect_values=False)
    for sample in range(count):
        runner.env = {source: values[source.name][sample] for source in node.all_input_nodes}
        yield runner.run_node(node)


def _fit(
    layer: nn.Conv2d, inputs: Sequence[Tensor], goals: Sequence[Tensor], generator: torch.Generator
) -> None:
    """Solve for the change D of the weights W: (X'X + ridge) D = X'(Y - XW)."""
    rows, results = [], []
    for x, y in zip(inputs, goals, strict=True):
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        patches, values = patches.transpose(1, 2).flatten(0, 1), y.flatten(2).transpose(1, 2)
        chosen = torch.randperm(len(patches), generator=generator)[:_PLACES]
        rows.append(patches[chosen])
        results.append(values.flatten(0, 1)[chosen])
    x, y = torch.cat(rows).double(), torch.cat(results).double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
    weights = torch.cat([layer.weight.flatten(1), bias.unsqueeze(1)], 1).T.double()
    products = x.T @ x
    ridge = (_RIDGE * products.diagonal()[:-1].mean()).clamp(min=1e-12).repeat(len(products))
    ridge[-1] = _RIDGE_OF_BIAS if layer.bias is not None else torch.inf
    if layer.bias is None:
        x, weights, products, ridge = x[:, :-1], weights[:-1], products[:-1, :-1], ridge[:-1]
    weights += torch.linalg.solve(products + torch.diag(ridge), x.T @ (y - x @ weights))
    if not bool(torch.isfinite(weights).all()):
        return
    if layer.bias is not None:
        layer.bias.copy_(weights[-1])
        weights = weights[:-1]
    layer.weight.copy_(weights.T.reshape(layer.weight.shape))
