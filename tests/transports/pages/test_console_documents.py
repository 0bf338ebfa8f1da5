"""The console's documents, as a server reads them from its scripts."""

import re

from graphql import parse, validate

from app.schema import build_schema
from app.transports.pages.console_documents import console_documents
from app.transports.pages.files import STATIC


def test_every_document_of_the_scripts_is_found_and_valid() -> None:
    scripts = [*(STATIC / "console").glob("*.js"), STATIC / "demo" / "graphql.js"]
    sources = {path.name: path.read_text() for path in scripts}
    found = console_documents()
    begun = [
        name
        for name, source in sources.items()
        for _ in re.findall(r"[`\"](?:query|mutation|subscription)\b\s*[({]", source)
    ]
    assert set(begun) == {"documents.js", "graphql.js"}
    assert len(begun) == len(found) == 22
    schema = build_schema()._schema
    for text in found.values():
        assert not validate(schema, parse(text)), text


def test_nothing_is_put_into_a_document() -> None:
    """Another text would have another hash, and be refused."""
    assert not [text for text in console_documents().values() if "${" in text]
