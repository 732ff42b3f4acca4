"""The report, `edgeanim.report/1`: what was measured, on what, under which circumstances.

One report is one model on one machine, any number of variants. Times are in milliseconds unless a
name says otherwise. What could not be measured is null, never a guess: a percentile from too few
samples, a speed-up without a float32 variant beside it, the figures of a variant that failed.
The published schema is `report.schema.json`; `load_report` accepts nothing else.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.machine.circumstances import Environment, SensorLog, Validity
from edgeanim.benchmarks.results.consistency import check_samples
from edgeanim.benchmarks.schema import check_limits
from edgeanim.benchmarks.timing.scenarios import Batch, Cold, Soak, Stage, Stream
from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.artifact import Precision
from edgeanim.core.errors import BadInput, DeviceFailed, EdgeanimError
from edgeanim.core.files import write_text
from edgeanim.core.parsing import load_json, parse_json, parse_written

SCHEMA: Literal["edgeanim.report/1"] = "edgeanim.report/1"
_EMULATION = "edgeanim.emulation/"
_WRITTEN_BY = "Reports are written by `edgeanim bench -o report.json`."
CREATED = "%Y-%m-%dT%H:%M:%SZ"
"""The form of a report's date, in UTC."""


@dataclass(frozen=True)
class ModelRecord:
    """Which model: `digest` is the SHA-256 of what the float32 original is made of, `bundle` that
    of the bundle's file if it was benched from one."""

    name: str
    digest: str
    bundle: str | None


@dataclass(frozen=True)
class FramesRecord:
    """Which frames were played: `digest` is the SHA-256 over the scene's inputs (not the model's
    answers), `count`, `height` and `width` those of the golden frames."""

    digest: str
    count: int
    height: int
    width: int


@dataclass(frozen=True)
class BoardRecord:
    """For which board the run was set up, its budget for a frame, and its architecture (null in a
    report from before that was noted)."""

    name: str
    title: str
    latency_budget_ms: float
    arch: str | None = None


@dataclass(frozen=True)
class Settings:
    """How it was measured: `rounds` fresh processes of every variant, in each of them `blocks` in
    turn with the other variants', a block of at least `block_frames` and at least `block_s`; the
    warm-up likewise. `scenarios` are those beside `single`. `affinity` are all the
    cores that timed processes were bound to, of which those of a round share some; `remarks` what
    could not be set as the board asks for."""

    threads: int
    rounds: int
    blocks: int
    block_frames: int
    block_s: float
    warmup_frames: int
    warmup_s: float
    scenarios: tuple[str, ...] = ()
    affinity: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latency:
    """Service time of a frame, over all processes; intervals at 95 % over processes.

    `load_ms` is the median time to load all graphs into a fresh process. `steady` is false where
    the first frames after the warm-up were still slower; null from too few samples. `detectable`
    is the smallest change of the median, as a share, that would be found in 19 of 20 comparisons
    with another such run on the machine in the same state.
    """

    samples: int
    processes: int
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p50_interval_ms: Interval | None
    p90_interval_ms: Interval | None
    min_ms: float
    max_ms: float
    load_ms: float
    steady: bool | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class ExecutedOp:
    """One kind of op of a graph as the runtime executed it."""

    op: str
    precision: str
    kind: str
    count: int
    share: float


@dataclass(frozen=True)
class GraphProfile:
    """What executed in one graph. The four shares refer to `basis`: `time`, `macs` or `ops`."""

    basis: str
    int8_share: float
    float_share: float
    convert_share: float
    layout_share: float
    detail: str
    ops: tuple[ExecutedOp, ...]


@dataclass(frozen=True)
class Executed:
    """What executed in a whole frame: the graphs' shares, weighted by their time per frame."""

    int8_share: float
    float_share: float
    convert_share: float
    layout_share: float
    graphs: Mapping[str, GraphProfile]


@dataclass(frozen=True)
class Memory:
    """Of a process that only plays, measured in a pass of its own. PSS and USS are those at its
    end; null where the kernel does not tell."""

    peak_rss_mb: float
    pss_mb: float | None
    uss_mb: float | None
    major_faults: int


