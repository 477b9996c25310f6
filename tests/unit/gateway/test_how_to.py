"""The how-to pages say what is true."""

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from second_opinion import AsyncClient, Client
from second_opinion.gateway.cli.filters import parse_filter
from second_opinion.gateway.cli.program import COMMANDS
from second_opinion.schemas.query import Filter

PAGES = sorted((Path(__file__).parents[3] / "docs" / "how-to").glob("*.md"))
TYPES = {"lang": "keyword", "year": "double", "date": "keyword", "doi": "keyword"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_use_what_is_there(page: Path) -> None:
    """Python examples compile, and every call on a client is one that the client has."""
    for example in blocks(page, "python"):
        compile(example, page.name, "exec", flags=0x2000)  # with await at the top level
        for name in re.findall(r"client\.(\w+)\(", example):
            assert hasattr(AsyncClient if "AsyncClient" in example else Client, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_exist(page: Path) -> None:
    """Every `opinion COMMAND` that a page shows is a command."""
    shown = re.findall(r"(?:^ {4}|`|\| )opinion ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(shown) <= set(COMMANDS)


def test_typed_filters_are_the_json_beside_them() -> None:
    """In the table of filters, what is typed and the JSON beside it are the same filter."""
    page = next(page for page in PAGES if page.name == "filter.md")
    rows = re.findall(r"^\| `([^`]+)` \| `(\{[^`]+\})` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 6
    for typed, written in rows:
        assert parse_filter(typed, TYPES) == TypeAdapter[Filter](Filter).validate_python(json.loads(written))
