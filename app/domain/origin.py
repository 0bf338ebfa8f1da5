"""Origins of web pages (RFC 6454), and the lists of them that an operator allows."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from app.errors import shown

__all__ = ["ORIGIN_FORMS", "Origin", "OriginList", "parse_origin"]

ORIGIN_FORMS: Final = (
    "* or a comma-separated list of origins such as https://example.com, https://*.example.com "
    "or null"
)
"""What an operator may write."""

_ORIGIN: Final = re.compile(
    r"(https?)://([a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?", re.ASCII
)
_LABEL: Final = r"[a-z0-9_][a-z0-9_-]{0,62}"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_WILDCARD_BASE: Final = re.compile(
    # At least two labels, or every page of a top-level domain could connect. A last label that
    # begins with a digit makes an address: no subdomains.
    rf"(?:{_LABEL}\.)+(?!\d)[a-z][a-z0-9-]{{0,62}}|localhost",
    re.ASCII,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a page comes from."""

    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """Return the origin, in lower case and with its port; None for `null` and what is none."""
    # `lower` makes ASCII of a letter that is none: the Kelvin sign.
    matched = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if matched is None:
        return None
    scheme, host, digits = matched.groups()
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    return Origin(scheme, host, port) if port <= 65535 else None


class OriginList:
    """The origins that are allowed.

    Args:
        entries: each `https://example.com[:port]`; `https://*.example.com[:port]` for all
            subdomains, of one or more labels, but not the domain itself; `null` for pages
            without an origin (sandboxed frames, files); or `*` for every one.

    Raises:
        ValueError: an entry has none of these forms.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.any = False
        """Every origin is allowed."""
        self._null = False
        self._origins: set[Origin] = set()
        self._bases: set[Origin] = set()
        for entry in entries:
            if entry == "*":
                self.any = True
            elif entry == "null":
                self._null = True
            else:
                self._add(entry)

    def __contains__(self, origin: str) -> bool:
        """Return whether the value of an `Origin` header is allowed."""
        if self.any:
            return True
        if origin == "null":
            return self._null
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        return parsed in self._origins or self._is_subdomain(parsed)

    def _add(self, entry: str) -> None:
        scheme, wildcard, rest = entry.partition("://*.")
        parsed = parse_origin(f"{scheme}://{rest}" if wildcard else entry)
        if parsed is None or (wildcard and not _WILDCARD_BASE.fullmatch(parsed.host)):
            raise ValueError(f"expected {ORIGIN_FORMS}, got {shown(entry)}")
        (self._bases if wildcard else self._origins).add(parsed)

    def _is_subdomain(self, origin: Origin) -> bool:
        if not self._bases or not _NAME.fullmatch(origin.host):
            return False
        # Whole labels are taken off, so that evilexample.com is none of example.com.
        _, dot, rest = origin.host.partition(".")
        while dot:
            if origin._replace(host=rest) in self._bases:
                return True
            _, dot, rest = rest.partition(".")
        return False
