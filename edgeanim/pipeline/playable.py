"""Which of a bundle's variants is played on this machine, and what to know of it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeanim.benchmarks.results.result import Report
from edgeanim.pipeline.work import Work
from edgeanim.report.verdict import choose
from edgeanim.targets.backends import get_backend
from edgeanim.targets.bundle import SUFFIX, Variant, open_bundle
from edgeanim.targets.manifest import variant_called
from edgeanim.targets.overflow import overflow_warning, overflows


def choose_variant(variants: tuple[Variant, ...], name: str | None, work: Work) -> Variant:
    """The variant called `name`, or the first in the board's order that can run here, and right.
    Where none can, the first that could if its runtime were installed, whose error says so."""
    if name is not None:
        return variant_called(name, variants)
    right = [v for v in _in_order(variants, work) if not overflows(v.graphs, work.board)]
    return next(filter(_can_run, right), right[0] if right else variants[0])


def to_play(
    variants: tuple[Variant, ...], name: str | None, work: Work
) -> tuple[Variant, str | None]:
    """The variant that `choose_variant` chooses, and what to know of it on this processor, if
    anything: that it is wrong, or that the board's first choice, which nobody declined, would have
    been."""
    chosen = choose_variant(variants, name, work)
    if overflows(chosen.graphs, work.board):
        return chosen, overflow_warning(chosen.id)
    first = next(filter(_can_run, _in_order(variants, work)), chosen) if name is None else chosen
    if overflows(first.graphs, work.board):
        return chosen, f"{chosen.id} was played: {overflow_warning(first.id)}"
    return chosen, None


def how_to_play(
    subjects: Sequence[str | Path], report: Report, board: str | Path = "local"
) -> str | None:
    """How to have a bundle played as the report of it says to ship it; `None` if `animate` does so
    by itself, or if nothing is to be shipped."""
    choice = choose(report)
    if choice is None or len(subjects) != 1 or Path(subjects[0]).suffix != SUFFIX:
        return None
    with open_bundle(Path(subjects[0])) as bundle:
        played = choose_variant(bundle.variants, None, Work.on(board)).id
    if played == choice.variant.id:
        return None
    return (
        f"`edgeanim animate` plays {played} by itself, the board's first choice; to play this one, "
        f"give it --variant {choice.variant.id}."
    )


def _can_run(variant: Variant) -> bool:
    return bool(get_backend(variant.backend).available())


def _in_order(variants: tuple[Variant, ...], work: Work) -> Iterator[Variant]:
    """Those of the board's backends and precisions, in its order."""
    known = {variant.id: variant for variant in variants}
    for entry in work.board.backends:
        # The last one listed is the one to play; without INT8 in the list, INT8 is slow.
        for precision in reversed(entry.precisions):
            variant = known.get(f"{entry.name}-{precision}")
            if variant is not None:
                yield variant
