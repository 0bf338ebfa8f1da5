"""The file of known documents: a JSON object of id to text.

That is what Relay (`persistConfig.file`) and graphql-codegen (`persistedDocuments`) write. Apollo's
`generate-persisted-query-manifest` writes a manifest, which is read as it is too.
"""

import json
from pathlib import Path
from typing import Final

from app.domain.json_value import json_shown
from app.engine.known_documents import MAX_ID
from app.errors import ConfigurationError, shown
from app.setting_names import DOCUMENTS_FILE

__all__ = ["read_document_list"]

_MAX_FILE_BYTES: Final = 8 * 1024 * 1024
_MANIFEST: Final = "apollo-persisted-query-manifest"
"""What stands in the member `format` of Apollo's."""


def read_document_list(path: Path) -> dict[str, str]:
    """Return the texts of a file by their ids.

    Args:
        path: of a file of at most 8 MiB.

    Raises:
        ConfigurationError: it cannot be read, is too large or not such a list.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _wrong("a readable file", f"{path}: {error.strerror or error}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise _wrong(f"at most {_MAX_FILE_BYTES} bytes", f"more: {path}")
    try:
        # Some editors begin UTF-8 with a mark.
        listed = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _wrong("JSON", f"{path}: {error}") from None
    if not isinstance(listed, dict):
        raise _wrong("a JSON object of id to text", json_shown(listed))
    if listed.get("format") == _MANIFEST:
        listed = _operations(listed.get("operations"))
    texts: dict[str, str] = {}
    for document_id, text in listed.items():
        if not isinstance(text, str):
            raise _wrong("texts", f"{json_shown(text)} for {shown(document_id, 80)}")
        if not 1 <= len(document_id) <= MAX_ID:
            raise _wrong(
                f"ids of 1 to {MAX_ID} characters",
                f"one of {len(document_id)}: {shown(document_id, 80)}",
            )
        texts[document_id] = text
    if not texts:
        raise _wrong("at least one document", f"none in {path}")
    return texts


def _operations(operations: object) -> dict[str, object]:
    expected = "a list of objects with id and body in the manifest's operations"
    if not isinstance(operations, list):
        raise _wrong(expected, json_shown(operations))
    pairs = []
    for one in operations:
        document_id = one.get("id") if isinstance(one, dict) else None
        if not isinstance(document_id, str):
            raise _wrong(expected, json_shown(one if document_id is None else document_id))
        pairs.append((document_id, one.get("body")))
    try:
        return _without_repeats(pairs)
    except ValueError as error:
        raise _wrong("each id once", str(error)) from None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members and members[name] != value:
            raise ValueError(f"{shown(name, 80)} stands there twice")
        members[name] = value
    return members


def _wrong(expected: str, got: str) -> ConfigurationError:
    return ConfigurationError(f"{DOCUMENTS_FILE}: expected {expected}, got {got}")
