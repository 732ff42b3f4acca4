"""A board: what a machine is and how a model is run on it. One TOML each in `targets/boards/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from edgeanim.core.artifact import FLOAT32, FloatPrecision, Precision
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.parsing import load_toml, nearest, parse
from edgeanim.targets.backends import backend_names
from edgeanim.targets.machine import ROOT, read_machine, special_sensors

LOCAL = "local"
# Whose backends any Arm machine is given: all Arm boards list them alike.
_ANY_ARM = "raspberry-pi-5"
# What any Linux tells of itself.
GENERIC_SENSORS = ("linux", "thermal", "cgroup", "process")
# All that `benchmarks/machine/sensors/` has, which lies above this.
SENSORS = (*GENERIC_SENSORS, "ina3221", "jetson", "nvidia", "rapl", "raspberry_pi", "tegrastats")
ARCHES = ("x86_64", "aarch64")
# Of a peak and of a budget, by which times are divided.
_LEAST = 1e-3


@dataclass(frozen=True)
class BoardBackend:
    """One runtime on this board, with its options. `precisions` are those that it executes there
    and that are worth trying, the plain ones first: of several in a bundle the last one is
    played. `scheme` is the form of INT8 where it is not the runtime's usual one;
    `note` says what is particular."""

    name: str
    precisions: tuple[Precision, ...] = ("float32", "int8")
    scheme: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

    @property
    def int8(self) -> bool:
        """Whether INT8 is worth trying."""
        return "int8" in self.precisions

    def floats(self, computes: tuple[FloatPrecision, ...]) -> tuple[FloatPrecision, ...]:
        """Of the floats that a runtime computes in, those worth trying here: float32 always."""
        return tuple(each for each in computes if each == FLOAT32 or each in self.precisions)


@dataclass(frozen=True)
class Peaks:
    """Published or measured limits: GFLOP/s in float32 and float16, GOP/s in INT8, memory GB/s."""

    gflops_fp32: float | None = None
    gflops_fp16: float | None = None
    gops_int8: float | None = None
    memory_gb_s: float | None = None

    def __post_init__(self) -> None:
        given = (self.gflops_fp32, self.gflops_fp16, self.gops_int8, self.memory_gb_s)
        if any(peak is not None and peak < _LEAST for peak in given):
            raise ValueError(f"a peak must be at least {_LEAST:g}")


@dataclass(frozen=True)
class Gpu:
    """A graphics processor that a runtime can use, with limits of its own."""

    name: str
    compute_capability: str
    precisions: tuple[Precision, ...]
    peaks: Peaks = field(default_factory=Peaks)
    note: str | None = None


@dataclass(frozen=True)
class Install:
    """How the runtimes get onto the board: a system and a Python that work, the wheels that exist
    for them (with their oldest glibc), and the commands."""

    os: str
    python: str
    wheels: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """When and by which result file this board's figures were measured on the real machine."""

    date: str
    result: str


