"""A board: what a machine is and how a model is run on it. One TOML each in `targets/boards/`."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import load_toml, nearest, parse

LOCAL = "local"


@dataclass(frozen=True)
class BoardBackend:
    """One runtime on this board, with its options. `int8` says whether INT8 is worth trying."""

    name: str
    int8: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peaks:
    """Published or measured limits: GFLOP/s in float32, GOP/s in INT8, memory GB/s."""

    gflops_fp32: float | None = None
    gops_int8: float | None = None
    memory_gb_s: float | None = None


@dataclass(frozen=True)
class Verified:
    """When and by which result file this board's figures were measured on the real machine."""

    date: str
    result: str


@dataclass(frozen=True)
class Board:
    """A machine. `arch` is `x86_64` or `aarch64`; `backends` in the order to try them.

    `cpu_features` are Linux flag names (`avx512_vnni`, `asimddp`). `saturates_u8s8` marks silicon
    whose 8-bit multiply-add overflows, where weights must keep to 7 bits.
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
    sensors: tuple[str, ...] = ("linux",)
    latency_budget_ms: float = 50.0
    peaks: Peaks = field(default_factory=Peaks)
    notes: tuple[str, ...] = ()
    verified: Verified | None = None
    schema: Literal[1] = 1

    def backend(self, name: str) -> BoardBackend:
        """This board's options for a backend (the defaults if its file does not list it)."""
        return next((entry for entry in self.backends if entry.name == name), BoardBackend(name))


def board_names() -> tuple[str, ...]:
    """The names of all shipped boards."""
    files = resources.files(__package__).joinpath("boards").iterdir()
    return tuple(sorted(f.name[: -len(".toml")] for f in files if f.name.endswith(".toml")))


def load_board(name: str | Path) -> Board:
    """A shipped board by name, or anyone's by the path of its TOML.

    `local` is filled in from the machine that this runs on.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return parse(Board, load_toml(path), where=path)
    if str(name) not in board_names():
        raise UsageError(f"There is no board {name!r}.", hint=nearest(str(name), board_names()))
    with resources.as_file(
        resources.files(__package__).joinpath("boards", f"{name}.toml")
    ) as shipped:
        board = parse(Board, load_toml(shipped), where=shipped)
    return detect(board) if board.name == LOCAL else board


def detect(board: Board) -> Board:
    """`board` with architecture, cores, memory and CPU features of this machine."""
    import psutil

    arch = platform.machine()
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(arch, arch)
    features = _cpu_features()
    return replace(
        board,
        arch=arch,
        cores=len(os.sched_getaffinity(0)),
        memory_mb=psutil.virtual_memory().total >> 20,
        cpu_features=features,
        saturates_u8s8=arch == "x86_64" and not {"avx512_vnni", "avx_vnni"} & set(features),
    )


def _cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return ()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(sorted(value.split()))
    return ()
