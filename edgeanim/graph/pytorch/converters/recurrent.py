"""LSTM, GRU and RNN as a module that computes their steps one after another.

TFLite has no op for them that takes what ONNX allows, and PyTorch's own have one order of the gates
and one form of the GRU. The steps are written out on export, so there may not be too many of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.builder import Builder, Converter, tensor

MOST_STEPS = 256
"""Of one op, over all directions: each is about ten ops in TFLite."""

Function = Callable[[torch.Tensor], torch.Tensor]

_FUNCTIONS: dict[str, Function] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
}
_USUAL = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}
_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}
"""Which inputs are the states to begin with."""
_LENGTHS, _PEEPHOLES = 4, 7
_TIMES = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


States = tuple[torch.Tensor, ...]
"""What is carried from step to step, each [N, hidden]."""


class Direction(NamedTuple):
    """What the steps of one direction compute with: its `recurrence` [G x hidden, hidden] and
    `bias` [G x hidden] or `None`, for G gates, and the gates' `functions`."""

    recurrence: torch.Tensor
    bias: torch.Tensor | None
    functions: tuple[Function, ...]


class Recurrent(nn.Module):  # type: ignore[misc]
    """One op over a sequence, in eval mode and in training. `weight` [D, G x hidden, inputs],
    `recurrence` [D, G x hidden, hidden] and `bias` [D, 2 x G x hidden] or `None` are as in ONNX,
    for D directions and G gates. `given` says which states it is given to begin with."""

    count = 1
    """Of the states it carries: the hidden one, which it also gives at each step, is the first."""

    def __init__(
        self,
        weight: torch.Tensor,
        recurrence: torch.Tensor,
        bias: torch.Tensor | None,
        backwards: Sequence[bool],
        functions: Sequence[Sequence[Function]],
        given: Sequence[bool],
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.recurrence = nn.Parameter(recurrence)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.backwards = tuple(backwards)
        self.functions = tuple(map(tuple, functions))
        self.given = tuple(given)

    def forward(self, x: torch.Tensor, *begin: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x [T, N, inputs] and the states given, each [D, N, hidden], to all steps
        [T, D, N, hidden] and the last of each state, [D, N, hidden]."""
        begins = iter(begin)
        states = [next(begins) if given else None for given in self.given]
        runs = [
            self._run(x, which, [None if s is None else s[which] for s in states])
            for which in range(len(self.backwards))
        ]
        steps = torch.stack([steps for steps, _ in runs], 1)
        return steps, *(torch.stack(last) for last in zip(*(last for _, last in runs), strict=True))

    def _run(
        self, x: torch.Tensor, which: int, states: list[torch.Tensor | None]
    ) -> tuple[torch.Tensor, States]:
        """One direction: all steps [T, N, hidden] in the order of `x`, and the last states."""
        hidden = self.recurrence.shape[2]
        of_input, of_state = None, None
        if self.bias is not None:
            of_input, of_state = self.bias[which].chunk(2)
        # What the input adds is known for all steps at once. The bias of a product that is taken
        # again and again is added on its own: TFLite would scale it to each step's range.
        added = F.linear(x, self.weight[which], of_input)
        nothing = added.new_zeros((added.shape[1], hidden))
        now = tuple(nothing if state is None else state for state in states)
        by = Direction(self.recurrence[which], of_state, self.functions[which])
        order = range(x.shape[0])
        steps: dict[int, torch.Tensor] = {}
        for at in reversed(order) if self.backwards[which] else order:
            now = self.step(added[at], now, by)
            steps[at] = now[0]
        return torch.stack([steps[at] for at in order]), now

    def step(self, added: torch.Tensor, states: States, by: Direction) -> States:
        """The states after one step, of what the input `added` [N, G x hidden] and the `states`
        before it."""
        (f,) = by.functions
        return (f(added + _product(states[0], by.recurrence, by.bias)),)


class LSTM(Recurrent):
    """Gates in ONNX's order: input, output, forget, cell."""

    count = 2

    def step(self, added: torch.Tensor, states: States, by: Direction) -> States:
        """See `Recurrent.step`; the second state is the cell."""
        (hidden, cell), (f, g, h) = states, by.functions
        i, o, forget, c = (added + _product(hidden, by.recurrence, by.bias)).chunk(4, 1)
        cell = f(forget) * cell + f(i) * g(c)
        return f(o) * h(cell), cell


class GRU(Recurrent):
    """Gates in ONNX's order: update, reset, hidden. The reset comes before the hidden gate's
    product, or after it as in PyTorch where it is `late`."""

    late = False

    def step(self, added: torch.Tensor, states: States, by: Direction) -> States:
        """See `Recurrent.step`."""
        (hidden,), (f, g) = states, by.functions
        size = hidden.shape[1]
        sizes = (2 * size, size)
        for_gates, for_hidden = by.recurrence.split(sizes)
        of_gates, of_hidden = (None, None) if by.bias is None else by.bias.split(sizes)
        into_gates, into_hidden = added.split(sizes, 1)
        z, r = f(into_gates + _product(hidden, for_gates, of_gates)).chunk(2, 1)
        if self.late:
            new = g(into_hidden + r * _product(hidden, for_hidden, of_hidden))
        else:
            new = g(into_hidden + _product(r * hidden, for_hidden, of_hidden))
        return (new + z * (hidden - new),)


def _product(
    hidden: torch.Tensor, recurrence: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product = F.linear(hidden, recurrence)
    return product if bias is None else product + bias


_MODULES: dict[str, type[Recurrent]] = {"GRU": GRU, "LSTM": LSTM, "RNN": Recurrent}


def recurrent(b: Builder, node: Any) -> list[fx.Node]:
    """A `Recurrent` of constant weights; `BadInput` for what it does not compute."""
    given = b.attrs(node)
    backwards = _TIMES[given.get("direction", "forward")]
    length, count, _ = b.shape(node.input[0], node)
    _check(b, node, given, length, count)
    if length * len(backwards) > MOST_STEPS:
        raise b.refuse(
            node, f"it takes {length * len(backwards)} steps, and at most {MOST_STEPS} are taken"
        )
    bias = tensor(b.constant(node, 3, "bias")) if b.present(node, 3) else None
    begin = [_begin(b, node, index) for index in _STATES[node.op_type]]
    module = _MODULES[node.op_type](
        tensor(b.constant(node, 1, "weight")),
        tensor(b.constant(node, 2, "weight")),
        bias,
        backwards,
        _functions(b, node, given, len(backwards)),
        [state is not None for state in begin],
    )
    if isinstance(module, GRU):
        module.late = bool(given.get("linear_before_reset", 0))
    made = b.module(node, module, b.value(node.input[0]), *(s for s in begin if s is not None))
    return [b.call(operator.getitem, made, i) for i in range(1 + module.count)]


def _check(b: Builder, node: Any, given: dict[str, Any], length: int, count: int) -> None:
    """Refuse what no exporter of PyTorch, TensorFlow or Paddle writes."""
    for name in ("clip", "input_forget", "layout"):
        if given.get(name):
            raise b.refuse(node, f"its {name} is {given[name]}")
    if b.present(node, _LENGTHS):
        lengths = b.constant(node, _LENGTHS, "sequence lengths")
        if lengths.tolist() != [length] * count:
            raise b.refuse(node, "its sequences are of several lengths")
    if b.present(node, _PEEPHOLES) and b.constant(node, _PEEPHOLES, "peepholes").any():
        raise b.refuse(node, "it has peepholes")


def _functions(
    b: Builder, node: Any, given: dict[str, Any], directions: int
) -> list[list[Function]]:
    """The functions of each direction's gates."""
    usual = _USUAL[node.op_type]
    names = [_text(name) for name in given.get("activations", usual * directions)]
    for name in names:
        if name not in _FUNCTIONS:
            raise b.refuse(
                node, f"its gates use {name}, and only {', '.join(_FUNCTIONS)} are known"
            )
    found = [_FUNCTIONS[name] for name in names]
    return [found[i : i + len(usual)] for i in range(0, len(found), len(usual))]


def _text(name: str | bytes) -> str:
    return (name.decode() if isinstance(name, bytes) else name).capitalize()


def _begin(b: Builder, node: Any, index: int) -> fx.Node | None:
    """A state to begin with, `None` for zeros."""
    if not b.present(node, index):
        return None
    stored = b.onnx.constant_of(node, index)
    return None if stored is not None and not stored.any() else b.value(node.input[index])


CONVERTERS: dict[str, Converter] = dict.fromkeys(_MODULES, recurrent)
