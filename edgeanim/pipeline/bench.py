"""`edgeanim bench`: bundles and ready-made models, measured side by side on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgeanim.benchmarks.drift.picture import pictures_beside
from edgeanim.benchmarks.machine.repeat import repeat_until_valid
from edgeanim.benchmarks.results.result import ModelRecord, Report, save_report
from edgeanim.benchmarks.runner import BenchOptions, Subject, record_of, run_bench, subjects_of
from edgeanim.benchmarks.timing.scenarios import Scenario
from edgeanim.core.choices import must_be_one_of
from edgeanim.core.contract import Contract
from edgeanim.core.errors import UsageError
from edgeanim.core.files import may_become_file, may_hold_files, must_spare, sha256_files
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.pipeline.clipping import clipped_share
from edgeanim.pipeline.compiled import require_compiled
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.work import Work, play, player_of
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.media import files_read
from edgeanim.targets.bundle import SUFFIX, open_bundle
from edgeanim.targets.manifest import Variant, variants_called
from edgeanim.targets.on.payload import files_of
from edgeanim.targets.prebuilt import load_prebuilt

_FRAMES = 64


@dataclass(frozen=True)
class Benched:
    """What a bench is given to measure, and what to play ready-made models on."""

    subjects: tuple[str | Path, ...]
    frames: str | Path | None
    inputs: Mapping[str, str | Path]
    values: tuple[float, float] | None
    board: str | Path

    @property
    def bundles(self) -> list[Path]:
        """Those of the subjects that bring their own frames."""
        return [path for path in map(Path, self.subjects) if path.suffix == SUFFIX]

    def refuse_unheeded(self) -> None:
        """`UsageError` for what is given to bundles, and would not be heeded."""
        brought = {"--frames": self.frames, "--input": self.inputs or None, "--range": self.values}
        for option, given in brought.items():
            if self.bundles and given is not None:
                raise UsageError(
                    "A bundle is benched on the golden frames and inputs, and in the range, that "
                    "it brings: of others it does not know what the original makes.",
                    where=option,
                    hint="Leave it out, or compile the original with what it shall be benched on.",
                )

    def may_become_report(self, out: Path) -> None:
        """Raise what writing the report `out` and its pictures would end in; `UsageError` if it
        would take the place of what is measured, or of the board's file."""
        may_become_file(out)
        may_hold_files(pictures_beside(out))
        for subject in map(Path, self.subjects):
            must_spare(out, files_of(subject, subject.name).values())
        must_spare(out, [self.board, *self.inputs.values()])
        if self.frames is not None:
            must_spare(out, files_read(self.frames))


@dataclass(frozen=True)
class _Opened:
    """All subjects of a run with the golden frames that they are held against."""

    subjects: tuple[Subject, ...]
    golden: Path
    model: ModelRecord


