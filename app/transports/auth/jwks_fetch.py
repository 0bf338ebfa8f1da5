"""Fetching the key set: one GET of the configured address, and of no other.

HTTP/1.1 by h11 on asyncio's streams, which uvicorn brings along: no redirect, proxy, cookie or
compression that would have to be switched off, one deadline over name look-up, TLS and body, and
the body counted as it comes. TLS trusts what the system trusts (`SSL_CERT_FILE` adds to it).
"""

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import h11

from app import __version__, setting_names
from app.errors import ConfigurationError

__all__ = ["FETCH_SECONDS", "MAX_JWKS_BYTES", "FetchFailedError", "JwksAddress", "fetch"]

FETCH_SECONDS: Final = 3.0
"""For all of it."""
MAX_JWKS_BYTES: Final = 256 * 1024
_MAX_OVERHEAD_BYTES: Final = 64 * 1024
"""Head and chunk sizes beside the body."""
_MAX_HINTS: Final = 8
"""Answers before the answer (1xx)."""
_MAX_HEAD_BYTES: Final = 32 * 1024
_READ_BYTES: Final = 16 * 1024
"""Parsed in one turn of the loop."""


class FetchFailedError(Exception):
    """There is no key set to be had now; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class JwksAddress:
    """Where the key set is."""

    host: str
    port: int
    target: str
    """Path and query, as they are asked for."""
    tls: bool

    def __str__(self) -> str:
        """Return it as a log may have it: a query may hold a secret."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.target.split('?')[0]}"

    @property
    def authority(self) -> str:
        """Host and port, as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @classmethod
    def of(cls, url: str) -> "JwksAddress":
        """Return the address that a URL names.

        Raises:
            ConfigurationError: it is not https, nor http on a loopback address; or has a user, a
                password, a fragment or what no URL has.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong() from None
        tls, host = parts.scheme == "https", parts.hostname
        if (
            not host
            or not (tls or (parts.scheme == "http" and _is_loopback(host)))
            or "@" in parts.netloc
            or "#" in url
            or not (url.isascii() and url.isprintable() and " " not in url)
        ):
            raise _wrong()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(host, port or (443 if tls else 80), target, tls)


async def fetch(address: JwksAddress, deadline_seconds: float = FETCH_SECONDS) -> bytes:
    """Return what stands at an address, at most 256 KiB.

    Args:
        address: of the setting.
        deadline_seconds: for all of it.

    Raises:
        FetchFailedError: it cannot be reached, is too slow or too large, or answers with another
            status than 200; a redirect is not followed.
    """
    try:
        async with asyncio.timeout(deadline_seconds):
            # It reads the system's certificates: some 20 ms.
            tls = await asyncio.to_thread(ssl.create_default_context) if address.tls else None
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
            try:
                return await _asked(address, reader, writer)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise FetchFailedError(f"no answer within {deadline_seconds:g} s") from None
    except h11.RemoteProtocolError as error:
        raise FetchFailedError(f"the answer is not HTTP: {error}") from None
    except OSError as error:
        raise FetchFailedError(f"no connection: {error}") from None


async def _asked(
    address: JwksAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    headers = [
        ("Host", address.authority),
        ("Accept", "application/jwk-set+json, application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", f"widgetwire/{__version__}"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=address.target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    body, received, hints = bytearray(), 0, 0
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = await reader.read(_READ_BYTES)
                received += len(data)
                connection.receive_data(data)
            case h11.Response():
                _check_response(event)
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                return bytes(body)
            case h11.InformationalResponse() if hints < _MAX_HINTS:
                hints += 1
            case _:
                raise FetchFailedError("the answer has no end, or no beginning")
        if len(body) > MAX_JWKS_BYTES or received > MAX_JWKS_BYTES + _MAX_OVERHEAD_BYTES:
            raise FetchFailedError(f"the answer has more than {MAX_JWKS_BYTES} bytes")


def _check_response(response: h11.Response) -> None:
    status = response.status_code
    if 300 <= status < 400:
        raise FetchFailedError(f"the answer is a redirect ({status}), which is not followed")
    if status != HTTPStatus.OK:
        raise FetchFailedError(f"the answer has the status {status}; expected is 200")
    coding = dict(response.headers).get(b"content-encoding", b"identity")
    if coding.lower() != b"identity":
        raise FetchFailedError("the answer is compressed, which was not asked for")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong() -> ConfigurationError:
    return ConfigurationError(
        f"{setting_names.JWKS_URL}: expected https://… (or http://… on a loopback address), "
        "without user, password and fragment, got another text"
    )
