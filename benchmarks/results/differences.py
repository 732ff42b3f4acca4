"""What reports differ in besides their figures, each thing in one sentence, however many they are.

Every report is held against the first one. What must agree has a word that `--allow` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.core.errors import UsageError

# What must agree, by the word that `--allow` takes: how it is told apart, and how it is shown.
_ALIKE: Mapping[str, tuple[Callable[[Report], str], Callable[[Report], str]]] = {
    "model": (lambda r: r.model.digest, lambda r: f"{r.model.name} ({r.model.digest[:12]})"),
    "frames": (
        lambda r: r.frames.digest,
        lambda r: (
            f"{r.frames.count} frames of {r.frames.width}x{r.frames.height} "
            f"({r.frames.digest[:12]})"
        ),
    ),
    "machine": (
        lambda r: r.environment.machine,
        lambda r: f"{r.environment.cpu_model or r.environment.arch} ({r.environment.machine})",
    ),
}
ALLOWABLE = tuple(_ALIKE)
# What reports may well be made to compare, but nobody should take for the doing of something else.
_MENTIONED: Mapping[str, Callable[[Report], str]] = {
    "number of threads": lambda r: str(r.settings.threads),
    "board": lambda r: r.board.name,
    "version of edgeanim": lambda r: r.edgeanim,
}
# Of more than so many names, or values, the first are told and the others counted.
_MANY, _FEW = 12, 10
# A report with its name.
_Named = tuple[str, Report]
V = TypeVar("V", str, tuple[str, ...])


def differences(
    names: Sequence[str], reports: Sequence[Report], allow: Collection[str]
) -> tuple[str, ...]:
    """The unlike things that were allowed, those that need not be, and runs that were given twice;
    `UsageError` for the first unlike thing that `allow` has no word for."""
    (one, first), *others = zip(names, reports, strict=True)
    found = []
    for word, (key, show) in _ALIKE.items():
        unlike = [(name, show(other)) for name, other in others if key(other) != key(first)]
        for sentence in _differs(word, one, show(first), unlike):
            if word not in allow:
                raise UsageError(sentence, hint=f"Compare them nevertheless with --allow {word}.")
            found.append(sentence)
    return (*found, *_mentioned(one, first, others))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many names the first few, and how many more there are."""
    if len(names) > _MANY:
        names = (*names[:_FEW], f"{len(names) - _FEW} more")
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def by_value(named: Iterable[tuple[str, V]]) -> list[tuple[V, list[str]]]:
    """The values that are not empty, each with the names of all reports that have it."""
    found: dict[V, list[str]] = {}
    for name, value in named:
        if value:
            found.setdefault(value, []).append(name)
    return list(found.items())


def abridged(
    groups: Sequence[tuple[V, list[str]]], show: Callable[[V, list[str]], str], rest: str
) -> list[str]:
    """What `show` says of each value and the reports that have it; of many values that of the first
    few, then `rest` with the number of reports that it leaves out."""
    shown = groups if len(groups) <= _MANY else groups[:_FEW]
    parts = [show(value, names) for value, names in shown]
    if left := sum(len(names) for _, names in groups[len(shown) :]):
        parts.append(rest.format(left))
    return parts


def _mentioned(one: str, first: Report, others: Sequence[_Named]) -> Iterator[str]:
    """What differs from the first report without standing in the way."""
    if same := [name for name, other in others if other == first]:
        is_same = "is the same run" if len(same) == 1 else "are the same run"
        yield f"{listed(same)} {is_same} as {one}."
    yield from _times_missing(one, first, others)
    for word, shown in _MENTIONED.items():
        yield from _differs(word, one, shown(first), [(n, shown(r)) for n, r in others])
    versions = [(name, _runtimes(other)) for name, other in others]
    for backend, version in sorted(_runtimes(first).items()):
        there = [(name, known[backend]) for name, known in versions if backend in known]
        yield from _differs(f"version of {backend}", one, version, there)
    for variant in first.variants:
        there = [(n, _form(v)) for n, r in others if (v := r.variant(variant.id)) is not None]
        yield from _differs(f"form of {variant.id}", one, _form(variant), there)


def _times_missing(one: str, first: Report, others: Sequence[_Named]) -> Iterator[str]:
    """The variants that the first report has times of and others have not, and the reverse."""
    timed = [(name, _timed(other)) for name, other in others]
    lacking = [(name, _without(_timed(first), there)) for name, there in timed]
    for variants, names in by_value(lacking):
        yield f"{one} has times of {listed(variants)}; {listed(names)} {_have(names)} none."
    further = [(name, _without(there, _timed(first))) for name, there in timed]
    for variants, names in by_value(further):
        yield f"{listed(names)} {_have(names)} times of {listed(variants)}; {one} has none."


def _differs(word: str, one: str, has: str, others: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One sentence about the values of `others` (a report's name and its value) that are not the
    one that the report `one` has, if there are any."""
    unlike = by_value((name, value) for name, value in others if value != has)
    parts = abridged(unlike, _of_each, "and {} more have others")
    if parts:
        differ = "differ" if word == "frames" else "differs"
        yield f"The {word} {differ}: {'; '.join([f'{one} has {has}', *parts])}."


def _of_each(value: str, names: Sequence[str]) -> str:
    return f"{listed(names)} {_have(names)} {value}"


def _without(variants: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(variant for variant in variants if variant not in others)


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _form(variant: VariantResult) -> str:
    """What a variant's name does not tell: in which schemes its graphs are."""
    return f"{variant.precision} as {' and '.join(sorted(variant.schemes)) or 'no scheme'}"


def _timed(report: Report) -> tuple[str, ...]:
    """The variants that were timed."""
    return tuple(variant.id for variant in report.variants if variant.latency is not None)


def _runtimes(report: Report) -> dict[str, str]:
    """The version of each backend that ran."""
    return {v.backend: v.backend_version for v in report.variants if v.backend_version}
