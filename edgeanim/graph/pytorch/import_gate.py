"""The gate behind which a graph comes into PyTorch: it makes there what ONNX Runtime makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput, GateFailed, foreign_errors
from edgeanim.graph.pytorch.torch_modules import reason_of
from edgeanim.graph.pytorch.traced import watched_run
from edgeanim.graph.queries import REMAINING, node_label
from edgeanim.graph.reference import Reference, deviation

if TYPE_CHECKING:
    from torch import fx

    from edgeanim.graph.pytorch.to_torch import ImportedGraph


@dataclass(frozen=True)
class ImportGate:
    """The graph `imported` of the ONNX `model`, which was read from `path`; `refuse` makes the
    error for a node of it and a reason."""

    imported: ImportedGraph
    model: Any
    path: Path
    refuse: Callable[[Any, str], BadInput]

    def deviation(self, expected: Mapping[str, Array], inputs: Mapping[str, Array]) -> float:
        """The largest one of any output; `BadInput` for the first node that PyTorch refuses."""
        imported = self.imported
        done: set[str] = set()

        def translate(error: BaseException) -> BadInput:
            made = ((imported.fx_names.get(n.output[0]), n) for n in self.model.graph.node)
            node = next(node for name, node in made if name and name not in done)
            return self.refuse(node, f"PyTorch says {reason_of(error)!r}")

        with foreign_errors(translate):
            tensors = imported.tensors(inputs)
            made = watched_run(imported.module, tensors, lambda node, _: done.add(node.name))
        return imported.deviation(expected, made)

    def refuse_the_first(
        self, inputs: Mapping[str, Array], tolerance: float, error: float
    ) -> NoReturn:
        """`GateFailed` for the first node, in order, whose result differs by more than `tolerance`;
        `error` is the outputs' deviation."""
        wanted = Reference(_with_all_outputs(self.model), where=self.path).run(inputs)
        for node, difference in self._differences(wanted, self._values(inputs)):
            if not difference <= tolerance:
                raise GateFailed(
                    f"In PyTorch the result of {node.op_type} node {node_label(node)} differs "
                    f"by {difference:.2e}, the outputs by {error:.2e}; the limit is "
                    f"{tolerance:.0e}. It is the first op that does.",
                    where=self.path,
                    hint=REMAINING,
                )
        raise GateFailed(
            f"In PyTorch the outputs differ by {error:.2e}, though no single op does by more than "
            f"{tolerance:.0e}: the graph differs from its normalised form.",
            where=self.path,
            hint=REMAINING,
        )

    def _differences(
        self, wanted: Mapping[str, Array], found: Mapping[str, Array]
    ) -> Iterator[tuple[Any, float]]:
        """By how much the results of each node differ that both sides have, in the graph's
        order."""
        for node in self.model.graph.node:
            for name in node.output:
                made = found.get(self.imported.fx_names.get(name, ""))
                if name in wanted and made is not None:
                    yield node, deviation(wanted[name], made)

    def _values(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All intermediate values of the module, by the names of its fx nodes."""
        import torch

        kept: dict[str, Array] = {}

        def watch(node: fx.Node, value: Any) -> None:
            if isinstance(value, torch.Tensor):
                kept[node.name] = value.numpy()

        watched_run(self.imported.module, self.imported.tensors(inputs), watch)
        return kept


def _with_all_outputs(model: Any) -> Any:
    """A copy of `model` that also gives every intermediate value."""
    import onnx

    copy = deepcopy(model)
    known = {value.name for value in copy.graph.output}
    for node in copy.graph.node:
        for name in node.output:
            if name and name not in known:
                copy.graph.output.append(onnx.ValueInfoProto(name=name))
    return copy
