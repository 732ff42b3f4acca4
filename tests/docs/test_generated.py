"""The pages made from the code are what the code makes; the figures' commands exist."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_current() -> None:
    # In a process of its own: click keeps how a command's help was called when it was first used.
    done = subprocess.run(
        [sys.executable, "-c", "import generate; print(generate.commands_page(), end='')"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(DOCS), str(ROOT)])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (DOCS / "commands.md").read_text() == done.stdout


def test_the_table_of_boards_is_current(generate: ModuleType) -> None:
    assert (DOCS / "boards.md").read_text() == generate.boards_page()


@pytest.mark.parametrize("page", ["../README.md", *(p.name for p in DOCS.glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((DOCS / page).parent / target).exists(), f"{page} links to {target}"


def _anchors(page: Path) -> set[str]:
    """What a forge makes of a page's headings."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
        kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
        slug = kept.strip().replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{i}" if i else slug for slug, n in found.items() for i in range(n + 1)}


def test_anchors_are_headings() -> None:
    pages = [ROOT / "README.md", ROOT / "edgeanim/models/shipped/MODEL_CARD.md"]
    for page in (*pages, *DOCS.rglob("*.md")):
        for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text()):
            there = page.parent / target if target else page
            assert anchor in _anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_decision_is_listed_in_the_architecture() -> None:
    listed = (DOCS / "architecture.md").read_text()
    for decision in (DOCS / "decisions").glob("*.md"):
        assert f"decisions/{decision.name}" in listed
