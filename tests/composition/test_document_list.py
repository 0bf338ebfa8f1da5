"""The file of known documents, in the forms that tools write."""

import json
from pathlib import Path

import pytest

from app.composition.document_list import read_document_list
from app.errors import ConfigurationError

TEXT = "query A { viewer { sub } }"


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "documents.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_an_object_of_id_to_text(tmp_path: Path) -> None:
    listed = {"a": TEXT, "sha256:" + "0" * 64: "{ é }"}
    assert read_document_list(written(tmp_path, listed)) == listed
    marked = b"\xef\xbb\xbf" + json.dumps(listed).encode()
    assert read_document_list(written(tmp_path, marked)) == listed


def test_the_manifest_of_apollo(tmp_path: Path) -> None:
    manifest = {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": "0a", "name": "A", "type": "query", "body": TEXT}],
    }
    assert read_document_list(written(tmp_path, manifest)) == {"0a": TEXT}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "expected JSON, got .*line 1"),
        (b"\xff", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        ([TEXT], "expected a JSON object of id to text, got a list of 1"),
        ({"a": 5}, "expected texts, got 5 for 'a'"),
        ({"a": {"body": TEXT}}, "expected texts, got an object for 'a'"),
        ({"": TEXT}, "expected ids of 1 to 256 characters, got one of 0"),
        ({"a" * 257: TEXT}, "got one of 257: 'aaa"),
        ({}, "expected at least one document, got none"),
        (b'{"a": "{ x }", "a": "{ y }"}', "'a' stands there twice"),
        (
            {"format": "apollo-persisted-query-manifest", "operations": {}},
            "list of objects with id and body .*, got an object",
        ),
        (
            {"format": "apollo-persisted-query-manifest", "operations": [{"body": TEXT}]},
            "list of objects with id and body",
        ),
        (
            {"format": "apollo-persisted-query-manifest", "operations": [{"id": "a"}]},
            "expected texts, got null for 'a'",
        ),
        (
            {
                "format": "apollo-persisted-query-manifest",
                "operations": [{"id": "a", "body": "{ x }"}, {"id": "a", "body": "{ y }"}],
            },
            "expected each id once, got 'a' stands there twice",
        ),
        (b" " * (8 * 1024 * 1024 + 1), "expected at most 8388608 bytes"),
    ],
)
def test_what_is_no_list_is_told(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^WIDGETWIRE_DOCUMENTS_FILE: .*{told}") as wrong:
        read_document_list(written(tmp_path, content))
    assert "\n" not in str(wrong.value)
    assert len(str(wrong.value)) < 500


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigurationError, match=r"expected a readable file, got .*: \w+"):
            read_document_list(path)
