"""Which tensor feeds which: what graphs give, kept by role."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeanim.core.artifact import Array, relayout
from edgeanim.core.contract import STATE, Layout, TensorSpec
from edgeanim.core.errors import BadInput


@dataclass(frozen=True)
class Value:
    """A tensor as a session gave it, with the layout it has."""

    array: Array
    layout: Layout


class Values:
    """Tensors by role. A view of a session's own memory must be stored with `keep=True` if it
    has to outlive that session's next run."""

    def __init__(self) -> None:
        self._by_role: dict[str, Value] = {}

    def copy(self) -> Values:
        """The same tensors, to which others can be added."""
        other = Values()
        other._by_role.update(self._by_role)
        return other

    def put(self, role: str, array: Array, layout: Layout = "plain", *, keep: bool = False) -> None:
        self._by_role[role] = Value(array.copy() if keep else array, layout)

    def array(self, role: str) -> Array | None:
        """What is stored under `role`, in its own layout."""
        value = self._by_role.get(role)
        return None if value is None else value.array

    def require(self, role: str) -> Array:
        """What is stored under `role`; `BadInput` if no graph has given it."""
        value = self._by_role.get(role)
        if value is None:
            raise BadInput(f"No graph has given the value with the role {role!r}.")
        return value.array

    def get(self, spec: TensorSpec, role: str, graph: str) -> Array:
        """The value with `role` for the input `spec`, in its layout; untouched if it has that
        already. A state that nothing has set yet is zero."""
        value = self._by_role.get(role)
        if value is None and spec.role.startswith(STATE):
            return np.zeros(spec.shape, np.float32)
        if value is None:
            raise BadInput(
                f"Nothing gives the input {spec.name!r} (role {spec.role!r}) of the graph "
                f"{graph!r} a value.",
                hint="Check the roles and the order of the graphs in model.toml.",
            )
        array = relayout(value.array, value.layout, spec.layout)
        if array.shape != spec.shape:
            raise BadInput(
                f"The input {spec.name!r} of the graph {graph!r} takes {list(spec.shape)}, "
                f"but {list(array.shape)} is given.",
            )
        return array
