"""A self-contained page: its head, its style and its tables. No script, nothing fetched."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from html import escape
from importlib import resources

from edgeanim.core.errors import printable

# A page may load nothing at all; its own style and data: pictures are the exception.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
TEXT = ' class="text"'
"""The attribute of a cell that holds words; figures, which have none, are aligned to the right."""


def page(title: str, body: Iterable[str]) -> str:
    """The whole document; `title` is plain text, each part of `body` is HTML. Control characters,
    which HTML does not allow, are written out as in a terminal."""
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    document = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · edgeanim</title>\n<style>\n{css}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )
    return "\n".join(map(printable, document.split("\n")))


def html_table(
    titles: Sequence[str], rows: Iterable[str], *, words: Container[int], caption: str = ""
) -> str:
    """A table of `rows`, which are HTML, below `titles` and a `caption`, which are plain text;
    `words` are the numbers of the columns that hold no figures."""
    head = "".join(
        f'<th scope="col"{TEXT if index in words else ""}>{escape(title)}</th>'
        for index, title in enumerate(titles)
    )
    above = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table>\n{above}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
