"""What a bench and its worker processes say to each other: JSON lines over pipes, never pickle.

The first line to a worker is its `Job`; each further line asks for one thing:

    warm      frames, seconds   play untimed until both are reached     -> Warm
    block     frames, seconds   play and time until both are reached    -> Block
    window    frames, seconds   the same, summed up where it ran        -> Window
    render    path              write as many frames as are golden, .npy -> Done
    masks     path              write the golden frames' regions        -> Done
    profile   frames            what the runtime executed               -> Profiled
    memory    frames            peak memory after so many frames        -> Memory
    first     -                 the first frame, for a cold start       -> First
    stream    frames, rate_fps  frames at a fixed rate                  -> Streamed
    lengthen  frames            play the scene to and fro from now on   -> Done
    batch     frames, path      render a clip offline in that folder    -> BatchRun

Every answer is one line; an `Error` instead of it ends the worker. Closing the pipe ends it too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edgeanim.benchmarks.results.result import GraphProfile, Memory
from edgeanim.benchmarks.timing.scenarios import BatchRun
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.contract import Contract
from edgeanim.core.parsing import to_plain

__all__ = [
    "BatchRun",
    "Block",
    "Done",
    "Error",
    "First",
    "Job",
    "Memory",
    "Profiled",
    "Ready",
    "Reply",
    "Request",
    "Streamed",
    "Warm",
    "Window",
    "reply_line",
    "request_line",
]


@dataclass(frozen=True)
class Job:
    """What a worker loads: the graphs of one variant, and the golden file whose scene it plays.

    `affinity` are the cores that it keeps to; empty for all that it may use.
    """

    contract: Contract
    graphs: tuple[CompiledGraph, ...]
    golden: Path
    threads: int
    profile: bool
    settings: Mapping[str, str]
    affinity: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """One line to a worker, after the job."""

    ask: Literal[
        "warm",
        "block",
        "window",
        "render",
        "masks",
        "profile",
        "memory",
        "first",
        "stream",
        "lengthen",
        "batch",
    ]
    frames: int = 1
    seconds: float = 0.0
    rate_fps: float = 1.0
    path: Path | None = None


@dataclass(frozen=True)
class Ready:
    """The graphs are loaded, which took `load_ms`. `affinity` are the cores that the process was
    bound to; empty if it was not."""

    load_ms: float
    backend_version: str | None
    affinity: tuple[int, ...] = ()


@dataclass(frozen=True)
class Warm:
    """Played `frames`; the very first took `first_frame_ms`, once-per-still work included."""

    frames: int
    first_frame_ms: float


@dataclass(frozen=True)
class Block:
    """Timed frames: the whole of each, and each stage's part."""

    total_ms: tuple[float, ...]
    stages_ms: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Window:
    """Frames of a soak: so many, and what they took. The samples stay in the worker and are dropped
    there: lists and lines that grow with a window's frames would be its memory's growth."""

    frames: int
    p50_ms: float
    p90_ms: float | None


@dataclass(frozen=True)
class First:
    """The first frame is finished: when our own code began and when that was, on the clock that
    all processes of a machine share (`time.monotonic_ns`)."""

    began_ns: int
    finished_ns: int


@dataclass(frozen=True)
class Streamed:
    """Frames at a fixed rate: from each one's scheduled start to its end."""

    responses_ms: tuple[float, ...]


@dataclass(frozen=True)
class Profiled:
    """What executed, by graph."""

    graphs: Mapping[str, GraphProfile]


@dataclass(frozen=True)
class Done:
    """It is done; `frames` were played."""

    frames: int


@dataclass(frozen=True)
class Error:
    """An `EdgeanimError` of the worker, by class name, and whether a full disk is behind it."""

    error: str
    exit_code: int
    message: str
    disk_full: bool = False


Reply: TypeAlias = (
    Ready | Warm | Block | Window | Profiled | Memory | First | Streamed | BatchRun | Done | Error
)


def request_line(message: Job | Request) -> bytes:
    """What the parent says, as one line."""
    return json.dumps(to_plain(message), allow_nan=False).encode() + b"\n"


def reply_line(message: Reply) -> bytes:
    """What the worker says, as one line; every key is present."""
    return json.dumps(dataclasses.asdict(message), allow_nan=False).encode() + b"\n"
