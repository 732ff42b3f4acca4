"""A model of several graphs in PyTorch, wired by role as the player wires it, with gradients.

What one graph makes another one sees, and what a viewer sees is the composed frame: so graphs that
are changed together are judged by that, not each by its own outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeanim.core.artifact import Array
from edgeanim.core.contract import (
    CONDITION,
    IMAGE_ROLES,
    OF_DRIVER,
    OF_STILL,
    PICTURE_ROLES,
    STATE,
    Contract,
    TensorSpec,
)
from edgeanim.core.skeleton import Joints, Retargeting, to_motion, to_planes
from edgeanim.graph.pytorch.to_torch import ImportedGraph
from edgeanim.quantize.pruning.takes import Call, Take

Roles = dict[str, Tensor]
# Below this determinant a region has no frame to measure a change of shape in, as in the player.
_SINGULAR = 1e-6
_FROM_OUTSIDE = (*PICTURE_ROLES, CONDITION, STATE)


@dataclass(frozen=True)
class Played:
    """What a take comes to: values by role, NCHW where they have a layout.

    `picture` is the still [1, 3, H, W] in 0..1 that is warped, `None` in a model without one.
    """

    picture: Tensor | None
    still: Roles
    frames: tuple[Roles, ...]

    @property
    def bytes(self) -> int:
        """What its values hold of memory."""
        values = [value for roles in (self.still, *self.frames) for value in roles.values()]
        return sum(value.nbytes for value in values)

    def seen(self, frame: int, picture: Tensor | None) -> Tensor | None:
        """The finished frame [1, 3, H, W] in 0..1, from `picture`; `None` if none is made."""
        made = self.frames[frame]
        if "frame" in made:
            return made["frame"]
        if "flow" not in made or picture is None:
            return None
        return compose(picture, made["flow"], made.get("alpha"), made.get("colour"))


class OutputCache:
    """The outputs of graphs by their inputs: one that is given the same again need not run.

    Valid while no graph changes but the one called `changed`, which always runs. Outputs are stored
    only while `changed` is `None`.
    """

    def __init__(self) -> None:
        self.changed: str | None = None
        self._kept: dict[str, list[tuple[Sequence[Tensor], Sequence[Tensor]]]] = {}

    def run(self, name: str, net: Any, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The outputs of the graph called `name`, which is `net`, for `inputs`."""
        if name != self.changed:
            for given, kept in self._kept.get(name, ()):
                if all(map(torch.equal, given, inputs)):
                    return kept
        made: Sequence[Tensor] = net(*inputs)
        if self.changed is None:
            self._kept.setdefault(name, []).append((inputs, made))
        return made


