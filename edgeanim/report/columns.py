"""Plain text in columns: every table that is printed is laid out here, with what could steer a
terminal or leave its line written out."""

from __future__ import annotations

from collections.abc import Container, Sequence

from edgeanim.core.errors import printable


def aligned(rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """A line for each row, its cells as wide as their column: those of the columns `left`, by
    number, begin alike, all others end alike."""
    widths = _widths(rows)
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(map(printable, row), widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def ruled(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """The same below `titles` and a rule."""
    rule = ["-" * width for width in _widths([titles, *rows])]
    return aligned([titles, rule, *rows], left)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)]
