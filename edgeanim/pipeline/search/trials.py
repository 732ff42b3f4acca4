"""One candidate of the search: described in JSON, built, checked for drift and timed, all cached.

A trial's outcome depends on nothing but the model, the trial itself, the frames and the machine, so
trials can be run in any order, on several machines, and again after an interruption. Time is
measured side by side with one fixed reference (the untouched float32 model), and told as a multiple
of the reference's: what disturbs the machine disturbs both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.results.compare import ratio_within
from edgeanim.benchmarks.results.result import ModelRecord, Report, save_report
from edgeanim.benchmarks.runner import BenchOptions, Subject, run_bench
from edgeanim.benchmarks.timing.stats import Interval
from edgeanim.core.artifact import FLOAT32, FloatPrecision, GraphArtifact, Precision
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.files import sha256_file
from edgeanim.core.limit import DriftLimit
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.calibrate import record_samples
from edgeanim.pipeline.clipping import clipping_in_words
from edgeanim.pipeline.frames.lights import Likeness, drift_relit, golden_relit
from edgeanim.pipeline.frames.material import Material
from edgeanim.pipeline.prune import prune_model
from edgeanim.pipeline.quantize import quantize_model
from edgeanim.pipeline.structure import restructured_model
from edgeanim.pipeline.variants import compile_all, drift_of, find_int8, make_variant
from edgeanim.pipeline.work import REFERENCE, Work, kept_report, versions
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.targets.bundle import Variant

REFERENCE_ID = "reference"
# Enough samples for a median with an interval over four processes. The drift is known by then.
TRIAL_OPTIONS = BenchOptions(
    iterations=36, blocks=3, block_s=0.0, warmup_frames=5, warmup_s=0.2, times_only=True
)
_DRIFT_FILE, _REPORT_FILE, _MODEL = "drift.json", "report.json", "model"


@dataclass(frozen=True)
class Trial:
    """A candidate: how the model is changed and how it is run. `quantize` is `None` for float,
    which is restructured unless it is to be `untouched`, as a yardstick. What is not INT8 computes
    in `floats`."""

    backend: str
    threads: int
    prune: PruneSpec = field(default_factory=PruneSpec)
    quantize: QuantizeSpec | None = None
    untouched: bool = False
    floats: FloatPrecision = FLOAT32

    @property
    def precision(self) -> Precision:
        """INT8, or what all of it computes in."""
        return "int8" if self.quantize else self.floats

    @property
    def method(self) -> str:
        """That of INT8, or `float32`, whichever floats all of it computes in."""
        return self.quantize.method if self.quantize else FLOAT32

    @property
    def id(self) -> str:
        """`openvino-int8-ptq-entropy-bfloat16-pruned50`, with the ranges unless by default,
        with what is not INT8 unless it is float32, and `-2t` where it has more than one thread."""
        precision: str = self.precision
        if self.quantize:
            precision += f"-{self.quantize.method}"
            if self.quantize.ranges != QuantizeSpec().ranges:
                precision += f"-{self.quantize.ranges}"
            if self.floats != FLOAT32:
                precision += f"-{self.floats}"
        if self.untouched:
            precision += "-untouched"
        pruned = f"-pruned{100 * self.prune.ratio:g}" if self.prune.ratio else ""
        threads = f"-{self.threads}t" if self.threads > 1 else ""
        return f"{self.backend}-{precision}{pruned}{threads}"


@dataclass(frozen=True)
class Timing:
    """A trial's latency as a multiple of the reference's, and its own median in ms.

    `int8_share` is the share of the time that really ran in INT8.
    """

    relative: float
    interval: Interval
    p50_ms: float
    int8_share: float | None


@dataclass(frozen=True)
class Study:
    """What all trials of a search share: the model as it came, and the frames.

    `limit` is what a method that looks for a mixture of precisions has to keep within.
    """

    work: Work
    model: Model
    material: Material
    golden: Path
    limit: DriftLimit

    @property
    def note(self) -> str | None:
        """What makes the drift of all trials worth little, if anything does."""
        return clipping_in_words(self.model, self.golden)

    @cached_property
    def _common(self) -> dict[str, object]:
        return {
            "model": self.model.digest,
            "golden": sha256_file(self.golden),
            "board": to_plain(self.work.board),
            "versions": versions(),
        }

    def variant(self, trial: Trial) -> tuple[Model, Variant]:
        """The trial's model and its graphs compiled, from the store where it has them.

        `UsageError` if it cannot be made (of a model that has nothing to prune, say).
        """
        model, folder = self._pruned(trial.prune)
        graphs: tuple[GraphArtifact, ...] = model.graphs
        if trial.quantize is not None:
            folder = self._quantized(model, trial)
            scheme = self.work.int8_scheme(trial.backend)
            assert scheme is not None  # or it would not have been quantised
            graphs = find_int8(folder, model)[scheme]
        if trial.untouched:
            return model, compile_all(self.work, trial.backend, graphs, trial.floats)
        return model, make_variant(self.work, trial.backend, graphs, trial.floats)

    def restructures(self, backend: str) -> bool:
        """Whether there is anything to restructure in the model for this backend."""
        made = restructured_model(self.work, self.model, backend)
        return made.graphs != self.model.graphs

    def drift(self, trial: Trial) -> Drift:
        """The trial's drift from the model as it came, on the held-out frames."""

        def find() -> Drift:
            model, variant = self.variant(trial)
            return drift_of(self.work, model, variant, load_golden(self.golden))

        return self.work.record("trial-drift", self._parts(trial), _DRIFT_FILE, Drift, find)

    def drift_relit(self, trial: Trial) -> Likeness | None:
        """The same on those frames in other light; `None` for a model without pictures."""
        if not self._relit:
            return None

        def find() -> Likeness:
            model, variant = self.variant(trial)
            found = drift_relit(self.work, model, variant, self._relit)
            assert found is not None  # there are frames
            return found

        return self.work.record("trial-relit", self._parts(trial), _DRIFT_FILE, Likeness, find)

    def time(self, trial: Trial) -> Timing:
        """The trial's latency on this machine, measured side by side with the reference.

        `DeviceFailed` says why it did not run.
        """

        def make(folder: Path) -> None:
            subjects = [self.subject(self.reference, REFERENCE_ID), self.subject(trial, trial.id)]
            report = self.bench(subjects, TRIAL_OPTIONS)
            if report.failures:  # not kept: memory that was short today may not be tomorrow
                raise DeviceFailed(report.failures[0].message, where=trial.id)
            save_report(folder / _REPORT_FILE, report)

        parts = {**self._parts(trial), "machine": describe().machine}
        folder, _ = self.work.build("trial-time", parts, make)
        report = kept_report(folder / _REPORT_FILE)
        ratio = ratio_within(report, trial.id, REFERENCE_ID)
        found = report.variant(trial.id)
        assert found is not None
        assert found.latency is not None
        assert found.latency.p50_ms is not None
        share = found.executed.int8_share if found.executed else None
        return Timing(ratio.value, ratio.interval, found.latency.p50_ms, share)

    @property
    def reference(self) -> Trial:
        """The untouched model in float32, with the board's own number of threads."""
        untouched = self.restructures(REFERENCE)
        return Trial(REFERENCE, self.work.board.threads, untouched=untouched)

    def subject(self, trial: Trial, name: str) -> Subject:
        """The trial as the bench wants it."""
        model, variant = self.variant(trial)
        return Subject(name, model.contract, tuple(variant.graphs), threads=trial.threads)

    def bench(self, subjects: list[Subject], options: BenchOptions) -> Report:
        """Measure subjects side by side."""
        record = ModelRecord(self.model.contract.name, self.model.digest, None)
        return run_bench(
            subjects,
            self.golden,
            options,
            model=record,
            board=self.work.board,
            progress=self.work.progress,
        )

    def _parts(self, trial: Trial) -> dict[str, object]:
        """What determines a trial's frames."""
        return {
            **self._common,
            "trial": to_plain(trial),
            "material": self._samples,
            # Of the methods, some look for what is just within the limit.
            "limit": to_plain(self.limit) if trial.quantize else None,
        }

    @cached_property
    def _relit(self) -> tuple[Golden, ...]:
        return golden_relit(self.work, self.model, load_golden(self.golden).scene)

    @cached_property
    def _samples(self) -> dict[str, str]:
        found = record_samples(self.work, self.model, self.material, count=48)
        return {name: samples.digest for name, samples in found.items()}

    def _pruned(self, spec: PruneSpec) -> tuple[Model, Path | None]:
        if not spec.ratio:
            return self.model, None
        parts = {**self._common, "prune": to_plain(spec), "material": self._samples}

        def make(folder: Path) -> None:
            prune_model(self.work, self.model, self.material, self.golden, folder / _MODEL, spec)

        folder, _ = self.work.build("trial-pruned", parts, make)
        return load_model(folder / _MODEL), folder / _MODEL

    def _quantized(self, model: Model, trial: Trial) -> Path:
        assert trial.quantize is not None
        spec = trial.quantize
        parts = {
            **self._common,
            "pruned": model.digest,
            "quantize": to_plain(spec),
            "backend": trial.backend,
            "material": self._samples,
            "limit": to_plain(self.limit),
        }

        def make(folder: Path) -> None:
            # Taken as it comes, so that its drift is known in any case; the search judges it.
            quantize_model(
                self.work,
                model,
                self.material,
                self.golden,
                folder / _MODEL,
                (trial.backend,),
                spec,
                self.limit,
                gated=False,
            )

        folder, _ = self.work.build("trial-int8", parts, make)
        return folder / _MODEL
