"""The order in which trials are tried, and which need not be: cheap checks first, time last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.core.artifact import FLOAT32
from edgeanim.core.errors import EdgeanimError, UsageError, is_full
from edgeanim.core.limit import in_words
from edgeanim.core.parsing import parse, to_plain
from edgeanim.core.recipe import RANGES, PruneSpec, QuantizeSpec
from edgeanim.pipeline.frames.lights import Likeness, excess
from edgeanim.pipeline.search.trials import Study, Timing, Trial

State = Literal["measured", "drifts", "skipped", "failed"]

# The method that leaves a model in float, whichever floats those are.
FLOAT = FLOAT32
# All in INT8 may take this many times as long as the best: no mixture was seen to save as much.
_MIXED_SAVES = 1.5
# With so much in INT8, there is little that a mixture of precisions could win back.
_MOSTLY_INT8 = 0.9
# A mixture that takes this many times as long as all of it in INT8 leaves something to win.
_WORTH_TRAINING = 1.05


@dataclass(frozen=True)
class Space:
    """What is searched. `methods` are `float32` and those of `quantize`; `prunes` go from the
    unpruned model to the most pruned one."""

    backends: tuple[str, ...]
    methods: tuple[str, ...]
    prunes: tuple[PruneSpec, ...]
    threads: tuple[int, ...]
    quantize: QuantizeSpec


@dataclass(frozen=True)
class Result:
    """What became of a trial. `reason` says why it was not measured, `relit` is the likeness in
    other light."""

    trial: Trial
    state: State
    reason: str = ""
    drift: Drift | None = None
    timing: Timing | None = None
    relit: Likeness | None = None

    @property
    def id(self) -> str:
        """The trial's."""
        return self.trial.id


