"""The pages made from the code are what the code makes; the figures' commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_current(generate: ModuleType) -> None:
    assert (DOCS / "commands.md").read_text() == generate.commands_page()


def test_the_table_of_boards_is_current(generate: ModuleType) -> None:
    assert (DOCS / "boards.md").read_text() == generate.boards_page()


@pytest.mark.parametrize("page", ["../README.md", *(p.name for p in DOCS.glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((DOCS / page).parent / target).exists(), f"{page} links to {target}"


def test_every_decision_is_listed_in_the_architecture() -> None:
    listed = (DOCS / "architecture.md").read_text()
    for decision in (DOCS / "decisions").glob("*.md"):
        assert f"decisions/{decision.name}" in listed
