"""The contract of an animation model: its graphs, when each runs, and what every tensor means.

A model is one or more graphs. Tensors are wired by *role*: an output with the role `feature:s8`
feeds every input with that role. Roles that a model may use:

    still           the picture to animate                      picture
    driving_frame   the current frame of the driver             picture
    previous_frame  the one before it, or itself if it is the first     picture
    cue             driving frame minus the one before it       picture difference, zero at first
    motion          centre and 2x2 affine of each region        [1, K, 6], see `runtime.motion`
    motion:still    the motion of the still                     the `motion` found on the still
    motion:driving  the motion to show in this frame
    mask            soft region masks                           [1, K, h, w]
    mask:still      the `mask` found on the still
    feature:NAME    what a `once` graph caches for `frame` graphs
    state:NAME      carried from one frame to the next, zero at first
    condition:NAME  a fixed input supplied by the user (a style vector, a label)
    frame           the finished frame                          picture
    flow            where each output pixel comes from, as an offset in units of half the picture
    alpha           1 where the warped still is right, 0 where `colour` is
    colour          what the warped still cannot show           picture

A `frame` has the proportions of the still; or, where its size is that of the driver's pictures and
not of the still's, those of the driver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgeanim.core.parsing import load_toml, parse, to_toml
from edgeanim.core.skeleton import Joints, Skeleton

CONTRACT_FILE = "model.toml"
PICTURE_ROLES = ("still", "driving_frame", "previous_frame", "cue", "frame", "colour")
IMAGE_ROLES = tuple(role for role in PICTURE_ROLES if role != "cue")
"""Of tensors that hold levels; a cue holds the differences of two."""
_MOTION_ROLES = ("motion", "motion:still", "motion:driving", "mask", "mask:still")
_PLAIN_ROLES = (*PICTURE_ROLES, *_MOTION_ROLES, "flow", "alpha")
FEATURE, STATE, CONDITION = "feature:", "state:", "condition:"
_NAMED_ROLES = (FEATURE, STATE, CONDITION)

# The names under which what was found on the still is kept, and on the driver's current frame.
OF_STILL = {"motion": "motion:still", "mask": "mask:still"}
OF_DRIVER = {"motion": "motion:driving", "mask": "mask"}

Layout = Literal["NCHW", "NHWC", "plain"]
Runs = Literal["once", "frame", "driver"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: `name` in the graph, `role`, `shape` in `layout`, `dtype`, `range`.

    `layout` is `plain` for anything that is not a stack of feature maps. `range` is the interval
    of the values that are meant (0..1 or -1..1 for a picture); `None` if there is no such interval.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    layout: Layout = "plain"
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        known = self.role in _PLAIN_ROLES or any(
            self.role.startswith(prefix) and len(self.role) > len(prefix) for prefix in _NAMED_ROLES
        )
        if not known:
            raise ValueError(
                f"unknown role {self.role!r}; roles are {', '.join(_PLAIN_ROLES)} "
                f"and {', '.join(p + 'NAME' for p in _NAMED_ROLES)}"
            )
        if not self.shape:
            raise ValueError(f"{self.name!r} has no axis; a single number has the shape [1]")
        if any(size < 1 for size in self.shape):
            raise ValueError(f"the shape {list(self.shape)} of {self.name!r} is not fixed")
        if self.layout != "plain" and len(self.shape) != 4:
            raise ValueError(f"{self.name!r} has layout {self.layout} but {len(self.shape)} axes")
        if self.role.startswith("motion"):
            self._check_motion()
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"the range {list(self.range)} of {self.name!r} is empty")

    def _check_motion(self) -> None:
        if len(self.shape) != 3 or self.shape[::2] != (1, 6):
            raise ValueError(
                f"{self.name!r} has the role {self.role!r}, whose shape is [1, K, 6], centre and "
                f"2x2 affine of each region, and not {list(self.shape)}; of a key point alone the "
                "affine is the identity"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of a tensor with a layout."""
        _, a, b, c = self.shape
        return (b, c) if self.layout == "NCHW" else (a, b)

    def in_layout(self, layout: Layout) -> TensorSpec:
        """The same tensor described in another layout (no effect on a `plain` one)."""
        if layout == self.layout or "plain" in (layout, self.layout):
            return self
        n, a, b, c = self.shape
        shape = (n, b, c, a) if layout == "NHWC" else (n, c, a, b)
        return replace(self, layout=layout, shape=shape)


