"""What a search found, in sentences: behind the verdict of the finals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgeanim.benchmarks.results.compare import ratio_within
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.limit import DriftLimit, in_words
from edgeanim.pipeline.frames.lights import excess
from edgeanim.pipeline.search.order import Result, Space
from edgeanim.pipeline.search.trials import Trial

# What is offered to prune next, and the most that `--prune` takes.
_STEP, _MOST = 0.25, 0.9


def ways_on(space: Space, cores: int, *, may_prune: bool, farther_does: bool) -> str:
    """What to do where nothing is fast enough, as a hint: of what was not tried, what could help.
    `farther_does`: something that drifts too far is."""
    ways = ["allow more time or drift" if farther_does else "allow more time"]
    deepest = space.prunes[-1].ratio
    if may_prune and deepest < _MOST:
        more = min(_MOST, deepest + _STEP)
        ways.append(f"prune more (`--prune {more:g}`)")
    if max(space.threads) < cores:
        ways.append(f"give it more threads (`--threads {cores}`)")
    text = f"{', '.join(ways)}, or use a smaller model."
    return f"{text[0].upper()}{text[1:]}"


def why_no_int8(results: Sequence[Result], limit: DriftLimit) -> str:
    """What the search found against INT8 before the finals, as a sentence."""
    # What is pruned was left out for what pruning does, or does not do.
    int8 = [r for r in results if r.trial.quantize and not r.trial.prune.ratio]
    said = [
        *_least_drift(int8, "calibration alone", ("ptq",), limit),
        *_least_drift(int8, "with float islands or trained weights it", ("mixed", "distil"), limit),
        *dict.fromkeys(r.reason for r in int8 if r.state == "skipped"),
        *dict.fromkeys(f"it failed: {r.reason}" for r in int8 if r.state == "failed"),
    ]
    return f" Of INT8: {'; '.join(reason.rstrip('.') for reason in said)}." if said else ""


def _least_drift(
    results: Sequence[Result], what: str, methods: tuple[str, ...], limit: DriftLimit
) -> Iterator[str]:
    """How far what drifts too far does so at the least, by the light in which it does."""
    found: list[tuple[float, str]] = []
    for result in results:
        spec, usual, relit = result.trial.quantize, result.drift, result.relit
        if result.state != "drifts" or usual is None or spec is None or spec.method not in methods:
            continue
        words = in_words(usual) if relit is None else f"{in_words(relit)} in other light"
        found.append((excess(limit, usual, relit), words))
    if found:
        yield f"{what} drifts by {min(found)[1]} at the least"


def gain(report: Report, chosen: Trial, trials: Iterable[Trial], said: str) -> str:
    """How much faster than the model as it came on its own backend, as a sentence, unless the
    verdict has `said` it."""
    changed = any(trial.untouched for trial in trials if trial.backend == chosen.backend)
    original = Trial(chosen.backend, chosen.threads, untouched=changed).id
    if report.variant(original) is None or original == chosen.id or f" {original}," in said:
        return ""
    ratio = ratio_within(report, original, chosen.id)
    return f" Beside {original} it is {ratio.times} as fast."


def in_other_light(results: Sequence[Result], chosen: str) -> str:
    """How far the chosen one drifts in other light, as a sentence."""
    found = next((r.relit for r in results if r.id == chosen), None)
    return (
        "" if found is None else f" On those frames in other light it drifts by {in_words(found)}."
    )
