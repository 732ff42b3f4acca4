"""`edgeanim optimize`: the fastest form of a model on this machine within a drift, by search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgeanim.core.choices import must_be_threads
from edgeanim.core.errors import UsageError
from edgeanim.core.files import may_become_file, must_end_in, must_spare
from edgeanim.core.parsing import nearest, one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import METHODS, Gates, PruneSpec, QuantizeSpec, load_recipe
from edgeanim.core.store import Store
from edgeanim.pipeline.calibrate import find_golden
from edgeanim.pipeline.frames.given import Source
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import default_material, files_of_model, open_model
from edgeanim.pipeline.search.order import FLOAT, Space
from edgeanim.pipeline.search.outcome import Optimized, Run
from edgeanim.pipeline.search.trials import Study
from edgeanim.pipeline.work import Work
from edgeanim.runtime.media import files_read
from edgeanim.targets.bundle import SUFFIX

# `auto` is itself a search over the others.
SEARCHED = (FLOAT, *(method for method in METHODS if method != "auto"))
PRUNED = (0.25, 0.5)
PRUNE = PruneSpec()


def optimize(
    model: str | Path,
    *,
    out: str | Path | None = None,
    calib: Source | None = None,
    board: str | Path = "local",
    max_drift: float | None = None,
    max_drift_p5: float | None = None,
    max_latency_ms: float | None = None,
    backends: str | Sequence[str] = (),
    methods: str | Sequence[str] = (),
    prunes: float | Sequence[float] = PRUNED,
    threads: int | Sequence[int] = (),
    recipe: str | Path | None = None,
    html: str | Path | None = None,
    inputs: Mapping[str, str | Path] | None = None,
    progress: Progress = SILENT,
    store: Store | None = None,
    fresh: bool = False,
) -> Optimized:
    """Search prune ratio x method x backend x threads for the form of `model` that is fastest
    within `max_drift` (1 - mean SSIM) and, at the 5th percentile of the frames, `max_drift_p5` (2.5
    times as much if not given), on frames of `calib` (see `quantize`).

    It goes through all of `prunes` (shares of the multiply-accumulates) and none, of `methods`
    (names of INT8 methods, and float32), of `backends` and of `threads`; where none are given, all
    methods and backends and the board's threads.

    Everything is measured on this machine, which has to be of the board's architecture. Each trial
    is kept in the store: interrupted, it returns what there is (`complete` is false), and run again
    it goes on there. INT8 is chosen only if it beats the best float form by more than the
    confidence interval. Writes the chosen bundle to `out` and a page with the plot to `html`.

    A `recipe` gives the settings of pruning and quantising that are not searched, the backends and
    the drift, where they are not given here. `Unreachable` (a `GateFailed`) carries the measured
    curve if nothing is within both limits, or takes at most `max_latency_ms` a frame.
    """
    prunes, threads = one_or_more(prunes), one_or_more(threads)
    _check_numbers(prunes, threads, max_latency_ms)
    read = [*files_of_model(model), board, *(inputs or {}).values()]
    read += files_read(calib) if isinstance(calib, (str, Path)) else []
    _check_written(out, html, read if recipe is None else [*read, recipe])
    given = load_recipe(Path(recipe)) if recipe is not None else None
    work = Work.on(board, store=store, progress=progress, fresh=fresh)
    work.must_be_here()
    limit = (given.gates if given else Gates()).drift(max_drift, max_drift_p5)
    quantize = given.quantize if given else QuantizeSpec()
    space = Space(
        backends=work.backends(one_or_more(backends) or (given.compile.backends if given else ())),
        methods=_methods(one_or_more(methods)),
        prunes=_prunes(given.prune if given else PRUNE, prunes),
        threads=threads or (work.board.threads,),
        quantize=quantize,
    )
    progress.stage("Read the model")
    source = open_model(model, work)
    material = gather(
        source.contract,
        calib,
        inputs or {},
        limit=2 * quantize.samples,
        default=default_material(source.contract),
    )
    golden = find_golden(work, model, source, material.held_out)
    progress.done()
    study = Study(work, source, material, golden, limit)
    return Run(study, space, max_latency_ms).result(out, html)


def _check_numbers(
    prunes: Sequence[float], threads: Sequence[int], max_latency_ms: float | None
) -> None:
    for count in threads:
        must_be_threads(count)
    for ratio in prunes:
        if not 0 <= ratio <= 0.9:
            raise UsageError(f"A share of {ratio:g} is not between 0 and 0.9.", where="--prune")
    if max_latency_ms is not None and not 0 < max_latency_ms < math.inf:
        raise UsageError(f"{max_latency_ms:g} ms is no time that a frame can take.")


def _check_written(
    out: str | Path | None, html: str | Path | None, read: Sequence[str | Path]
) -> None:
    """`UsageError` unless the bundle and the page can be written, over nothing that is `read`."""
    if out is not None and html is not None and Path(out).resolve() == Path(html).resolve():
        raise UsageError("The bundle and the page cannot be one file.", where=html)
    for file in (out, html):
        if file is not None:
            may_become_file(Path(file))
            must_spare(Path(file), read)
    if out is not None:
        must_end_in(SUFFIX, out, "A bundle")


def _methods(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SEARCHED:
            raise UsageError(f"There is no method {name!r}.", hint=nearest(name, SEARCHED))
    # Float comes first: what it costs decides what else is worth trying.
    chosen = names or SEARCHED
    return (FLOAT, *(method for method in SEARCHED if method in chosen and method != FLOAT))


def _prunes(spec: PruneSpec, ratios: Sequence[float]) -> tuple[PruneSpec, ...]:
    unpruned = PruneSpec()
    levels = sorted({ratio for ratio in ratios if ratio != 0})
    return (unpruned, *(replace(spec, ratio=ratio, latency_ms=None) for ratio in levels))
