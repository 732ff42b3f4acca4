"""From a search to its outcome: the finals, the choice, the bundle and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.errors import DeviceFailed, GateFailed
from edgeanim.core.interruption import acknowledge
from edgeanim.core.parsing import to_plain
from edgeanim.pipeline.search.finals import final_report
from edgeanim.pipeline.search.order import Result, Search, Space, reference_ms
from edgeanim.pipeline.search.sentences import gain, in_other_light, ways_on, why_no_int8
from edgeanim.pipeline.search.trials import Study, Trial
from edgeanim.pipeline.work import versions
from edgeanim.report.pareto import Candidate, front, write_pareto_page
from edgeanim.report.verdict import choose, verdict
from edgeanim.report.words import ABSENT
from edgeanim.targets.bundle import write_bundle


@dataclass(frozen=True)
class Optimized:
    """The outcome of a search. `points` are all candidates, `front` the ids of those that no other
    beats in both latency and drift, `chosen` the one to ship, `verdict` why.

    `report` holds the finalists, measured in one interleaved run; `None` after an interruption,
    when `complete` is false and the choice rests on the trials alone. `held_out` says whether the
    frames judged on were kept out of calibration. `note` says what makes the drift worth little,
    such as frames that are nearly all clipped.
    """

    model: str
    board: str
    machine: str
    max_drift: float
    max_drift_p5: float
    max_latency_ms: float | None
    points: tuple[Candidate, ...]
    front: tuple[str, ...]
    trials: Mapping[str, Trial]
    chosen: str | None
    verdict: str
    bundle: Path | None
    report: Report | None
    complete: bool
    held_out: bool
    note: str | None = None


class Unreachable(GateFailed):
    """Nothing measured is within the limits; `result` has the best found and the whole curve."""

    def __init__(self, what: str, result: Optimized, *, hint: str) -> None:
        super().__init__(what, hint=hint)
        self.result = result


class Run:
    """One search with what is done about its outcome."""

    def __init__(self, study: Study, space: Space, max_latency_ms: float | None) -> None:
        self._study = study
        self._space = space
        self._max_latency_ms = max_latency_ms
        self._search = Search(study, space, max_latency_ms)

    def result(self, out: str | Path | None, html: str | Path | None) -> Optimized:
        """Search, measure the finalists, choose, and write bundle and page."""
        report, complete = None, True
        try:
            self._search.run()
            report = final_report(self._study, self._within())
        except KeyboardInterrupt:
            acknowledge()
            complete = False
        self._require_something(complete)
        found = self._outcome(report, complete)
        if found.chosen is not None and out is not None:
            bundle = self._bundle(found.trials[found.chosen], Path(out))
            found = replace(found, bundle=bundle)
        if html is not None:
            write_pareto_page(
                Path(html),
                found.points,
                title=found.model,
                sentences=[found.verdict],
                max_drift=found.max_drift,
                max_latency_ms=found.max_latency_ms,
                finals=found.report,
            )
        if found.chosen is None and complete:
            raise Unreachable(found.verdict, found, hint=self._ways_on())
        return found

    def _within(self) -> list[Result]:
        measured = [r for r in self._search.results if r.state == "measured" and r.timing]
        return sorted(measured, key=lambda r: r.timing.relative if r.timing else 0.0)

    def _require_something(self, complete: bool) -> None:
        failed = [r for r in self._search.results if r.state == "failed"]
        if complete and failed and not self._within():
            raise DeviceFailed(
                f"No candidate could be measured. {failed[0].id}: {failed[0].reason}",
                hint="If it is what the store kept of earlier trials, --fresh makes all anew.",
            )

    def _outcome(self, report: Report | None, complete: bool) -> Optimized:
        study = self._study
        chosen, said = self._choice(report, complete)
        if chosen is not None and complete and (slow := self._too_slow(chosen, report)):
            chosen, said = None, slow
        points = self._points(chosen)
        return Optimized(
            model=study.model.contract.name,
            board=study.work.board.name,
            machine=describe().machine,
            max_drift=study.limit.mean,
            max_drift_p5=study.limit.p5,
            max_latency_ms=self._max_latency_ms,
            points=points,
            front=front(points),
            trials=self._trials(),
            chosen=chosen,
            verdict=said,
            bundle=None,
            report=report,
            complete=complete,
            held_out=study.material.separate,
            note=study.note,
        )

    def _choice(self, report: Report | None, complete: bool) -> tuple[str | None, str]:
        """Which candidate to ship by its drift, if any, and why."""
        if report is not None:
            return self._of_finalists(report)
        if ranked := self._within():
            best = ranked[0]
            return best.id, f"Interrupted. The fastest so far is {best.id}{self._so_far(best)}."
        if complete:
            return None, f"Nothing that was tried drifts by at most {self._study.limit}."
        return None, "Interrupted before anything was measured."

    def _of_finalists(self, report: Report) -> tuple[str | None, str]:
        """Which of the finalists to ship, if any, and why."""
        limit, results = self._study.limit, self._search.results
        choice, said = choose(report, limit), verdict(report, limit)
        if choice is None:
            return None, said
        chosen, trials = choice.variant.id, self._trials()
        if not trials[chosen].quantize:
            said += why_no_int8(results, limit)
        said += gain(report, trials[chosen], trials.values(), said)
        return chosen, said + in_other_light(results, chosen)

    def _too_slow(self, chosen: str, report: Report | None) -> str | None:
        """What is said where even the one chosen takes longer than asked for; `None` if it does
        not."""
        asked, limit = self._max_latency_ms, self._study.limit
        if asked is None or (best := _latency_of(chosen, report, self._points(chosen))) <= asked:
            return None
        return (
            f"Nothing within a drift of {limit} takes at most {asked:g} ms a frame here. The best "
            f"found is {chosen} with {best:.1f} ms.{self._further()}"
        )

    def _so_far(self, best: Result) -> str:
        """How long the fastest trial takes; where a latency is asked for, whether that is within
        it."""
        asked = self._max_latency_ms
        ms = self._search.latency_ms(best)
        assert ms is not None  # it was timed
        said = f": {ms:.1f} ms a frame by its trial alone"
        if asked is None:
            return said
        held = "within" if self._search.in_time(best) else "longer than"
        return f"{said}, {held} the {asked:g} ms asked for"

    def _ways_on(self) -> str:
        """What to do where nothing is within the limits, as a hint."""
        if self._max_latency_ms is None or not self._within():
            return "Allow more drift, or calibrate on more of the frames that it will meet."
        return ways_on(
            self._space,
            self._study.work.board.cores,
            may_prune=self._search.most_pruned is None,
            farther_does=bool(self._further()),
        )

    def _further(self) -> str:
        """What drifts too far but is fast enough, if anything is."""
        limit = self._study.limit
        fast = [
            (limit.excess(r.drift), r.drift, r)
            for r in self._search.results
            if r.state == "drifts" and r.drift and self._search.in_time(r)
        ]
        if not fast:
            return ""
        _, drift, result = min(fast, key=lambda each: each[0])
        ms = self._search.latency_ms(result)
        return f" {result.id} would do, with {ms:.1f} ms and a drift of {drift.drift_mean:.4f}."

    def _trials(self) -> dict[str, Trial]:
        return {result.id: result.trial for result in self._search.results}

    def _points(self, chosen: str | None) -> tuple[Candidate, ...]:
        whole = reference_ms(self._search.results)
        return tuple(_point(result, whole, chosen) for result in self._search.results)

    def _bundle(self, trial: Trial, out: Path) -> Path:
        study = self._study
        model, variant = study.variant(trial)
        write_bundle(
            out,
            contract=model.contract,
            variants=[variant],
            golden=study.golden,
            tracks={},
            provenance={
                "model": study.model.digest,
                "board": study.work.board.name,
                "tools": versions(),
                "trial": to_plain(trial),
            },
        )
        return out


def _point(result: Result, whole: float, chosen: str | None) -> Candidate:
    timing, drift = result.timing, result.drift
    share = timing.int8_share if timing else None
    return Candidate(
        id=result.id,
        precision=result.trial.precision,
        drift=drift.drift_mean if drift else None,
        drift_p5=1 - drift.ssim_p5 if drift else None,
        latency_ms=timing.relative * whole if timing else None,
        low_ms=timing.interval.low * whole if timing else None,
        high_ms=timing.interval.high * whole if timing else None,
        executed=ABSENT if timing is None else f"int8 {share:.0%}" if share else "float",
        note="" if result.state == "measured" else f"{result.state}: {result.reason}",
        chosen=result.id == chosen,
    )


def _latency_of(name: str, report: Report | None, points: Sequence[Candidate]) -> float:
    """Median milliseconds from the final run, or from the trials if there was none."""
    final = report.variant(name) if report else None
    if final and final.latency and final.latency.p50_ms is not None:
        return final.latency.p50_ms
    return next(p.latency_ms for p in points if p.id == name) or float("inf")
