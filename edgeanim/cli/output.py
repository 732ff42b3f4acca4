"""What commands print: warnings, text with a stranger's names in it, JSON."""

from __future__ import annotations

import click

from edgeanim.core.errors import printable


def warn_unless_held_out(held_out: bool) -> None:
    """Say on standard error that the frames judged on were not kept out of calibration."""
    if not held_out:
        from edgeanim.pipeline.frames.material import NOT_HELD_OUT

        click.echo(f"Warning: {NOT_HELD_OUT}", err=True)


def warn(note: str | None) -> None:
    """Say on standard error, last of all, what a result's note says, if it has one."""
    if note is not None:
        click.echo(f"Warning: {printable(note)}", err=True)


def say(*lines: str) -> None:
    """Print lines that hold a stranger's names, which could steer the terminal."""
    click.echo("\n".join(map(printable, lines)))


def print_json(value: object) -> None:
    """Print dataclasses and plain values as indented JSON, with a null for what is not known: a
    report is printed as it would be written. What could steer a terminal stays an escape."""
    import json

    from edgeanim.core.parsing import to_plain

    text = json.dumps(to_plain(value, nulls=True), indent=2, ensure_ascii=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))