class WholeModel(nn.Module):  # type: ignore[misc]
    """The graphs of `contract`, which play takes. `net(name)` may be changed in place; with a
    `cache` graphs run only on what is new to them."""

    cache: OutputCache | None = None

    def __init__(self, contract: Contract, graphs: Mapping[str, ImportedGraph]) -> None:
        super().__init__()
        self.contract = contract
        self._joints = contract.joints()
        # Names of graphs are free; names of submodules hold no dots.
        self._numbers = {graph.name: i for i, graph in enumerate(contract.graphs)}
        self.nets = nn.ModuleList(graphs[graph.name].module for graph in contract.graphs)
        self._names = {k: (g.input_names, g.output_names) for k, g in graphs.items()}

    def net(self, name: str) -> Any:
        """The graph called `name`."""
        return self.nets[self._numbers[name]]

    def forward(self, take: Take) -> Played:
        """Play `take`. States come from the record: every frame stands on its own."""
        still: Roles = {}
        for call in take.still:
            self._call(call, still, OF_STILL)
        first = self._motion(take.first, still)
        frames = []
        for calls in take.frames:
            values = dict(still)
            moved = False
            for call in calls:
                if self.contract.graph(call[0]).runs == "frame" and not moved:
                    first = self._transfer(call, values, first)
                    moved = True
                self._call(call, values, OF_DRIVER)
            frames.append({role: v for role, v in values.items() if still.get(role) is not v})
        return Played(self._picture(take), still, tuple(frames))

    def _call(self, call: Call, values: Roles, rename: Mapping[str, str]) -> None:
        """Run a graph on values of others, or on what was recorded where there are none."""
        name, recorded = call
        graph = self.contract.graph(name)
        inputs = {}
        for spec in graph.inputs:
            role = rename.get(spec.role, spec.role)
            if role.startswith(_FROM_OUTSIDE) or role not in values:
                inputs[spec.name] = _tensor(recorded[spec.name])
            else:
                inputs[spec.name] = _in_file_layout(values[role], spec)
        taken, given = self._names[name]
        made = dict(zip(given, self._run(name, [inputs[n] for n in taken]), strict=True))
        for spec in graph.outputs:
            values[rename.get(spec.role, spec.role)] = _in_common_form(made[spec.name], spec)

    def _run(self, name: str, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.cache is not None:
            return self.cache.run(name, self.net(name), inputs)
        made: Sequence[Tensor] = self.net(name)(*inputs)
        return made

    def _motion(self, calls: Sequence[Call], still: Roles) -> Tensor | None:
        """The driver's motion in these calls of a frame; `None` if it was not looked for."""
        values = dict(still)
        for call in calls:
            if self.contract.graph(call[0]).runs == "driver":
                self._call(call, values, OF_DRIVER)
        return values.get("motion:driving")

    def _transfer(self, call: Call, values: Roles, first: Tensor | None) -> Tensor | None:
        """Carry the driver's motion over to the still where the model finds the still's own.

        A stored motion was recorded as carried over to the unchanged model's still, so it is
        carried on from there. Returns the motion of the scene's first frame.
        """
        own, now = values.get("motion:still"), values.get("motion:driving")
        if own is None:
            return first
        if now is not None:
            first = now if first is None else first
            values["motion:driving"] = retargeted(self._joints, own, now, first)
            return first
        recorded = (
            self._recorded(call, ("motion:driving", "motion")),
            self._recorded(call, ("motion:still",)),
        )
        if recorded[0] is not None and recorded[1] is not None:
            values["motion:driving"] = retargeted(self._joints, own, recorded[0], recorded[1])
        return None

    def _recorded(self, call: Call, roles: Sequence[str]) -> Tensor | None:
        for spec in self.contract.graph(call[0]).inputs:
            if spec.role in roles:
                return _tensor(call[1][spec.name])
        return None

    def _picture(self, take: Take) -> Tensor | None:
        """The still as a graph saw it."""
        for role in ("still", "driving_frame"):
            for name, recorded in take.still:
                spec = self.contract.graph(name).input(role)
                if spec is not None:
                    return _in_common_form(_tensor(recorded[spec.name]), spec)
        return None


def retargeted(joints: Joints | None, still: Tensor, now: Tensor, first: Tensor) -> Tensor:
    """`runtime.transfer` with gradients: motions [1, K, 6] to the same shape."""
    if joints is None:
        return relative(still, now, first)
    retargeting = Retargeting(joints, to_planes(still[0]), to_planes(first[0]))
    return to_motion(retargeting(to_planes(now)), torch.stack)


def relative(still: Tensor, now: Tensor, first: Tensor) -> Tensor:
    """`runtime.transfer.RelativeMotion` with gradients: motions [1, K, 6] to the same shape."""
    affine, own, began = (m[..., 2:].unflatten(-1, (2, 2)) for m in (now, still, first))
    a, b, c, d = (first[..., i] for i in range(2, 6))
    determinant = a * d - b * c
    singular = determinant.abs() < _SINGULAR
    adjugate = torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2))
    one = torch.ones_like(determinant)
    change = affine @ (adjugate / determinant.where(~singular, one)[..., None, None])
    change = change.where(~singular[..., None, None], torch.eye(2).expand_as(began))
    centre = still[..., :2] + now[..., :2] - first[..., :2]
    return torch.cat([centre, (change @ own).flatten(-2)], -1)


def compose(picture: Tensor, flow: Tensor, alpha: Tensor | None, colour: Tensor | None) -> Tensor:
    """`runtime.warp.Compositor` with gradients, at the size of `picture` [1, 3, H, W]."""
    height, width = picture.shape[2:]

    def scaled(values: Tensor) -> Tensor:
        return F.interpolate(values, (height, width), mode="bilinear", align_corners=False)

    offsets = scaled(flow)
    x = _centres(width) + offsets[:, 0]
    y = _centres(height).unsqueeze(1) + offsets[:, 1]
    # A coordinate that is not finite crashes the sampler.
    grid = torch.stack([x, y], -1).nan_to_num(0.0).clamp(-3, 3)
    warped = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    if alpha is None or colour is None:
        return warped
    share = scaled(alpha.clamp(0, 1))
    return share * warped + (1 - share) * scaled(colour.clamp(0, 1))


def _centres(count: int) -> Tensor:
    return (2 * torch.arange(count) + 1) / count - 1


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _in_common_form(value: Tensor, spec: TensorSpec) -> Tensor:
    """An output as `Played` holds it: NCHW, pictures in 0..1."""
    if spec.layout == "NHWC":
        value = value.permute(0, 3, 1, 2)
    if spec.role in IMAGE_ROLES and spec.range:
        low, high = spec.range
        value = (value - low) / (high - low)
    return value


def _in_file_layout(value: Tensor, spec: TensorSpec) -> Tensor:
    return value.permute(0, 2, 3, 1) if spec.layout == "NHWC" else value
