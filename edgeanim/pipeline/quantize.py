"""`edgeanim quantize`: to INT8 for each backend, held to a drift limit on held-out frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.core.files import copy_files, must_spare, write_text
from edgeanim.core.limit import MEAN, DriftLimit, in_words
from edgeanim.core.parsing import one_or_more, to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import Method, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline.ahead import Ahead, working_ahead
from edgeanim.pipeline.calibrate import find_golden, record_samples
from edgeanim.pipeline.clipping import clipping_in_words
from edgeanim.pipeline.frames.given import Source
from edgeanim.pipeline.frames.material import NOT_HELD_OUT, Material, gather
from edgeanim.pipeline.gain import FrameTimes, time_int8
from edgeanim.pipeline.methods import METHODS, Job, MeasuredIslands, Outcome, graphs_in_float
from edgeanim.pipeline.model_folder import RECORD_FILE, may_become_model, new_model_folder
from edgeanim.pipeline.models import default_material, files_of_model, open_model, refuse_obstacles
from edgeanim.pipeline.structure import restructured_model
from edgeanim.pipeline.variants import INT8_FOLDER
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import load_golden
from edgeanim.targets.backends import CompilesSlowly, get_backend

CURVE_SUFFIX = ".curve.json"
_BEGIN_WITH_PTQ = ("auto", "ptq")
# What a method has not tried itself; `distil` falls back on `mixed`.
_UNTRIED: Mapping[Method, str] = {
    "auto": ", --method distil",
    "ptq": ", --method mixed",
    "mixed": ", --method distil",
    "distil": "",
}


@dataclass(frozen=True)
class QuantizedVariant:
    """What became of the model for one backend: by which method and ranges, with which nodes kept
    in float by a search, its drift, and every point of the search (drift against time). `in_float`
    are the graphs without a convolution to quantise, which stay as they are. `times` are those of a
    frame, `None` where they were not measured: the board is of another architecture."""

    backend: str
    scheme: str
    ranges: str
    drift: Drift
    method: str = "ptq"
    islands: tuple[str, ...] = ()
    curve: tuple[MeasuredIslands, ...] = ()
    in_float: tuple[str, ...] = ()
    times: FrameTimes | None = None


@dataclass(frozen=True)
class Quantized:
    """The model folder written, and each backend's drift on the held-out frames.

    `samples` is the digest of the calibration inputs of each graph; `held_out` whether the frames
    judged on were kept out of calibration. `left_out` are the backends that were meant but run no
    INT8 on the board, each with the reason. `note` says what makes the drift worth little, such as
    frames that are nearly all clipped.
    """

    folder: Path
    variants: tuple[QuantizedVariant, ...]
    samples: Mapping[str, str]
    held_out: bool
    left_out: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


def quantize(
    model: str | Path,
    *,
    out: str | Path,
    calib: Source | None = None,
    backends: str | Sequence[str] = (),
    spec: QuantizeSpec | None = None,
    board: str | Path = "local",
    max_drift: float = MEAN,
    max_drift_p5: float | None = None,
    inputs: Mapping[str, str | Path] | None = None,
    progress: Progress = SILENT,
    store: Store | None = None,
    fresh: bool = False,
) -> Quantized:
    """Quantise `model` by `spec` for each of `backends` (all of the board's if none are given) and
    write a model folder to `out`.

    `calib` is a folder of pictures or clips, a clip, or, for an image-to-image model, an .npz of
    the graph's own inputs; or what makes frames, see `given.Frames`. `inputs` are the model's fixed
    inputs. Every fourth frame is held out, and the result must stay within `max_drift` of the float
    model there (1 - mean SSIM) and, at the 5th percentile of the frames, within `max_drift_p5` (2.5
    times as much if not given), else `GateFailed`; nothing is written then. `UsageError` if `out`
    is a folder of anything else than a model, or the one that is read.
    """
    may_become_model(Path(out))
    must_spare(Path(out), files_of_model(model))
    limit = DriftLimit.of(max_drift, max_drift_p5)
    work = Work.on(board, store=store, progress=progress, fresh=fresh)
    spec = spec or QuantizeSpec()
    names = work.backends(one_or_more(backends))  # before anything that takes long
    with working_ahead(work) as ahead:
        for name in _slow(filter(work.int8_scheme, names)):
            ahead.get_ready(name)
        progress.stage("Read the model")
        source = open_model(model, work)
        refuse_obstacles(work, source, filter(work.int8_scheme, names))
        samples, default = 2 * spec.samples, default_material(source.contract)
        material = gather(source.contract, calib, inputs or {}, limit=samples, default=default)
        progress.done()
        golden = find_golden(work, model, source, material.held_out)
        return quantize_model(
            work, source, material, golden, Path(out), names, spec, limit, timed=True, ahead=ahead
        )


def quantize_model(
    work: Work,
    model: Model,
    material: Material,
    golden: Path,
    out: Path,
    backends: tuple[str, ...],
    spec: QuantizeSpec,
    limit: DriftLimit,
    *,
    gated: bool = True,
    timed: bool = False,
    ahead: Ahead | None = None,
) -> Quantized:
    """The same for a model, material and golden frames that are at hand. `UsageError` if the board
    runs INT8 on none of `backends`; those of several on which it does not are `left_out`. Unless
    `gated`, what came nearest to the limit is handed back even where it drifts too far. `timed`
    says what INT8 gains here, for whoever does not bench it next."""
    schemes = _schemes(work, backends)
    left_out = {name: _why_not(work, (name,)) for name in backends if name not in schemes}
    slow = _slow(schemes)
    with ExitStack() as stack:
        ahead = ahead or stack.enter_context(working_ahead(work))
        # Layers are measured and rounded in the structure that will run. What compiles slowly comes
        # first, so that all else is done beside it.
        models = {}
        for name in sorted(schemes, key=lambda name: name not in slow):
            models[name] = restructured_model(work, model, name)
            if name in slow:
                ahead.compile(name, models[name].graphs)
        in_float = {
            name: graphs_in_float(models[name], spec, scheme) for name, scheme in schemes.items()
        }
        work.progress.stage("Collect calibration samples")
        samples = record_samples(
            work, model, material, spec.samples, in_other_light=spec.other_light
        )
        reference = load_golden(golden)
        work.progress.done(f"{max(len(s) for s in samples.values())} frames")
        for name in slow if spec.method in _BEGIN_WITH_PTQ else ():
            ahead.quantize(name, models[name], schemes[name], spec, samples)
        jobs = [
            Job(work, model, models[name], samples, reference, name, scheme, limit, ahead.wait)
            for name, scheme in schemes.items()
        ]
        results, made = _carry_out(jobs, spec, in_float)
    if gated:
        require_within(results, limit, out, material, spec.method)
    if timed:
        if work.is_here:
            work.tell_of_processor()
        results = [
            replace(row, times=time_int8(job, made[job.scheme].graphs))
            for row, job in zip(results, jobs, strict=True)
        ]
    digests = {name: graph_samples.digest for name, graph_samples in samples.items()}
    note = clipping_in_words(model, golden)
    result = Quantized(out, tuple(results), digests, material.separate, left_out, note)
    _write(out, model, made, golden, result)
    return result


def _schemes(work: Work, backends: tuple[str, ...]) -> dict[str, str]:
    """The form of INT8 of each backend that runs any on the board; `UsageError` if none does."""
    schemes = {name: scheme for name in backends if (scheme := work.int8_scheme(name))}
    if not schemes:
        raise UsageError(
            f"None of {', '.join(backends)} runs INT8 on the board {work.board.name}.",
            hint=_why_not(work, backends),
        )
    return schemes


def _slow(names: Iterable[str]) -> list[str]:
    """Those of the backends to quantise for that are worth beginning early, beside another."""
    return [name for name in list(names)[1:] if isinstance(get_backend(name), CompilesSlowly)]


def _carry_out(
    jobs: Sequence[Job], spec: QuantizeSpec, in_float: Mapping[str, tuple[str, ...]]
) -> tuple[list[QuantizedVariant], dict[str, Outcome]]:
    """What became of each job, and the graphs by their scheme."""
    results: list[QuantizedVariant] = []
    made: dict[str, Outcome] = {}
    for job in jobs:
        if job.scheme in made:  # another backend of the same form was served before
            outcome = replace(made[job.scheme], drift=job.judged(made[job.scheme].graphs))
        else:
            outcome = made[job.scheme] = METHODS[spec.method](job, spec)
        results.append(
            QuantizedVariant(
                job.backend,
                job.scheme,
                outcome.ranges,
                outcome.drift,
                outcome.method,
                outcome.islands,
                outcome.curve,
                in_float[job.backend],
            )
        )
    return results, made


def _why_not(work: Work, backends: tuple[str, ...]) -> str:
    """What the board's file says about INT8."""
    own = [note for name in backends if (note := work.board.backend(name).note)]
    said = [note for note in (*own, *work.board.notes) if "INT8" in note]
    return " ".join(dict.fromkeys(said)) or "Ship float32."


def require_within(
    results: list[QuantizedVariant],
    limit: DriftLimit,
    out: Path,
    material: Material,
    method: Method,
) -> None:
    """`GateFailed` if one drifts too far; what was measured is then left beside `out`."""
    worst = max(results, key=lambda row: limit.excess(row.drift))
    if limit.holds(worst.drift):
        return
    left = ""
    if any(row.curve for row in results):
        path = out.with_name(f"{out.name}{CURVE_SUFFIX}")
        write_text(path, json.dumps(to_plain({r.backend: r.curve for r in results}), indent=2))
        left = f" All points measured are in {path}."
    flatters = "" if material.separate else f" {NOT_HELD_OUT}"
    found = ", ".join(f"{row.backend} {in_words(row.drift)}" for row in results)
    raise GateFailed(
        f"INT8 drifts by {in_words(worst.drift)} (1 - SSIM) on {worst.backend}, more than the "
        f"limit of {limit}. Best found: {found}. No model was written.{left}{flatters}",
        hint=f"Ship float32, or try more calibration frames{_UNTRIED[method]} or a wider "
        "--max-drift.",
    )


def _write(
    out: Path,
    model: Model,
    made: Mapping[str, Outcome],
    golden: Path,
    result: Quantized,
) -> None:
    graphs = {graph.spec.name: graph.path for graph in model.graphs}
    with new_model_folder(out, model.contract, graphs, golden) as partial:
        for scheme, outcome in made.items():
            if outcome.curve:
                curve = json.dumps(to_plain(outcome.curve), indent=2)
                write_text(partial / INT8_FOLDER / f"{scheme}{CURVE_SUFFIX}", curve + "\n")
            for graph in outcome.graphs:
                target = partial / INT8_FOLDER / scheme / graph.spec.name
                copy_files(graph.path.parent, target)
        write_text(partial / RECORD_FILE, json.dumps(to_plain(result), indent=2) + "\n")