@dataclass(frozen=True)
class Speedup:
    """How many times faster than the variant `over` (the same backend's first float32), from
    blocks that ran side by side. `detectable` is the smallest difference between the two, as a
    share, that would be found in 19 of 20 such runs."""

    over: str
    ratio: float
    interval: Interval
    detectable: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a variant has no figures. `error` is the name of the error class, `exit_code` its."""

    error: str
    exit_code: int
    message: str

    @classmethod
    def of(cls, error: EdgeanimError) -> Failure:
        """What a variant that ended with `error` failed of."""
        return cls(type(error).__name__, error.exit_code, str(error))


@dataclass(frozen=True)
class ProcessSamples:
    """The raw samples of one process: `blocks_ms` in the order in which they ran, and each
    stage's times in the same order, flat. `first_frame_ms` includes the once-per-still work.
    `affinity` are the cores that it was bound to, as were all processes of its round; empty if it
    was not."""

    round: int
    load_ms: float
    first_frame_ms: float
    blocks_ms: tuple[tuple[float, ...], ...]
    stages_ms: Mapping[str, tuple[float, ...]]
    affinity: tuple[int, ...] = ()

    @property
    def times_ms(self) -> list[float]:
        """Of all blocks, in order."""
        return [time for block in self.blocks_ms for time in block]


@dataclass(frozen=True)
class VariantResult:
    """One variant's figures. `id` is `backend-precision`; `size_bytes` that of its files. The
    scenarios that were not asked for are null. `worst_picture` is the file with its worst frame,
    as seen from the report's folder."""

    id: str
    backend: str
    backend_version: str | None
    precision: Precision
    schemes: tuple[str, ...]
    size_bytes: int
    latency: Latency | None
    throughput_fps: float | None
    stages: Mapping[str, Stage]
    executed: Executed | None
    drift: Drift | None
    memory: Memory | None
    speedup: Speedup | None
    failure: Failure | None
    samples: tuple[ProcessSamples, ...]
    stream: Stream | None = None
    soak: Soak | None = None
    cold: Cold | None = None
    batch: Batch | None = None
    worst_picture: str | None = None


@dataclass(frozen=True)
class Report:
    """One run. `created` is UTC, ISO 8601."""

    schema: Literal["edgeanim.report/1"]
    edgeanim: str
    created: str
    duration_s: float
    model: ModelRecord
    frames: FramesRecord
    board: BoardRecord
    settings: Settings
    variants: tuple[VariantResult, ...]
    environment: Environment
    sensors: tuple[SensorLog, ...]
    validity: Validity

    def __post_init__(self) -> None:
        ids = [variant.id for variant in self.variants]
        if len(set(ids)) != len(ids):
            raise ValueError("two variants have the same id")

    def variant(self, name: str) -> VariantResult | None:
        """The variant with this id, if it is in the report."""
        return next((variant for variant in self.variants if variant.id == name), None)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Of the variants that failed."""
        return tuple(variant.failure for variant in self.variants if variant.failure)

    @property
    def exit_code(self) -> int:
        """0 if every variant ran; the failures' own code if they share one, else 5."""
        codes = {failure.exit_code for failure in self.failures}
        return 0 if not codes else codes.pop() if len(codes) == 1 else DeviceFailed.exit_code


def dump_report(report: Report) -> str:
    """The report as JSON text, every key present; equal reports give equal text."""
    return json.dumps(dataclasses.asdict(report), indent=1, sort_keys=True, allow_nan=False) + "\n"


def save_report(path: Path, report: Report) -> None:
    """Write the report atomically. One that `load_report` would refuse is a mistake of ours: it is
    kept beside `path`, as `NAME.refused.json`, and `DeviceFailed` says so."""
    try:
        text = dump_report(report)
        parse_report(text, where="the report")
    except (BadInput, ValueError) as error:
        kept = path.with_name(f"{path.stem}.refused.json")
        write_text(kept, json.dumps(dataclasses.asdict(report), indent=1, sort_keys=True) + "\n")
        raise DeviceFailed(
            f"The run made a report that breaks the rules for reports: {str(error).rstrip('.')}.",
            where=kept,
            hint="This is a mistake in edgeanim. The figures are kept in this file: report it.",
        ) from error
    write_text(path, text)


def load_report(path: str | Path) -> Report:
    """Read the report in `path`, strictly: `BadInput` names the place of anything unexpected."""
    try:
        data = load_json(Path(path))
    except BadInput as error:
        raise BadInput(error.what, where=error.where, hint=error.hint or _WRITTEN_BY) from error
    return _parse_report(data, where=path)


def parse_report(text: str, *, where: object) -> Report:
    """The same from text at hand."""
    return _parse_report(parse_json(text, where=where), where=where)


def _parse_report(data: object, *, where: object) -> Report:
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        if isinstance(found, str) and found.startswith(_EMULATION):
            raise BadInput(
                "This was found on an emulated processor, without times.",
                where=where,
                hint="Measure on the board: edgeanim bench BUNDLE --on ssh://user@board -o FILE",
            )
        raise BadInput(
            f"This is not a report of the kind {SCHEMA!r}"
            + (f" but {found!r}." if isinstance(found, str) else "."),
            where=where,
            hint=_WRITTEN_BY,
        )
    report = parse_written(Report, data, where=where)
    check_limits(report, where=where)
    _check_date(report.created, where=f"{where} [created]")
    check_samples(report, where=where)
    return report


def _check_date(created: str, *, where: object) -> None:
    """`BadInput` for a 30th of February, whose form alone is right."""
    try:
        datetime.strptime(created, CREATED)
    except ValueError as error:
        raise BadInput(f"{created!r} is no date.", where=where) from error
