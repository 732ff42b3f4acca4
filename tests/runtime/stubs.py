"""Models of a few lines of NumPy behind the Session interface, to test the player's wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgeanim.core.contract import Contract, GraphSpec, Layout, TensorSpec
from edgeanim.core.skeleton import Bone, Skeleton
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene

Body = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class StubSession:
    """Computes `body` in NCHW, takes and gives `layout`, and, as the interface allows, reuses the
    memory of its outputs on the next run."""

    def __init__(self, graph: GraphSpec, body: Body, layout: Layout = "NCHW") -> None:
        self.spec = GraphSpec(
            graph.name,
            graph.file,
            graph.runs,
            tuple(spec.in_layout(layout) for spec in graph.inputs),
            tuple(spec.in_layout(layout) for spec in graph.outputs),
        )
        self.seen: list[dict[str, np.ndarray]] = []
        self.closed = False
        self._body = body
        self._memory: dict[str, np.ndarray] = {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for spec in self.spec.inputs:
            array = inputs[spec.name]
            assert array.shape == spec.shape, (spec.name, array.shape, spec.shape)
            assert array.dtype == np.float32
        self.seen.append(dict(inputs))
        layouts = {spec.name: spec.layout for spec in self.spec.inputs}
        nchw = {
            name: array.transpose(0, 3, 1, 2) if layouts[name] == "NHWC" else array
            for name, array in inputs.items()
        }
        for memory in self._memory.values():
            memory.fill(np.nan)
        made = self._body(nchw)
        for spec in self.spec.outputs:
            array = made[spec.name]
            if spec.layout == "NHWC":
                array = array.transpose(0, 2, 3, 1)
            assert array.shape == spec.shape, (spec.name, array.shape, spec.shape)
            memory = self._memory.setdefault(spec.name, np.empty(spec.shape, np.float32))
            memory[...] = array
        return dict(self._memory)

    def close(self) -> None:
        self.closed = True


def picture(name: str, role: str, size: int = 16, low: float = 0.0) -> TensorSpec:
    return TensorSpec(name, role, (1, 3, size, size), "NCHW", range=(low, 1.0))


def _maps(name: str, role: str, channels: int, size: int) -> TensorSpec:
    return TensorSpec(name, role, (1, channels, size, size), "NCHW")


def _motion(name: str, role: str) -> TensorSpec:
    return TensorSpec(name, role, (1, 1, 6))


ANIMATOR = Contract(
    "stub-animator",
    (
        GraphSpec(
            "regions",
            "regions.onnx",
            "driver",
            (picture("frame", "driving_frame"), picture("cue", "cue", low=-1.0)),
            (_motion("motion", "motion"), _maps("mask", "mask", 1, 8)),
        ),
        GraphSpec(
            "encode",
            "encode.onnx",
            "once",
            (picture("still", "still"), _maps("mask", "mask:still", 1, 8)),
            (_maps("cache", "feature:s8", 2, 8),),
        ),
        GraphSpec(
            "animate",
            "animate.onnx",
            "frame",
            (
                _maps("cache", "feature:s8", 2, 8),
                _motion("from", "motion:still"),
                _motion("to", "motion:driving"),
            ),
            (
                _maps("flow", "flow", 2, 8),
                _maps("alpha", "alpha", 1, 8),
                picture("colour", "colour", 8),
            ),
        ),
    ),
)


def brightest(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Finds the centre of brightness, a motion of one region; its mask is the brightness."""
    light = values["frame"].mean(axis=1)[0].astype(np.float64)
    size = len(light)
    at = (np.arange(size) + 0.5) / size * 2 - 1
    total = max(light.sum(), 1e-6)
    x, y = (light.sum(0) * at).sum() / total, (light.sum(1) * at).sum() / total
    motion = np.array([[[x, y, 0.5, 0, 0, 0.5]]], np.float32)
    mask = light.reshape(8, 2, 8, 2).mean((1, 3))[None, None]
    return {"motion": motion, "mask": mask.astype(np.float32)}


def _encode(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    small = values["still"].reshape(1, 3, 8, 2, 8, 2).mean((3, 5))
    return {"cache": np.concatenate([values["mask"], small[:, :1]], 1).astype(np.float32)}


def _shift(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Moves the whole still by as much as the region's centre has moved."""
    flow = np.zeros((1, 2, 8, 8), np.float32)
    flow += (values["from"] - values["to"])[0, 0, :2].reshape(1, 2, 1, 1)
    return {
        "flow": flow,
        "alpha": np.ones((1, 1, 8, 8), np.float32),
        "colour": np.zeros((1, 3, 8, 8), np.float32),
    }


ANIMATOR_BODIES: dict[str, Body] = {"regions": brightest, "encode": _encode, "animate": _shift}


def sessions(
    contract: Contract, bodies: Mapping[str, Body], layout: Layout = "NCHW"
) -> dict[str, StubSession]:
    return {g.name: StubSession(g, bodies[g.name], layout) for g in contract.graphs}


def animator(
    layout: Layout = "NCHW", record=None, **options
) -> tuple[Player, dict[str, StubSession]]:
    """A player of `ANIMATOR` with these motion options, and its sessions."""
    opened = sessions(ANIMATOR, ANIMATOR_BODIES, layout)
    return Player(ANIMATOR, opened, record, motion=MotionOptions(**options)), opened


def one_graph(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> Contract:
    """A model of the one graph `net`, which makes a small picture if no `outputs` are given."""
    outputs = outputs or (picture("result", "frame"),)
    return Contract("stub", (GraphSpec("net", "net.onnx", "frame", inputs, outputs),))


def invert(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"result": 1 - values["image"]}


def spot(x: int, y: int, size: int = 64, radius: int = 6) -> np.ndarray:
    """A white square on black around (x, y), uint8 [size, size, 3]."""
    frame = np.zeros((size, size, 3), np.uint8)
    frame[y - radius : y + radius, x - radius : x + radius] = 255
    return frame


def with_an_arm() -> tuple[Player, Scene]:
    """A spot with an arm that points aside in the still, and comes to that in the third frame."""

    def with_arm(specs):
        return tuple(
            replace(spec, shape=(1, 2, 6)) if spec.role.startswith("motion") else spec
            for spec in specs
        )

    def found(values):
        made = brightest(values)
        arm = made["motion"] * np.float32([1, 1, 0, 0, 0, 0])
        arm[..., 2:] = [0.0, 0.2, -0.2, 0.0]
        return {**made, "motion": np.concatenate([made["motion"], arm], axis=1)}

    graphs = tuple(
        replace(graph, inputs=with_arm(graph.inputs), outputs=with_arm(graph.outputs))
        for graph in ANIMATOR.graphs
    )
    bones = Bone(), Bone("spot", -1.7)
    contract = replace(ANIMATOR, graphs=graphs, regions=("spot", "arm"), skeleton=Skeleton(bones))
    player = Player(contract, sessions(contract, {**ANIMATOR_BODIES, "regions": found}))
    track = np.zeros((3, 2, 6), np.float32)
    track[:, 0, 0] = [-0.375, -0.125, 0.125]  # 8 pixels a frame
    track[:, 0, 2] = track[:, 0, 5] = 0.5
    for t, angle in enumerate((0.0, 0.8, 1.6)):
        sin, cos = 0.2 * np.sin(angle), 0.2 * np.cos(angle)
        track[t, 1, 2:] = cos, sin, -sin, cos
    return player, Scene(still=spot(40, 32), track=MotionTrack(track, 10))
