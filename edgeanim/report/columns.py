"""Plain text in columns: every table that is printed is laid out here."""

from __future__ import annotations

from collections.abc import Container, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """A line for each row, its cells as wide as their column: those of the columns `left`, by
    number, begin alike, all others end alike."""
    widths = _widths(rows)
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def ruled(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """The same below `titles` and a rule."""
    rule = ["-" * width for width in _widths([titles, *rows])]
    return aligned([titles, rule, *rows], left)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
