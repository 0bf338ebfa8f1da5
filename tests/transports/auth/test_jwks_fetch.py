"""Fetching a key set over a real connection: what is taken, and what is not followed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.errors import ConfigurationError
from app.transports.auth.jwks_fetch import (
    FETCH_SECONDS,
    MAX_JWKS_BYTES,
    FetchFailedError,
    JwksAddress,
    fetch,
)
from tests.transports.auth.issuer import Issuer, raw_answer

pytestmark = pytest.mark.anyio

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("url", "shown", "host_field", "target"),
    [
        ("https://issuer.example", "https://issuer.example/", "issuer.example", "/"),
        ("https://issuer.example:443/k", "https://issuer.example/k", "issuer.example", "/k"),
        ("https://a.example:8443/k?x=1", "https://a.example:8443/k", "a.example:8443", "/k?x=1"),
        ("http://localhost/k", "http://localhost/k", "localhost", "/k"),
        ("http://127.8.8.8:81/", "http://127.8.8.8:81/", "127.8.8.8:81", "/"),
        ("http://[::1]:9/k", "http://[::1]:9/k", "[::1]:9", "/k"),
        ("HTTPS://Issuer.example/K", "https://issuer.example/K", "issuer.example", "/K"),
    ],
)
def test_an_address_is_https_or_on_this_machine(
    url: str, shown: str, host_field: str, target: str
) -> None:
    address = JwksAddress.of(url)
    assert (str(address), address.authority, address.target) == (shown, host_field, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example/keys",
        "http://issuer.example/keys",
        "http://127.0.0.1.example/keys",
        "http://localhost.example/keys",
        "http://10.0.0.1/keys",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "https://user:hunter2@issuer.example/keys",
        "https://@issuer.example/keys",
        "https://issuer.example/keys#part",
        "https://issuer.example:port/keys",
        "https://issuer.example:99999/keys",
        "https://issuer.example/a b",
        "https://issuer.example/\r\nx: y",
        "https://issuer.exämple/",
        "https://[::1/keys",
    ],
)
def test_another_address_keeps_the_service_from_starting(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"WIDGETWIRE_JWKS_URL: expected https://") as told:
        JwksAddress.of(url)
    assert "hunter2" not in str(told.value)


async def test_it_asks_for_nothing_but_the_keys() -> None:
    async with Issuer() as issuer:
        issuer.answer = raw_answer(b'{"keys":[]}')
        assert await fetch(JwksAddress.of(issuer.url + "?tenant=1")) == b'{"keys":[]}'
        (request,) = issuer.requests
    line, *fields = request.lower().split("\r\n")
    assert line == "get /keys?tenant=1 http/1.1"
    names = {field.partition(":")[0] for field in fields if field}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_an_answer_in_chunks_and_after_a_hint_is_one_answer() -> None:
    async with Issuer() as issuer:
        issuer.answer = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert await fetch(JwksAddress.of(issuer.url)) == b"abcde"


async def _drips(writer: asyncio.StreamWriter) -> None:
    """A byte now and then keeps no deadline from coming."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def _floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 65_536)
        await writer.drain()


async def _hints_without_end(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" * 1000)
        await writer.drain()


async def _says_nothing(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


ELSEWHERE = "Location: http://127.0.0.1:1/elsewhere"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (raw_answer(b"", "302 Found", ELSEWHERE), r"a redirect \(302\), which is not followed"),
        (raw_answer(b"", "308 Permanent Redirect", ELSEWHERE), r"a redirect \(308\)"),
        (raw_answer(b"", "404 Not Found"), "the status 404; expected is 200"),
        (raw_answer(b"", "500 Oops"), "the status 500"),
        (raw_answer(b"", "204 No Content"), "the status 204"),
        (raw_answer(b"x", "200 OK", "Content-Encoding: gzip"), "compressed"),
        (raw_answer(b" " * (MAX_JWKS_BYTES + 1)), "more than 262144 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "not HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "not HTTP"),
        (b"", "not HTTP"),
        (_drips, "no answer within 0.1 s"),
        (_says_nothing, "no answer within 0.1 s"),
        (_floods, "more than 262144 bytes"),
        (_hints_without_end, "no end, or no beginning"),
    ],
)
async def test_another_answer_is_a_failure_that_says_why(answer: Answer, why: str) -> None:
    async with Issuer() as issuer:
        issuer.answer = answer
        patience = 0.1 if answer in (_drips, _says_nothing) else FETCH_SECONDS
        with pytest.raises(FetchFailedError, match=why):
            await fetch(JwksAddress.of(issuer.url), patience)
        assert len(issuer.requests) == 1


async def test_256_kib_are_taken() -> None:
    async with Issuer() as issuer:
        issuer.answer = raw_answer(b" " * MAX_JWKS_BYTES)
        assert len(await fetch(JwksAddress.of(issuer.url))) == MAX_JWKS_BYTES


async def test_nobody_there_is_a_failure() -> None:
    async with Issuer() as issuer:
        address = JwksAddress.of(issuer.url)
    with pytest.raises(FetchFailedError, match="no connection"):
        await fetch(address)
    assert FETCH_SECONDS == 3


def _certificate(directory: Path) -> Path:
    """Return a file with a certificate for 127.0.0.1 and its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    file = directory / "issuer.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return file


async def test_https_takes_a_certificate_that_the_system_trusts_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    issuer = Issuer()
    await issuer.come_up(tls)
    issuer.answer = raw_answer(b"{}")
    address = JwksAddress.of(issuer.url.replace("http:", "https:"))
    with pytest.raises(FetchFailedError, match="certificate"):
        await fetch(address)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert await fetch(address) == b"{}"
    with pytest.raises(FetchFailedError, match="certificate"):
        await fetch(replace(address, host="localhost"))  # another name than the certificate's
    await issuer.go_down()