@dataclass(frozen=True)
class Board:
    """A machine. `arch` is `x86_64` or `aarch64`; `backends` in the order to try them.

    `cpu_features` are Linux flag names (`avx512_vnni`, `asimddp`). `saturates_u8s8` marks silicon
    whose 8-bit multiply-add overflows, where weights must keep to 7 bits. `peaks` are the
    processor's, with all cores; a graphics processor has its own. `notes` are known traps,
    `sources` the publications that the figures come from.
    """

    name: str
    title: str
    arch: str
    memory_mb: int
    cores: int
    cpu_features: tuple[str, ...] = ()
    saturates_u8s8: bool = False
    backends: tuple[BoardBackend, ...] = ()
    threads: int = 1
    affinity: tuple[int, ...] = ()
    governor: str | None = None
    sensors: tuple[str, ...] = GENERIC_SENSORS
    latency_budget_ms: float = 50.0
    peaks: Peaks = field(default_factory=Peaks)
    gpu: Gpu | None = None
    install: Install | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    verified: Verified | None = None
    schema: Literal[1] = 1

    def __post_init__(self) -> None:
        if self.arch not in ARCHES:
            raise ValueError(f"`arch` must be one of {', '.join(ARCHES)}, not {self.arch!r}")
        if min(self.memory_mb, self.cores, self.threads) < 1:
            raise ValueError("memory, cores and threads must be positive")
        if self.latency_budget_ms < _LEAST:
            raise ValueError(f"the latency budget must be at least {_LEAST:g} ms")
        if self.threads > self.cores:
            raise ValueError(f"{self.threads} threads on {self.cores} cores")
        if any(not 0 <= core < self.cores for core in self.affinity):
            raise ValueError(f"`affinity` names a core beyond the {self.cores} there are")
        names = [entry.name for entry in self.backends]
        if len(set(names)) != len(names):
            raise ValueError("a backend is listed twice")
        if len(set(self.sensors)) != len(self.sensors):
            raise ValueError("a sensor is listed twice")

    @property
    def channel_unit(self) -> int:
        """Channels that a convolution's kernels take at once: 16 with AVX-512, else 8 (AVX2, and
        two NEON registers); another number of channels leaves lanes empty."""
        return 16 if "avx512f" in self.cpu_features else 8

    def backend(self, name: str) -> BoardBackend:
        """This board's options for a backend (the defaults if its file does not list it)."""
        return next((entry for entry in self.backends if entry.name == name), BoardBackend(name))

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Backends in the order to try them here, and to install them; unlisted ones come last."""
        listed = [entry.name for entry in self.backends]
        return sorted(names, key=lambda n: listed.index(n) if n in listed else len(listed))


def board_names() -> tuple[str, ...]:
    """The names of all shipped boards."""
    files = resources.files(__package__).joinpath("boards").iterdir()
    return tuple(sorted(f.name[: -len(".toml")] for f in files if f.name.endswith(".toml")))


def where_shipped(name: str) -> str:
    """The file of the shipped board `name`, to be copied."""
    return str(resources.files(__package__).joinpath("boards").joinpath(f"{name}.toml"))


def load_board(name: str | Path) -> Board:
    """A shipped board by name, or anyone's by the path of its TOML.

    `local` is filled in from the machine that this runs on.
    """
    path = Path(name)
    if path.suffix == ".toml":
        board = parse(Board, load_toml(path), where=path)
        _must_be_known("backend", [entry.name for entry in board.backends], backend_names(), path)
        _must_be_known("sensor", board.sensors, SENSORS, path)
        return board
    if path.is_file() and str(name) not in board_names():
        raise UsageError(
            "This is no board's name, and the file of one ends in .toml.",
            where=path,
            hint="Rename it, if it is one.",
        )
    board = load_shipped_board(str(name))
    return detect(board) if board.name == LOCAL else board


def _must_be_known(word: str, names: Sequence[str], known: Sequence[str], path: Path) -> None:
    """A misspelt one would be passed over, or stop a bench that names no file."""
    for name in names:
        if name not in known:
            raise BadInput(f"There is no {word} {name!r}.", where=path, hint=nearest(name, known))


def load_shipped_board(name: str) -> Board:
    """A shipped board as its file has it; `local` has placeholders there."""
    if name not in board_names():
        raise UsageError(f"There is no board {name!r}.", hint=nearest(name, board_names()))
    folder = resources.files(__package__).joinpath("boards")
    with resources.as_file(folder.joinpath(f"{name}.toml")) as path:
        return parse(Board, load_toml(path), where=path)


def detect(board: Board, root: Path = ROOT) -> Board:
    """`board` with architecture, cores, memory, CPU features and sensors of this machine, and
    without the precisions that it has not.

    On Arm it gets the backends of an Arm board: OpenVINO, first on x86, runs most INT8 models in
    float there and cannot load others. Cores and memory are what this process may use, so a
    container's limits count.
    """
    machine = read_machine(root)
    if machine.arch not in ARCHES:
        raise DeviceFailed(
            f"This machine is {machine.arch}; the runtimes need one of {', '.join(ARCHES)}."
        )
    lacks = set[Precision]()
    if not machine.multiplies_bfloat16:
        lacks.add("bfloat16")
    if not machine.multiplies_float16:
        lacks.add("float16")
    listed = load_shipped_board(_ANY_ARM) if machine.arch == "aarch64" else board
    backends = (
        replace(entry, precisions=tuple(p for p in entry.precisions if p not in lacks))
        for entry in listed.backends
    )
    return replace(
        board,
        arch=machine.arch,
        backends=tuple(backends),
        cores=machine.cores,
        memory_mb=machine.memory_mb,
        cpu_features=machine.cpu_features,
        saturates_u8s8=machine.saturates_u8s8,
        sensors=(*GENERIC_SENSORS, *special_sensors(root)),
    )
