"""What a backend is: one class in one file of this folder.

Everything that differs from backend to backend is behind this interface; no other file asks for a
backend's name. Heavy packages are imported inside the methods, so that listing the backends costs
nothing and an absent one is an answer, not a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from edgeanim.core.artifact import (
    FLOAT32,
    Array,
    CompiledGraph,
    FloatPrecision,
    GraphArtifact,
    Precision,
)
from edgeanim.core.contract import GraphSpec
from edgeanim.targets.io_numbers import Numbers

if TYPE_CHECKING:
    from edgeanim.targets.board import Board


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here: its `version`, or the `reason` why not.

    `note` is something its user should know even though it works (an outdated runtime, say), or
    where it does not: that a board has no need of it.
    """

    version: str | None = None
    reason: str | None = None
    note: str | None = None

    def __bool__(self) -> bool:
        return self.version is not None


@dataclass(frozen=True)
class SessionOptions:
    """How to load a graph. `profile` turns on the runtime's own per-op timing, where it has one.

    `settings` are the backend's own options, as the board's file gives them. `beside_others` says
    that other sessions work at the same time: a runtime that ties each one's threads to cores of
    its own choice would tie them to the same ones, and does not, unless `settings` ask for it.
    """

    threads: int = 1
    profile: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    beside_others: bool = False


@dataclass(frozen=True)
class OpRow:
    """One kind of op as executed: how often per run, in what precision, its share of the time.

    `kind` is `compute`, `convert` (quantise, dequantise), `layout` (transpose, reorder).
    """

    op: str
    precision: str
    kind: str
    count: int
    share: float


@dataclass(frozen=True)
class OpProfile:
    """What really executed, read from the runtime itself.

    Shares lie in 0..1 and refer to `basis`: `time` where the runtime profiles its ops, else `macs`
    (multiply-accumulates, one per output element of other ops), else `ops` (their number).
    `detail` says where the figures come from and what they cannot show.
    """

    basis: str
    int8: float
    float_: float
    convert: float
    layout: float
    ops: tuple[OpRow, ...]
    detail: str = ""


@dataclass(frozen=True)
class NodeTime:
    """A node as executed: the `names` of the graph's own nodes in it (several if they were fused),
    its `kind` as in `OpRow`, and its usual time in a run, in microseconds."""

    names: tuple[str, ...]
    kind: str
    microseconds: float


@dataclass(frozen=True)
class Port:
    """An input or output of a file made elsewhere; `dtype` in NumPy's words. Sessions
    take and give float32 for it also where there are `numbers` that stand for floats."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    numbers: Numbers | None = None

    @property
    def is_known(self) -> bool:
        """Whether it takes or gives float32, or numbers that stand for floats."""
        return self.dtype == FLOAT32 or self.numbers is not None


@dataclass(frozen=True)
class Interface:
    """What a file made elsewhere takes and gives, and the precision that it asks for: `int8` as
    soon as anything in it is quantised to 8 bits."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    precision: Precision


class Session(Protocol):
    """A loaded graph. Not thread-safe."""

    @property
    def spec(self) -> GraphSpec:
        """Names, roles, shapes and layouts as this session takes and gives them."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once. Arrays are float32 in the layouts of `spec`; the outputs are fresh arrays
        or views that stay valid until the next call."""

    def close(self) -> None:
        """Free the runtime's memory."""


class Backend(Protocol):
    """A runtime that compiles and executes graphs."""

    name: ClassVar[str]
    extra: ClassVar[str]
    """The extra of the `edgeanim` distribution that installs this runtime."""
    int8_scheme: ClassVar[str | None]
    """The scheme to quantise to for this backend; `None` if it has no INT8."""
    floats: ClassVar[tuple[FloatPrecision, ...]]
    """What it can compute in besides INT8, on processors that have it: float32 first."""
    suffixes: ClassVar[tuple[str, ...]]
    """File suffixes of the format that this backend loads, the main file's first."""

    def available(self) -> Availability:
        """Whether the runtime is installed and loads here."""

    def accepts(self, scheme: str) -> bool:
        """Whether `compile` takes artifacts of this scheme."""

    def compile(self, artifact: GraphArtifact, board: Board, out: Path) -> CompiledGraph:
        """Write the backend's own file for `artifact` into the folder `out`.

        `BadInput` names the op and node that cannot be brought over.
        """

    def load(self, graph: CompiledGraph, options: SessionOptions) -> Session:
        """Load a compiled graph; `MissingComponent` with the install line if the runtime is absent,
        `BadInput` if the file is damaged, `DeviceFailed` if the runtime refuses it."""

    def executed_precision(self, session: Session) -> OpProfile:
        """What the runs of `session` so far really executed. Load it with `profile=True`."""


@runtime_checkable
class ReadsForeign(Protocol):
    """A backend whose files may come from elsewhere and be run as they are."""

    def interface(self, path: Path) -> Interface:
        """What the file takes and gives; `BadInput` if it is damaged or has no fixed shapes."""


@runtime_checkable
class WideKernels(Protocol):
    """A backend whose float convolutions give several vectors of outputs at once: fewer channels
    than those fill leave lanes idle, so narrow convolutions pay for packing sooner."""

    output_vectors: ClassVar[int]


@runtime_checkable
class CompilesSlowly(Protocol):
    """A backend into whose form a graph takes seconds to bring: worth beginning early."""

    def get_ready(self) -> None:
        """Import what `compile` needs, which takes seconds too. `MissingComponent` without it."""


@runtime_checkable
class ThroughTorch(Protocol):
    """A backend whose form of a graph is made in PyTorch: what the importer does not know, it
    cannot take."""

    through_torch: ClassVar[Literal[True]]


@runtime_checkable
class TimesNodes(Protocol):
    """A backend whose runtime says how long each node of a graph takes."""

    def node_times(self, session: Session) -> tuple[NodeTime, ...]:
        """What the runs of `session` so far took, node by node. Load it with `profile=True`."""


@runtime_checkable
class ComputesNothing(Protocol):
    """A backend that is a fake: nothing that it shows is held against what a model makes."""

    computes_nothing: ClassVar[Literal[True]]