class Search:
    """Runs the trials of `space` one after the other. `results` grows with each, so whoever stops
    the search keeps what there is. `most_pruned` is the ratio from which on nothing is pruned, and
    why."""

    def __init__(self, study: Study, space: Space, max_latency_ms: float | None = None) -> None:
        self.results: list[Result] = []
        self._study = study
        self._space = space
        self._max_latency_ms = max_latency_ms
        self.most_pruned: tuple[float, str] | None = None

    def run(self) -> None:
        """Try everything; then, if a latency was asked for that nothing reaches within the drift,
        time what drifts further too, so that the curve shows what it would take."""
        for trial in self._trials():
            self._report(self._judged(trial))
        if self._max_latency_ms is not None and not self._reached():
            self._time_the_rest()

    def _trials(self) -> Iterator[Trial]:
        space = self._space
        for prune, method, backend in product(space.prunes, space.methods, space.backends):
            for threads, floats in product(space.threads, self._study.work.floats(backend)):
                trial = Trial(backend, threads, prune, floats=floats)
                if method == FLOAT:
                    yield from self._in_float(trial)
                elif self._study.work.int8_scheme(backend):
                    yield from self._in_int8(trial, method)

    def _in_float(self, trial: Trial) -> Iterator[Trial]:
        """The model restructured, and untouched where that is something else."""
        if not trial.prune.ratio and self._study.restructures(trial.backend):
            yield replace(trial, untouched=True)
        yield trial

    def _in_int8(self, trial: Trial, method: str) -> Iterator[Trial]:
        """Plain calibration with the ranges given, then with others until one keeps to the limit;
        all else with the ranges that came nearest to it."""
        given = parse(
            QuantizeSpec,
            {**to_plain(self._space.quantize), "method": method},
            where=f"the method {method}",
        )
        plain = self._same(trial, trial.prune).get("ptq")
        if method != "ptq":
            ranges = plain.trial.quantize.ranges if plain and plain.trial.quantize else given.ranges
            yield replace(trial, quantize=replace(given, ranges=ranges))
            return
        for ranges in dict.fromkeys((given.ranges, *RANGES)):
            yield replace(trial, quantize=replace(given, ranges=ranges))
            if self.results[-1].state != "drifts":
                return

    def _judged(self, trial: Trial) -> Result:
        if reason := self._needless(trial):
            return Result(trial, "skipped", reason)
        try:
            limit, drift = self._study.limit, self._study.drift(trial)
            relit = self._study.drift_relit(trial) if limit.holds(drift) else None
            if excess(limit, drift, relit) > 1:
                if trial.precision == FLOAT32 and trial.prune.ratio:
                    self.most_pruned = trial.prune.ratio, "alone drifts too far"
                far = (
                    f"by {in_words(relit)} in other light" if relit else "too far from the original"
                )
                return Result(trial, "drifts", far, drift, relit=relit)
            if reason := self._too_slow_even_pruned(trial, trial.method):
                return Result(trial, "skipped", reason, drift, relit=relit)
            return Result(trial, "measured", "", drift, self._study.time(trial), relit)
        except EdgeanimError as error:
            if isinstance(error, UsageError) and trial.method == FLOAT and trial.prune.ratio:
                self.most_pruned = trial.prune.ratio, "cannot be done"
            return Result(trial, "failed", _why_failed(error))

    def _needless(self, trial: Trial) -> str:
        """Why this trial cannot be the best, from what is known already; empty if it might be."""
        if self.most_pruned is not None and trial.prune.ratio >= self.most_pruned[0]:
            return f"pruning {self.most_pruned[0]:.0%} {self.most_pruned[1]}"
        if (trial.quantize or trial.prune.ratio) and self._floats_are_slow(trial):
            return (
                f"{trial.floats} is no help to it on {trial.backend}, being slower than {FLOAT32}"
            )
        if trial.quantize is not None and (reason := self._method_needless(trial)):
            return reason
        return self._pruning_needless(trial) if trial.prune.ratio else ""

    def _floats_are_slow(self, trial: Trial) -> bool:
        """Whether the unpruned model takes longer in the trial's floats than in float32: some
        processors have them without the kernels that would be worth it."""
        unpruned = self._space.prunes[0]
        own = self._same(trial, unpruned).get(FLOAT)
        whole = self._same(replace(trial, floats=FLOAT32), unpruned).get(FLOAT)
        return bool(own and whole and _slower(own, whole))

    def _method_needless(self, trial: Trial) -> str:
        """More elaborate methods are for what plain calibration does not do well."""
        assert trial.quantize is not None
        method = trial.method
        before = self._same(trial, prune=trial.prune)
        plain, float_, mixed = (before.get(name) for name in ("ptq", FLOAT, "mixed"))
        if method == "ptq" or plain is None:
            return ""
        plain = self._timed(plain)
        if plain.timing and float_ and float_.timing and _slower(plain, float_):
            times = plain.timing.relative / float_.timing.relative
            other = f"{trial.floats} on {trial.backend}"
            return f"all in INT8 takes {times:.2f} times as long as {other}"
        best = self._fastest()
        saves = _MIXED_SAVES if method == "mixed" else 1.0
        if plain.timing and best and best.timing and _slower(plain, best, saves):
            times = plain.timing.relative / best.timing.relative
            return f"all in INT8 takes {times:.2f} times as long as {best.id}"
        if method == "mixed" and plain.state == "measured" and plain.timing:
            share = plain.timing.int8_share
            if share is not None and share >= _MOSTLY_INT8:
                return f"ptq is within the drift and {share:.0%} INT8"
        if method == "distil" and plain.state == "measured":
            return "ptq is within the drift, and other weights run no faster"
        if method == "distil" and mixed and mixed.timing and plain.timing:
            least = plain.timing.relative
            if mixed.timing.relative <= _WORTH_TRAINING * least:
                return "mixed is within the drift and as fast as all in INT8"
        return ""

    def _timed(self, result: Result) -> Result:
        """The result with its time, even if it drifts too far: all in INT8 is the least that any
        mixture and any training could take."""
        if result.timing or result.drift is None:
            return result
        try:
            timed = replace(result, timing=self._study.time(result.trial))
        except EdgeanimError as error:
            timed = replace(result, state="failed", reason=_why_failed(error))
        self.results[self.results.index(result)] = timed
        return timed

    def _pruning_needless(self, trial: Trial) -> str:
        # In float even what is too slow is judged: whether pruning by itself drifts too far.
        if reason := self._too_slow_even_pruned(trial, trial.method if trial.quantize else None):
            return reason
        unpruned = self._same(trial, prune=self._space.prunes[0])
        float_, int8 = unpruned.get(FLOAT), unpruned.get(trial.method)
        if trial.quantize and float_ and int8 and _slower(int8, float_):
            return f"INT8 is slower than {trial.floats} on {trial.backend} before pruning"
        return ""

    def _too_slow_even_pruned(self, trial: Trial, method: str | None) -> str:
        """Why the trial cannot be the fastest, if its time fell as its multiply-accumulates do, and
        it falls by less: from that of the unpruned model by this method, or else by the fastest."""
        best = self._fastest()
        unpruned = self._same(trial, prune=self._space.prunes[0])
        known = [r for name, r in unpruned.items() if r.timing and method in (None, name)]
        left = _least_left(trial.prune)
        if left == 1 or not known or best is None:
            return ""
        if not all(_slower(result, best, 1 / left) for result in known):
            return ""
        return f"at {left:.0%} of its unpruned time still slower than {best.id}"

    def _fastest(self) -> Result | None:
        """The fastest that is known to be within the limit."""
        usable = [r for r in self.results if r.state == "measured" and r.timing]
        return min(usable, key=lambda r: r.timing.interval.high if r.timing else 0.0, default=None)

    def _same(self, trial: Trial, prune: PruneSpec) -> Mapping[str, Result]:
        """The results so far with this trial's backend, threads and floats, by method: of several
        the one that is nearest to the limit."""
        found = [
            r
            for r in self.results
            if (r.trial.backend, r.trial.threads) == (trial.backend, trial.threads)
            and (r.trial.prune, r.trial.floats) == (prune, trial.floats)
            and not r.trial.untouched
        ]
        nearest: dict[str, Result] = {}
        for result in sorted(found, key=self._excess):
            nearest.setdefault(result.trial.method, result)
        return nearest

    def _excess(self, result: Result) -> float:
        if result.drift is None:
            return float("inf")
        return excess(self._study.limit, result.drift, result.relit)

    def _reached(self) -> bool:
        return any(r.state == "measured" and self.in_time(r) for r in self.results)

    def _time_the_rest(self) -> None:
        """Time what drifts too far, the nearest to the limit first, until one is fast enough."""
        late = [
            (self._excess(result), index)
            for index, result in enumerate(self.results)
            if result.state == "drifts"
        ]
        for _, index in sorted(late):
            if self.in_time(self._timed(self.results[index])):
                return

    def latency_ms(self, result: Result) -> float | None:
        """Median milliseconds of a frame, of which each trial measured only the share of the
        reference's; `None` if it was not timed."""
        return result.timing.relative * reference_ms(self.results) if result.timing else None

    def in_time(self, result: Result) -> bool:
        """Whether it was timed and is within the latency that is asked for."""
        assert self._max_latency_ms is not None
        ms = self.latency_ms(result)
        return ms is not None and ms <= self._max_latency_ms

    def _report(self, result: Result) -> None:
        self.results.append(result)
        progress = self._study.work.progress
        progress.stage(f"Trial {result.id}")
        if result.timing and result.drift:
            note = f"{result.timing.p50_ms:.1f} ms, drift {result.drift.drift_mean:.4f}"
        else:
            note = f"{result.state}: {result.reason}"[:100]
        progress.done(note)


def _why_failed(error: EdgeanimError) -> str:
    """What a trial's error says. A full disk says nothing of the trial: it ends the search, or what
    is chosen would be what still found room."""
    if is_full(error.__cause__):
        raise error
    return str(error)


def _slower(one: Result, other: Result, times: float = 1.0) -> bool:
    """Whether both were timed and `one` is slower, or slower by so many times, beyond what is known
    of either."""
    if one.timing is None or other.timing is None:
        return False
    return one.timing.interval.low > times * other.timing.interval.high


def _least_left(spec: PruneSpec) -> float:
    """The share of the multiply-accumulates that is left: of channels, a layer loses some that come
    in and some that go out."""
    return (1 - spec.ratio) ** (2 if spec.of == "channels" else 1)


def reference_ms(results: list[Result]) -> float:
    """Milliseconds of the reference: the median over what the trials' runs say of it."""
    found = sorted(r.timing.p50_ms / r.timing.relative for r in results if r.timing)
    return found[len(found) // 2] if found else 0.0
