"""Documents that a request names by an id instead of sending their text.

Listed ones are the operator's: read at start and kept for good. Registered ones are the clients':
whoever sends a text with its SHA-256 may send the hash alone from then on, in this process, for as
long as the cache of documents keeps it. Clients are ready for that: those that are told that a
hash is not known send the text again.

https://graphql.github.io/graphql-over-http/draft/#sec-Appendix-Persisted-Documents
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NoReturn

from app.engine.documents import Document, Documents, Operation
from app.engine.errors import RequestRefused
from app.errors import ConfigurationError, ErrorCode, cut, shown
from app.setting_names import DOCUMENTS_FILE

__all__ = ["MAX_ID", "SHA256_HEX", "KnownDocuments"]

MAX_ID: Final = 256
"""Characters of a document's id."""
SHA256_HEX: Final = re.compile("[0-9a-f]{64}")
"""As the specification writes it: in lower case."""
_PREFIX: Final = "sha256:"
_MAX_LISTED: Final = 2_000
"""Each takes some 5 ms to prepare, in every process that starts."""
_MAX_LISTED_BYTES: Final = 256 * 1024 * 1024
"""Of all listed documents, prepared; an ordinary one takes 10 to 50 KiB."""
_MAX_COMPLAINTS: Final = 10
_MAX_COMPLAINT: Final = 200
"""Characters of what is wrong with one."""


class KnownDocuments:
    """The documents of a process, by their texts and by their ids.

    Args:
        documents: those that clients send.
        listed: texts by their ids, for good. An id that is a SHA-256, with or without `sha256:`,
            is known in both forms; every text is known by its own SHA-256 besides.
        only_listed: refuse all other documents.

    Raises:
        ConfigurationError: a listed document cannot be used; the text names its id.
    """

    def __init__(
        self,
        documents: Documents,
        listed: Mapping[str, str] | None = None,
        *,
        only_listed: bool = False,
    ) -> None:
        self._documents = documents
        self._only_listed = only_listed
        self._by_text = _prepared(documents, listed or {})
        self._by_id = {
            alias: self._by_text[text]
            # What the list says of an id comes before what follows from the texts.
            for alias, text in [
                *((_id_of(text), text) for text in self._by_text),
                *((alias, text) for one, text in (listed or {}).items() for alias in _aliases(one)),
                *(listed or {}).items(),
            ]
        }

    def prepare(
        self,
        query: str | None,
        operation_name: str | None = None,
        document_id: str | None = None,
    ) -> Operation:
        """Return the operation that a request asks for.

        Args:
            query: the document's text; None: it is named by its id.
            operation_name: see `Document.operation`.
            document_id: `sha256:` and the hash of the text, or an id of the list. With a text it
                must be the id of that text, which is known by it afterwards.

        Raises:
            RequestRefused: there is no such document or operation, the id is another document's,
                the document is not listed where it must be, or see `Documents.read`.
        """
        if document_id is not None:
            document = self._identified(document_id, query)
        else:
            assert query is not None, "a request has a document or the id of one"
            if self._only_listed:
                document = self._by_text.get(query) or _refuse_unlisted()
            else:
                document = self._documents.document(query)
        return document.operation(operation_name)

    def _identified(self, document_id: str, query: str | None) -> Document:
        listed = self._by_id.get(document_id)
        if query is None:
            return listed or self._registered(document_id)
        if listed is not None and listed is self._by_text.get(query):
            return listed
        if self._only_listed and query not in self._by_text:
            _refuse_unlisted()
        if listed is not None or document_id != _id_of(query):
            raise RequestRefused.of(
                f"the document's id is {shown(document_id)}, which is not that of the query; it is "
                f"{_id_of(query)}",
                ErrorCode.BAD_USER_INPUT,
            )
        return self._documents.document(query, document_id)

    def _registered(self, document_id: str) -> Document:
        """Return what a client registered. Texts are kept by themselves: they have no prefix."""
        known = self._documents.kept(document_id) if document_id.startswith(_PREFIX) else None
        if known is None:
            # The text is what clients of automatic persisted queries look for.
            raise RequestRefused.of("PersistedQueryNotFound", ErrorCode.PERSISTED_QUERY_NOT_FOUND)
        return known


def _prepared(documents: Documents, listed: Mapping[str, str]) -> dict[str, Document]:
    if len(listed) > _MAX_LISTED:
        raise ConfigurationError(
            f"{DOCUMENTS_FILE}: expected at most {_MAX_LISTED} documents, got {len(listed)}"
        )
    prepared: dict[str, Document] = {}
    complaints: list[str] = []
    held_bytes = 0
    for document_id, text in listed.items():
        wrong = None
        if document_id.startswith(_PREFIX) and document_id != _id_of(text):
            wrong = f"the text's SHA-256 is another: {_id_of(text)}"
        elif text not in prepared:
            try:
                prepared[text] = documents.read(text)
            except RequestRefused as refused:
                wrong = str(refused)
            else:
                held_bytes += prepared[text].held_bytes
        if wrong is not None:
            complaints.append(
                f"{DOCUMENTS_FILE}: document {shown(document_id, 80)}: {cut(wrong, _MAX_COMPLAINT)}"
            )
            if len(complaints) == _MAX_COMPLAINTS:
                break
        if held_bytes > _MAX_LISTED_BYTES:
            raise ConfigurationError(
                f"{DOCUMENTS_FILE}: expected documents that take at most {_MAX_LISTED_BYTES} bytes "
                f"of memory, got more at document {shown(document_id, 80)}"
            )
    if complaints:
        raise ConfigurationError("\n".join(complaints))
    return prepared


def _id_of(text: str) -> str:
    # A lone surrogate can come in no request, and has no UTF-8: such a text is not GraphQL.
    return _PREFIX + sha256(text.encode(errors="replace")).hexdigest()


def _aliases(document_id: str) -> list[str]:
    digest = document_id.removeprefix(_PREFIX)
    return [digest, _PREFIX + digest] if SHA256_HEX.fullmatch(digest) else []


def _refuse_unlisted() -> NoReturn:
    raise RequestRefused.of(
        "the document is not known: this server runs only those that its operator has listed",
        ErrorCode.FORBIDDEN,
    )
