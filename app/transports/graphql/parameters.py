"""The parameters of a GraphQL request, read from a body, a query string or a frame.

Sizes are bounded before anything is decoded; every parameter's type is checked here, so
that nothing behind has to wonder.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from app.domain.json_bounds import decode_request
from app.domain.json_value import json_shown
from app.errors import BadUserInput, PayloadTooLarge, shown

__all__ = ["Parameters", "read_body"]

_MAX_QUERY_PARAMETERS: Final = 20


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a client asks to execute."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]
    traceparent: str | None = None
    """That of `extensions`: the client's span, on transports whose requests have no headers."""

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
                f"{what} is a list: batching is not offered, send one operation a request"
            )
        if not isinstance(decoded, Mapping):
            raise BadUserInput(f"{what} is {json_shown(decoded)}; allowed is a JSON object")
        query = decoded.get("query")
        if not isinstance(query, str):
            came = json_shown(query) if "query" in decoded else "missing"
            raise BadUserInput(f"query is {came}; allowed is a string with a GraphQL document")
        operation_name = decoded.get("operationName")
        if operation_name is not None and not isinstance(operation_name, str):
            raise BadUserInput(
                f"operationName is {json_shown(operation_name)}; allowed is a string or null"
            )
        variables = decoded.get("variables")
        if variables is not None and not isinstance(variables, Mapping):
            raise BadUserInput(
                f"variables is {json_shown(variables)}; allowed is an object or null"
            )
        extensions = decoded.get("extensions")
        if extensions is not None and not isinstance(extensions, Mapping):
            raise BadUserInput(
                f"extensions is {json_shown(extensions)}; allowed is an object or null"
            )
        traceparent = extensions.get("traceparent") if extensions else None
        return cls(
            query,
            operation_name,
            variables or {},
            traceparent if isinstance(traceparent, str) else None,
        )

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
                raise BadUserInput(f"the query string has {shown(name)} more than once")
            decoded[name] = value
        for name in ("variables", "extensions"):
            text = decoded.get(name)
            if isinstance(text, str):
                try:
                    decoded[name] = decode_request(text) if text else None
                except BadUserInput as error:
                    raise BadUserInput(f"{name}: {error.message}") from error
        return cls.of(decoded, "the query string")


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
            raise PayloadTooLarge(f"the body is longer than {max_bytes} bytes, the most allowed")
        parts.append(chunk)
    return b"".join(parts)
