"""`edgeanim bench --on`: the same bench, on other machines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeanim.benchmarks.drift.picture import pictures_beside
from edgeanim.benchmarks.emulation import Emulation
from edgeanim.benchmarks.results.result import Report, parse_report, save_report
from edgeanim.benchmarks.timing.scenarios import Scenario
from edgeanim.core.errors import DeviceFailed, EdgeanimError, UsageError
from edgeanim.core.files import canonical_json, write_text
from edgeanim.core.parsing import one_or_more, to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.bench import Benched, bench, refuse_unmeasured
from edgeanim.pipeline.compiled import require_compiled
from edgeanim.pipeline.on.bench_call import bench_call
from edgeanim.pipeline.on.emulated import emulate_bundle
from edgeanim.pipeline.on.far_end import REPORT
from edgeanim.pipeline.on.pictures import PICTURES, unpack_pictures
from edgeanim.targets.board import LOCAL
from edgeanim.targets.bundle import SUFFIX
from edgeanim.targets.on.places import Emulated, Place, SshHost, file_label, parse_place
from edgeanim.targets.on.remote import Call, Connect, Remote, ended_with_us


@dataclass(frozen=True)
class Placed:
    """What came of one place: its report (for an emulated processor, what it computed, without any
    time), and where it was written; or why there is none, or why it could not be written."""

    place: str
    report: Report | Emulation | None = None
    path: Path | None = None
    error: EdgeanimError | None = None

    @property
    def exit_code(self) -> int:
        """The report's, or the error's."""
        if self.error is not None:
            return self.error.exit_code
        return self.report.exit_code if self.report is not None else 0


def bench_on(
    subjects: str | Path | Sequence[str | Path],
    on: str | Sequence[str],
    *,
    out: str | Path | None = None,
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
    connect: Connect = Remote,
) -> tuple[Placed, ...]:
    """`bench` on every place in `on`, all hosts at the same time; one result for each, in order.

    All else is as in `bench`. With several places, each report is written beside `out` under
    its place's name, and a place that fails does not disturb the others.
    """
    benched = Benched(one_or_more(subjects), frames, inputs or {}, values, board)
    variants, scenarios = one_or_more(variants), one_or_more(scenarios)
    require_compiled(benched.subjects)
    refuse_unmeasured(scenarios, fps, duration)
    benched.refuse_unheeded()
    options: dict[str, Any] = {
        "variants": variants,
        "quick": quick,
        "scenarios": scenarios,
        "fps": fps,
        "duration": duration,
        "threads": threads,
        "retries": retries,
    }
    places = _parsed(one_or_more(on))
    if all(isinstance(place, Emulated) for place in places):
        _refuse_settings(options, board)
    several = len(places) > 1
    paths = _report_paths(out, places)
    for path in filter(None, paths.values()):
        benched.may_become_report(path)
    shared = SharedProgress(progress, len(places)) if several else progress
    hosts = {p.label: connect(p, shared) for p in places if isinstance(p, SshHost)}
    call = bench_call(benched, options) if hosts else None
    here = partial(bench, **vars(benched), progress=shared, **options)

    def report_of(place: Place, pictures: Path | None) -> Report | Emulation:
        if call is not None and isinstance(place, SshHost):
            return _measured_there(hosts[place.label], call, pictures)
        if isinstance(place, Emulated):
            (bundle,) = _one_bundle(benched.subjects)
            return emulate_bundle(bundle, place.board, variants=variants, progress=shared)
        return here(pictures=pictures)

    def measure(place: Place) -> Placed:
        path = paths[place.label]
        pictures = None if path is None else pictures_beside(path)
        return _placed(place, path, lambda: report_of(place, pictures), alone=not several)

    with nullcontext() if call is None else ended_with_us(hosts.values(), call):
        return _everywhere(places, measure)


def _parsed(texts: Sequence[str]) -> list[Place]:
    """The places of these names; `UsageError` for none, or for one that is named twice."""
    places = [parse_place(text) for text in texts]
    if not places:
        raise UsageError("There is no place to measure on.", hint="Name one, `local` at least.")
    if len({place.label for place in places}) != len(places):
        raise UsageError("A place is given twice.", where="--on", hint="Leave one of them out.")
    return places


def _placed(
    place: Place, path: Path | None, measure: Callable[[], Report | Emulation], *, alone: bool
) -> Placed:
    """What `measure` gives, saved as `path`. An error is kept for afterwards where the place is not
    `alone`; a report that cannot be saved is never lost."""
    try:
        report = measure()
    except EdgeanimError as error:
        if alone:
            raise
        return Placed(place.label, error=error)
    try:
        if path is not None:
            _save(path, report)
    except EdgeanimError as error:
        return Placed(place.label, report, error=error)
    return Placed(place.label, report, path)


def _measured_there(remote: Remote, call: Call, pictures: Path | None) -> Report:
    """The report of a host, and its pictures in that folder."""
    label, results = remote.host.label, remote.run(call)
    text = results[REPORT].decode("utf-8", errors="replace")
    report = parse_report(text, where=label)
    return unpack_pictures(results[PICTURES], report, pictures, where=label)


def _report_paths(out: str | Path | None, places: Sequence[Place]) -> dict[str, Path | None]:
    """Where each place's report is written, by the place's label: to `out`, or with several places
    beside it. `UsageError` if two would have the same name: one would be lost."""
    if out is None:
        return dict.fromkeys(place.label for place in places)
    path = Path(out)
    if len(places) == 1:
        return {places[0].label: path}
    owners: dict[Path, str] = {}
    for place in places:
        own = path.with_name(f"{path.stem}.{file_label(place)}{path.suffix}")
        if owners.setdefault(own, place.label) != place.label:
            raise UsageError(
                f"The reports of {owners[own]} and {place.label} would be one file, {own.name}.",
                where="--on",
                hint="Bench them one after the other.",
            )
    return {label: own for own, label in owners.items()}


def _everywhere(places: Sequence[Place], measure: Callable[[Place], Placed]) -> tuple[Placed, ...]:
    """All hosts in threads of their own, and what runs here one after the other meanwhile."""
    away = [place for place in places if isinstance(place, SshHost)]
    done: dict[str, Placed] = {}

    def keep(place: Place) -> None:
        try:
            done[place.label] = measure(place)
        except Exception as error:  # no place may cost the others their reports
            what = f"It failed unforeseen: {type(error).__name__}: {error}"
            done[place.label] = Placed(place.label, error=DeviceFailed(what, where=place.label))

    if len(places) == 1:
        return (measure(places[0]),)
    # Daemons: Ctrl-C reaches the main thread alone, which must not wait for the others.
    threads = [threading.Thread(target=keep, args=(place,), daemon=True) for place in away]
    for thread in threads:
        thread.start()
    for place in places:
        if place not in away:
            keep(place)
    for thread in threads:
        thread.join()
    return tuple(done[place.label] for place in places)


def _refuse_settings(options: Mapping[str, Any], board: str | Path) -> None:
    """`UsageError` for what emulation would not heed."""
    given = {"--scenario": options.get("scenarios"), "--board": str(board) != LOCAL}
    given |= {f"--{name}": options.get(name) for name in ("quick", "retries", "threads")}
    for option, value in given.items():
        if value:
            raise UsageError(
                "Emulation measures no time, and runs as its own board's file says.",
                where=option,
                hint="Leave it out.",
            )


def _one_bundle(subjects: Sequence[str | Path]) -> Sequence[str | Path]:
    if len(subjects) != 1 or Path(subjects[0]).suffix != SUFFIX:
        raise UsageError("Emulation takes one bundle.", hint="Compile the model first.")
    return subjects


def _save(path: Path, report: Report | Emulation) -> None:
    if isinstance(report, Report):
        save_report(path, report)
    else:
        write_text(path, canonical_json(to_plain(report, nulls=True)))


class SharedProgress:
    """One progress for several places at once: the stages that each has finished."""

    def __init__(self, progress: Progress, places: int) -> None:
        self._progress, self._lock, self._places = progress, threading.Lock(), places
        self._begun = False

    def stage(self, title: str, total: int | None = None) -> None:
        """A place begins with something."""
        del total
        self._tell(title)

    def step(self, count: int = 1, note: str = "") -> None:
        """A place gets on."""
        del count
        self._tell(note)

    def done(self, note: str = "") -> None:
        """A place has finished a stage."""
        self._tell(note)

    def _tell(self, note: str) -> None:
        with self._lock:
            if not self._begun:
                self._progress.stage(f"Measure on {self._places} machines")
                self._begun = True
            self._progress.step(0, note)
