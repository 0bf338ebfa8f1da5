"""The documents name files that exist, and GraphQL that the schema takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from graphql import OperationDefinitionNode, parse, validate

from app.schema import build_schema

ROOT: Final = Path(__file__).parents[1]

_NAMED: Final = re.compile(r"`([\w./-]+\.py|[\w./-]+/)`")
"""What stands for a file or folder: `app/wire/http.py`, `feed.py`, `deploy/`."""

_ROOTS: Final = (ROOT, ROOT / "app")
"""Paths are given from the top or from `app/`."""


def documents() -> Iterator[Path]:
    """Yield what a developer reads; the change log may name what is gone."""
    yield from (ROOT / "docs").rglob("*.md")
    yield from (path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md")


def files() -> set[str]:
    """Return the name of every Python file and folder of this repository."""
    rooms = [ROOT / name for name in ("app", "tests", "benchmarks", "migrations", "deploy")]
    return {path.name for room in rooms for path in room.rglob("*")}


def missing(document: Path, known: set[str]) -> list[str]:
    """Return what `document` names and nobody can open."""
    named = set(_NAMED.findall(document.read_text(encoding="utf-8")))
    return sorted(
        name
        for name in named
        if not any((root / name).exists() for root in _ROOTS)
        and ("/" in name.rstrip("/") or name.rstrip("/") not in known)
    )


def test_every_file_that_a_document_names_exists() -> None:
    known = files()
    gone = {
        str(document.relative_to(ROOT)): names
        for document in documents()
        if (names := missing(document, known))
    }
    assert not gone


_GRAPHQL: Final = re.compile(r"^```graphql[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", [*documents()], ids=lambda document: document.name)
def test_the_schema_takes_every_operation_that_a_document_shows(document: Path) -> None:
    schema = build_schema()._schema
    for text in _GRAPHQL.findall(document.read_text(encoding="utf-8")):
        for node in parse(text).definitions:
            assert isinstance(node, OperationDefinitionNode), text
        # Several without names stand beside each other.
        for one in re.split(r"\n(?=query|mutation|subscription|\{)", text):
            assert not validate(schema, parse(one)), one


@pytest.mark.parametrize("document", [*(ROOT / "docs").glob("*.md")], ids=lambda one: one.name)
def test_a_document_names_its_reader_and_task_first(document: Path) -> None:
    title, _, rest = document.read_text(encoding="utf-8").partition("\n")
    assert title.startswith("# ")
    assert re.match(r"\nFor [\w ]+(: |, )?", rest), "the first line is: For operators: …"
