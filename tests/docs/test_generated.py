"""The pages made from the code are what the code makes; the commands that pages give exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from edgeanim.cli.main import COMMANDS, cli
from tests.cli.called import edgeanim

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "edgeanim/models/shipped/MODEL_CARD.md",
    *sorted(DOCS.rglob("*.md")),
)


@pytest.mark.parametrize("page", ["commands", "boards", "fields"])
def test_the_generated_pages_are_current(page: str) -> None:
    # In a process of its own: click keeps how a command's help was called when it was first used.
    done = subprocess.run(
        [sys.executable, "-c", f"import generate; print(generate.{page}_page(), end='')"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(DOCS), str(ROOT)])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (DOCS / f"{page}.md").read_text() == done.stdout


def _printing(command: click.Command, name: str = "") -> Iterator[str]:
    """The names of the commands that have --json."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _printing(found, f"{name} {sub}".strip())
    elif any("--json" in parameter.opts for parameter in command.params):
        yield name


def test_the_page_of_fields_tells_of_every_command_that_prints_json() -> None:
    page = (DOCS / "fields.md").read_text()
    for name in _printing(cli):
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("command", ["backends", "boards", "motion list", "inspect"])
def test_what_is_printed_has_the_fields_of_the_page(
    command: str, tiny_onnx: Callable[..., Path]
) -> None:
    given = [tiny_onnx()] if command == "inspect" else []
    printed = json.loads(edgeanim(*command.split(), *given, "--json").stdout)
    page = (DOCS / "fields.md").read_text()
    kind = re.search(rf"^\| `{command}` \| .*?\[(\w+)\]", page, re.MULTILINE)
    assert kind is not None
    fields = re.search(rf"^## {kind[1]}\n.*?```\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert fields is not None
    names = {line.partition(":")[0] for line in fields[1].splitlines()}
    assert set(printed[0] if isinstance(printed, list) else printed) == names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _command_lines(page: Path) -> list[list[str]]:
    """The words of each `edgeanim` command line in a page's text and blocks."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    blocks = re.findall(r"^(?:.*&& )?edgeanim (\S[^\n#|]*)", text, re.MULTILINE)
    return [line.split() for line in [*blocks, *re.findall(r"`edgeanim (\w[^`]*)`", text)]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_pages_give_them(page: Path) -> None:
    context = click.Context(cli)
    for name, *words in _command_lines(page):
        assert name in COMMANDS, f"{page.name}: edgeanim {name}"
        command = cli.get_command(context, name)
        if isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words[0]]
        assert command is not None
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        for word in words:
            option = re.match(r"--?[a-z][\w-]*", word)
            assert option is None or option[0] in known, f"{page.name}: {name} {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_that_pages_name_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"python3? -m\s+((?:edgeanim|tests)\.[\w.]+)", text):
        place = ROOT / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), name
    for name in re.findall(r"python3? ((?:docs|scripts|tests)/[\w/]+\.py)", text):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_files_that_pages_name_exist(page: Path) -> None:
    places = (ROOT, ROOT / "edgeanim", ROOT / "edgeanim/models")
    for name in re.findall(r"`(\w+/[\w/]+\.py)`", page.read_text()):
        assert any((place / name).is_file() for place in places), name


def _anchors(page: Path) -> set[str]:
    """What a forge makes of a page's headings."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
        kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
        slug = kept.strip().replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{i}" if i else slug for slug, n in found.items() for i in range(n + 1)}


def test_anchors_are_headings() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text()):
            there = page.parent / target if target else page
            assert anchor in _anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_decision_is_listed_in_the_architecture() -> None:
    listed = (DOCS / "architecture.md").read_text()
    for decision in (DOCS / "decisions").glob("*.md"):
        assert f"decisions/{decision.name}" in listed
