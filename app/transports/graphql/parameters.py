"""The parameters of a GraphQL request, read from a body, a query string or a frame.

Sizes are bounded before anything is decoded; every parameter's type is checked here, so
that nothing behind has to wonder.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from app.domain.json_bounds import decode_request
from app.domain.json_value import json_shown
from app.engine.known_documents import MAX_ID, SHA256_HEX
from app.errors import BadUserInput, PayloadTooLarge, shown

__all__ = ["Parameters", "read_body"]

_MAX_QUERY_PARAMETERS: Final = 20
_PERSISTED_VERSION: Final = 1


class Parameters(NamedTuple):
    """What a client asks to execute."""

    query: str | None
    """None: there is a `document_id`."""
    operation_name: str | None
    variables: Mapping[str, Any]
    document_id: str | None = None
    traceparent: str | None = None
    """That of `extensions`: the client's span, on transports whose requests have no headers."""

    @property
    def asked(self) -> tuple[str | None, str | None, str | None]:
        """Which operation is asked for, as `Executor.prepare` takes it."""
        return self.query, self.operation_name, self.document_id

    @classmethod
    def of(cls, decoded: object, what: str = "the request") -> "Parameters":
        """Return the parameters of a decoded JSON object; unknown members are ignored.

        Args:
            decoded: as `decode_request` gives it.
            what: how an error calls it.

        Raises:
            BadUserInput: a parameter is missing or of the wrong type.
        """
        if isinstance(decoded, list):
            raise BadUserInput(
                f"{what} is a list: batching is not supported, send one operation per request"
            )
        if not isinstance(decoded, Mapping):
            raise BadUserInput(f"{what} is {json_shown(decoded)}; expected a JSON object")
        operation_name = decoded.get("operationName")
        if operation_name is not None and not isinstance(operation_name, str):
            raise BadUserInput(
                f"operationName is {json_shown(operation_name)}; expected a string or null"
            )
        variables = decoded.get("variables")
        if variables is not None and not isinstance(variables, Mapping):
            raise BadUserInput(f"variables is {json_shown(variables)}; expected an object or null")
        extensions = decoded.get("extensions")
        if extensions is not None and not isinstance(extensions, Mapping):
            raise BadUserInput(
                f"extensions is {json_shown(extensions)}; expected an object or null"
            )
        document_id = traceparent = None
        if extensions or "documentId" in decoded:
            document_id = _document_id(decoded, extensions)
            traceparent = _traceparent(extensions)
        query = decoded.get("query")
        if document_id is not None and not query and isinstance(query, str | None):
            query = None  # Clients whose types demand a query send an empty one.
        elif not isinstance(query, str):
            came = json_shown(query) if "query" in decoded else "missing"
            raise BadUserInput(
                f"query is {came}; expected a string with a GraphQL document, or send a "
                "documentId instead"
            )
        return cls(query, operation_name, variables or {}, document_id, traceparent)

    @classmethod
    def of_body(cls, body: bytes) -> "Parameters":
        """Return the parameters of a POST's body.

        Raises:
            BadUserInput: it is not strict JSON in UTF-8, beyond the bounds of a request's
                JSON, or not a request.
        """
        return cls.of(decode_request(body), "the body")

    @classmethod
    def of_query_string(cls, query_string: bytes) -> "Parameters":
        """Return the parameters of a GET's query string.

        Raises:
            BadUserInput: it is not UTF-8, has too many or repeated parameters, or `variables`
                or `extensions` are not JSON or beyond its bounds.
        """
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_QUERY_PARAMETERS,
            )
        except UnicodeError as error:
            raise BadUserInput("the query string is not UTF-8") from error
        except ValueError as error:
            raise BadUserInput(
                f"the query string has more than {_MAX_QUERY_PARAMETERS} parameters"
            ) from error
        decoded: dict[str, object] = {}
        for name, value in pairs:
            if name in decoded:
                raise BadUserInput(f"the query string repeats {shown(name)}")
            decoded[name] = value
        for name in ("variables", "extensions"):
            text = decoded.get(name)
            if isinstance(text, str):
                try:
                    decoded[name] = decode_request(text) if text else None
                except BadUserInput as error:
                    raise BadUserInput(f"{name}: {error.message}") from error
        return cls.of(decoded, "the query string")


def _document_id(
    decoded: Mapping[str, object], extensions: Mapping[str, object] | None
) -> str | None:
    """Return the id of the document that is asked for, in either form; None: there is none."""
    document_id = decoded.get("documentId")
    if document_id is not None:
        document_id = _id(document_id, "documentId")
    persisted = extensions.get("persistedQuery") if extensions else None
    if persisted is None:
        return document_id
    # https://www.apollographql.com/docs/apollo-server/performance/apq
    what = "extensions.persistedQuery"
    if not isinstance(persisted, Mapping):
        raise BadUserInput(f"{what} is {json_shown(persisted)}; expected an object")
    version = persisted.get("version")
    if version != _PERSISTED_VERSION or isinstance(version, bool):
        raise BadUserInput(f"{what}.version is {json_shown(version)}; expected 1")
    digest = _id(persisted.get("sha256Hash"), f"{what}.sha256Hash")
    # A client may have made the ids of a list itself: those need not be hashes.
    named = f"sha256:{digest}" if SHA256_HEX.fullmatch(digest) else digest
    if document_id not in (None, named, digest):
        raise BadUserInput(f"documentId and {what} name different documents; send one of them")
    return named


def _traceparent(extensions: Mapping[str, object] | None) -> str | None:
    traceparent = extensions.get("traceparent") if extensions else None
    return traceparent if isinstance(traceparent, str) else None


def _id(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise BadUserInput(f"{what} is {json_shown(value)}; expected a string")
    if not 1 <= len(value) <= MAX_ID:
        raise BadUserInput(f"{what} has {len(value)} characters; allowed: 1 to {MAX_ID}")
    return value


async def read_body(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """Return a request's body, counted as it comes: a declared length proves nothing.

    Raises:
        PayloadTooLarge: it is longer; the rest is not read.
    """
    parts: list[bytes] = []
    length = 0
    async for chunk in chunks:
        length += len(chunk)
        if length > max_bytes:
            raise PayloadTooLarge(f"the body is larger than {max_bytes} bytes, which is the limit")
        parts.append(chunk)
    return b"".join(parts)
