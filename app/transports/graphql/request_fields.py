"""What the header fields of a GraphQL request say of its body and of the answer to it."""

from starlette.datastructures import Headers

from app.errors import PayloadTooLarge, shown

__all__ = ["accepted", "check_declared_length", "unsupported_content"]


def accepted(headers: Headers) -> str | None:
    """Return the Accept header; None: there is none."""
    # RFC 9110, 5.3: several fields of one name are one list.
    values = headers.getlist("accept")
    return ", ".join(values) if values else None


def unsupported_content(headers: Headers) -> str | None:
    """Return why the body's type is not read; None: it is."""
    content_type = headers.get("content-type")
    if content_type is None:
        return "the Content-Type header is missing; expected application/json"
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        return f"the Content-Type is {shown(content_type)}; expected application/json"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            return f"the Content-Type is {shown(content_type)}; the only supported charset is utf-8"
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        return f"the Content-Encoding is {shown(encoding)}; send the body uncompressed"
    return None


def check_declared_length(headers: Headers, max_bytes: int) -> None:
    """Refuse a body by its declared length, before a byte of it is asked for.

    RFC 9110, 10.1.1: whoever sent `Expect: 100-continue` gets "an immediate response with a
    final status code, if that status can be determined by examining just the method, target
    URI, and header section".
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise PayloadTooLarge(
            f"the body has {int(declared)} bytes; at most {max_bytes} are allowed"
        )
