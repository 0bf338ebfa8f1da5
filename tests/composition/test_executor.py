"""What a process executes is what its settings say."""

import json
from pathlib import Path

import pytest

from app.composition.executor import executor_of
from app.config import Settings
from app.engine.errors import RequestRefused
from app.errors import ConfigurationError
from app.transports.pages.console_documents import console_documents

TEXT = "query A { viewer { sub } }"


def listed(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps({"a": text}))
    return path


def test_without_settings_any_document_is_executed() -> None:
    executor = executor_of(Settings())
    assert executor.prepare(TEXT).name == "A"
    assert executor.resolvers is not None


def test_known_documents_are_those_of_the_file(tmp_path: Path) -> None:
    executor = executor_of(Settings(documents="known", documents_file=listed(tmp_path)))
    assert executor.prepare(None, None, "a").name == "A"
    with pytest.raises(RequestRefused, match="only documents listed by the server's operator"):
        executor.prepare("{ __typename }")


def test_the_consoles_documents_are_known_where_it_is_served(tmp_path: Path) -> None:
    text = next(iter(console_documents().values()))
    known = {"documents": "known", "documents_file": listed(tmp_path)}
    assert executor_of(Settings(**known)).prepare(text)
    with pytest.raises(RequestRefused, match="only documents listed by the server's operator"):
        executor_of(Settings(**known, console=False)).prepare(text)


def test_listed_documents_have_the_bounds_of_all_documents(tmp_path: Path) -> None:
    deep = listed(tmp_path, "{ __schema { types { name } } }")
    with pytest.raises(ConfigurationError, match=r"document 'a': .*deep"):
        executor_of(Settings(documents_file=deep, max_query_depth=2))
