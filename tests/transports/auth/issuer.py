"""An issuer of tokens: its keys, and the server that publishes them, on a real port."""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

__all__ = ["EC_KEY", "ED_KEY", "RSA_KEY", "Issuer", "jwk", "raw_answer", "token"]

RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
ED_KEY: Final = ed25519.Ed25519PrivateKey.generate()
_READERS: Final[dict[str, Any]] = {
    "RS256": RSAAlgorithm,
    "ES256": ECAlgorithm,
    "EdDSA": OKPAlgorithm,
}


def jwk(private: Any, **fields: Any) -> dict[str, Any]:
    """Return a private key's public one as a JWK with these fields; None leaves one out."""
    made = dict(_READERS[_algorithm(private)].to_jwk(private.public_key(), as_dict=True))
    made.pop("key_ops", None)
    return {name: value for name, value in (made | fields).items() if value is not None}


def token(private: Any, kid: str | None = None, **claims: Any) -> str:
    """Return a token that a private key has signed."""
    headers = None if kid is None else {"kid": kid}
    signed = {"sub": "u1"} | claims
    return jwt.encode(signed, private, algorithm=_algorithm(private), headers=headers)


def raw_answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """Return an HTTP answer, byte by byte."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Issuer:
    """A server on a free port that answers each request with `answer`. For `async with`.

    Attributes:
        answer: the bytes of the next answers, or what writes them.
        requests: what came, each from the request line to the empty line.
    """

    def __init__(self) -> None:
        self.answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] = b""
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self._asked = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/keys"

    def publish(self, *keys: dict[str, Any]) -> None:
        """Answer with these keys from now on."""
        self.answer = raw_answer(json.dumps({"keys": keys}).encode())

    async def asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(10), self._asked:
            await self._asked.wait_for(lambda: len(self.requests) >= times)

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_down()

    async def come_up(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, on the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            async with self._asked:
                self.requests.append(request)
                self._asked.notify_all()
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it was given up
        finally:
            writer.close()


def _algorithm(private: Any) -> str:
    match private:
        case rsa.RSAPrivateKey():
            return "RS256"
        case ec.EllipticCurvePrivateKey():
            return "ES256"
    return "EdDSA"


def number(value: int) -> str:
    """Return a number as a JWK writes it."""
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