@dataclass(frozen=True)
class GraphSpec:
    """One graph. `runs`: `once` per still, for every output `frame`, or per frame of a live
    `driver` (and once on the still, to find its own motion)."""

    name: str
    file: str
    runs: Runs
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            if not specs:
                raise ValueError(f"the graph {self.name!r} has no {kind}s")
            names = [spec.name for spec in specs]
            if len(set(names)) != len(names):
                raise ValueError(f"the graph {self.name!r} names an {kind} twice")
        roles = [spec.role for spec in self.outputs]
        if twice := next((role for role in roles if roles.count(role) > 1), None):
            raise ValueError(f"two outputs of the graph {self.name!r} have the role {twice!r}")

    def input(self, role: str) -> TensorSpec | None:
        """The input with this role, if there is one."""
        return next((spec for spec in self.inputs if spec.role == role), None)

    def output(self, role: str) -> TensorSpec | None:
        """The output with this role, if there is one."""
        return next((spec for spec in self.outputs if spec.role == role), None)


@dataclass(frozen=True)
class Contract:
    """A whole model: `graphs` in the order in which they run. `regions` names what the channels of
    `mask` show, in their order, and `skeleton` says how they hang together, so that motion can be
    carried over to other bodies; `None` where that is not known."""

    name: str
    graphs: tuple[GraphSpec, ...]
    schema: Literal[1] = 1
    regions: tuple[str, ...] | None = None
    skeleton: Skeleton | None = None

    def __post_init__(self) -> None:
        names = [graph.name for graph in self.graphs]
        if not names:
            raise ValueError("a model needs at least one graph")
        if len(set(names)) != len(names):
            raise ValueError("two graphs have the same name")
        if len({graph.file for graph in self.graphs}) != len(names):
            raise ValueError("two graphs have the same file")
        if not self.per_frame:
            raise ValueError("no graph runs for every frame")
        if self.regions is not None and len(set(self.regions)) != len(self.regions):
            raise ValueError("two regions have the same name")
        self._check_skeleton()
        made = {spec.role for graph in self.graphs for spec in graph.outputs}
        for graph in self.graphs:
            for spec in graph.inputs:
                if spec.role.startswith((FEATURE, STATE)) and spec.role not in made:
                    raise ValueError(f"no graph makes {spec.role!r}, which {graph.name!r} needs")

    def _check_skeleton(self) -> None:
        joints = self.joints()
        if joints is None:
            return
        for spec in (s for graph in self.graphs for s in (*graph.inputs, *graph.outputs)):
            if spec.role.startswith("motion") and spec.shape != (1, len(joints), 6):
                raise ValueError(
                    f"the skeleton has {len(joints)} bones, so {spec.name!r} is [1, {len(joints)}, "
                    f"6] and not {list(spec.shape)}"
                )

    def joints(self) -> Joints | None:
        """How the regions hang together; `None` where nobody says."""
        if self.skeleton is None:
            return None
        if self.regions is None:
            raise ValueError("a skeleton needs the names of its regions")
        return self.skeleton.named(self.regions)

    @property
    def remembers(self) -> bool:
        """Whether a state is carried from one frame to the next."""
        return any(s.role.startswith(STATE) for graph in self.graphs for s in graph.outputs)

    def graph(self, name: str) -> GraphSpec:
        """The graph called `name`; `KeyError` if there is none."""
        for graph in self.graphs:
            if graph.name == name:
                return graph
        raise KeyError(name)

    @property
    def per_frame(self) -> tuple[GraphSpec, ...]:
        """The graphs that run for every output frame."""
        return tuple(graph for graph in self.graphs if graph.runs == "frame")


def load_contract(folder: Path) -> Contract:
    """Read `model.toml` of a model folder, strictly."""
    path = folder / CONTRACT_FILE
    return parse(Contract, load_toml(path), where=path)


def dump_contract(contract: Contract) -> str:
    """The contract as the text of a `model.toml`."""
    return to_toml(contract)
