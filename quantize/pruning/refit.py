"""The layers of a pruned module fitted anew to the unpruned module's outputs, by least squares.

What the pruned channels of a layer's input contributed can largely be expressed by those that are
left. The best weights for that are the solution of a linear system, without any training: He et
al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017), eq. 4. Layers are fitted
in order, each on what the fitted ones before it give, so that it also compensates for their errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeanim.graph.pytorch.traced import watched_run
from edgeanim.quantize.pruning.channels import gives_channels
from edgeanim.quantize.pruning.layer_fit import PLACES, fit_layer

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
                goals = _outputs_left(wanted[node.name], layer, left.get(str(node.target)))
                fit_layer(layer, given[node.args[0].name], goals, places, generator)
            given[node.name] = (
                wanted[node.name]
                if node in alike
                else list(_results(student, node, given, len(batches)))
            )
            _release(node, uses, given, wanted)


def _release(node: fx.Node, uses: Counter[str], *values: Values) -> None:
    """Let go of what `node` read and no later node will; `uses` counts those that are to come."""
    for source in node.all_input_nodes:
        uses[source.name] -= 1
        if not uses[source.name]:
            for each in values:
                each.pop(source.name)


def _outputs_left(
    values: Sequence[Tensor], layer: nn.Module | None, left: Sequence[int] | None
) -> Iterator[Tensor]:
    """The unpruned layer's outputs without the channels that it lost; all if `left` is `None`."""
    channels = -1 if isinstance(layer, nn.Linear) else 1
    for value in values:
        yield value if left is None else value.index_select(channels, torch.tensor(left))


def bytes_per_sample(module: fx.GraphModule, example: Sequence[Tensor]) -> int:
    """The most bytes that `refit` holds for each sample: all values that are still to be read, of
    the unpruned module and of the pruned one."""
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