def bench(
    subjects: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    frames: str | Path | None = None,
    values: tuple[float, float] | None = None,
    variants: str | Sequence[str] = (),
    quick: bool = False,
    scenarios: Scenario | Sequence[Scenario] = (),
    fps: float | None = None,
    duration: float | None = None,
    threads: int | None = None,
    retries: int = 0,
    board: str | Path = "local",
    inputs: Mapping[str, str | Path] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Measure `subjects`, interleaved: all variants of one bundle, or ready-made models (.onnx,
    .tflite, .xml).

    A bundle brings its golden frames. Ready-made models are played on `frames`, with `inputs`, and
    the first of them is what the others' drift is counted from; their pictures are in the range
    `values`, by default 0..1. Writes the report to `out`, and every variant's worst frame into the
    folder `pictures`, by default one beside `out`.

    `scenarios` are measured beside `single`: a stream at `fps` (by default the rate that the
    board's latency budget allows), a soak of `duration` seconds (by default ten minutes).
    `quick` takes fewer samples, enough for medians and 90th percentiles.
    A run that circumstances spoiled (throttling, load) is measured again, at most `retries` times.
    """
    benched = Benched(one_or_more(subjects), frames, inputs or {}, values, board)
    scenarios = one_or_more(scenarios)
    require_compiled(benched.subjects)
    refuse_unmeasured(scenarios, fps, duration)
    benched.refuse_unheeded()
    work = Work.on(board, progress=progress)
    options = BenchOptions(
        threads=work.board.threads if threads is None else threads,
        scenarios=scenarios,
        rate_fps=fps,
        duration_s=duration,
    )
    options = options.quick() if quick else options
    options.refuse_endless(fps or 1e3 / work.board.latency_budget_ms)
    if out is not None:
        benched.may_become_report(Path(out))
        pictures = pictures or pictures_beside(Path(out))
    pictures = None if pictures is None else Path(pictures)
    with _open(work, benched) as opened:
        measure = partial(
            run_bench,
            variants_called(one_or_more(variants), opened.subjects),
            opened.golden,
            options,
            model=opened.model,
            board=work.board,
            pictures=pictures,
            progress=progress,
        )
        report = repeat_until_valid(measure, retries, progress)
    if out is not None:
        save_report(Path(out), report)
    return report


def refuse_unmeasured(
    scenarios: Sequence[Scenario], fps: float | None, duration: float | None
) -> None:
    """`UsageError` for a scenario that is not known, and for what is said of one that is not
    measured."""
    must_be_one_of(Scenario, "scenarios", *scenarios)
    for option, value, where in (
        ("--fps", fps, ("stream",)),
        ("--duration", duration, ("soak", "stream")),
    ):
        if value is not None and not set(where) & set(scenarios):
            raise UsageError(
                f"It belongs to the scenario {' or '.join(where)}, which is not measured.",
                where=option,
                hint=f"Add --scenario {where[0]}.",
            )


@contextmanager
def _open(work: Work, benched: Benched) -> Iterator[_Opened]:
    bundles = benched.bundles
    if bundles and len(benched.subjects) > 1:
        raise UsageError(
            "A bundle is benched on its own: it brings its own frames.",
            hint="Bench one after the other and use `edgeanim compare`.",
        )
    with _open_bundle(bundles[0]) if bundles else _open_prebuilt(work, benched) as opened:
        yield opened


@contextmanager
def _open_bundle(path: Path) -> Iterator[_Opened]:
    with open_bundle(path) as bundle:
        golden = bundle.must_have_golden(path)
        yield _Opened(subjects_of(bundle.contract, bundle.variants), golden, record_of(bundle))


@contextmanager
def _open_prebuilt(work: Work, benched: Benched) -> Iterator[_Opened]:
    paths = [Path(subject) for subject in benched.subjects]
    with scratch_folder("prebuilt") as scratch:
        loaded = []
        for number, path in enumerate(paths):
            folder = scratch / str(number)
            folder.mkdir()
            loaded.append(load_prebuilt(path, folder, benched.values))
        contract, variant = loaded[0]
        made = _played(work, contract, variant, benched)
        _tell_of_clipping(work, paths[0], made)
        golden = scratch / "golden.npz"
        save_golden(golden, made)
        subjects: list[Subject] = []
        for path, (own, graphs) in zip(paths, loaded, strict=True):
            (subject,) = subjects_of(own, [graphs])
            subjects.append(_named(subject, path, subjects))
        record = ModelRecord(contract.name, sha256_files(variant.graphs[0].files), None)
        yield _Opened(tuple(subjects), golden, record)


def _played(work: Work, contract: Contract, variant: Variant, benched: Benched) -> Golden:
    """What the first model makes of the frames: what the others' drift is counted from."""
    material = gather(contract, benched.frames, benched.inputs, limit=_FRAMES, option="--frames")
    with player_of(work, contract, variant) as player:
        return Golden(material.held_out, play(player, material.held_out))


def _tell_of_clipping(work: Work, path: Path, golden: Golden) -> None:
    if (share := clipped_share(golden)) is not None:
        work.progress.stage("Look at the frames")
        work.progress.done(
            f"{share:.0%} of what {path.name} makes lies at the ends of its value range or beyond, "
            "where drift is not seen. Pictures of a ready-made model are taken to be in 0..1; give "
            "another (-1..1 or 0..255, say) with --range."
        )


def _named(subject: Subject, path: Path, others: Sequence[Subject]) -> Subject:
    if all(subject.id != other.id for other in others):
        return subject
    return replace(subject, id=f"{subject.id}:{path.stem}")
