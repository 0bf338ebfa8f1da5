"""Bad tokens, one by one, on every transport: each is refused, with the code that says what to do.

The attacks of RFC 8725 and of those who have read it.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Final

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.wire.close_codes import CloseCode
from tests.conftest import cloned
from tests.hosted import hosted
from tests.transports.asking import HTTP, TRANSPORTS, Ask, Refusal, asking
from tests.transports.auth.issuer import EC_KEY, ED_KEY, RSA_KEY, Issuer, jwk, token
from tests.transports.auth.signing import SECRET, pem

pytestmark = pytest.mark.anyio

AUDIENCE: Final = "widgets"
ISSUER: Final = "https://issuer.example"
CLAIMS: Final[dict[str, Any]] = {"sub": "u1", "aud": AUDIENCE, "iss": ISSUER}
STRANGER: Final = rsa.generate_private_key(65537, 2048)


class Trap:
    """Where tokens say that their keys are: nobody ever comes."""

    def __init__(self) -> None:
        self.visits = 0
        self.url = ""

    async def visit(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


class Service:
    """A service with all three kinds of keys, and what is around it."""

    def __init__(self, place: str, issuer: Issuer, trap: Trap) -> None:
        self.place = place
        self.issuer = issuer
        self.trap = trap


@pytest.fixture(scope="module")
async def service(postgres: Any, template_database: str) -> AsyncIterator[Service]:
    trap = Trap()
    listening = await asyncio.start_server(trap.visit, "127.0.0.1", 0)
    trap.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys"
    for url in cloned(postgres, template_database):
        async with Issuer() as issuer, listening:
            issuer.publish(jwk(RSA_KEY, kid="rsa", x5u=trap.url), jwk(ED_KEY, kid="ed"))
            async with (
                hosted(
                    url,
                    jwt_secret=SECRET,
                    jwt_public_key=pem(EC_KEY),
                    jwks_url=issuer.url,
                    jwt_audience=AUDIENCE,
                    jwt_issuer=ISSUER,
                    allowed_origins=("https://video.example",),
                ) as place,
                asking(place),
            ):
                yield Service(place, issuer, trap)


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(header: object, claims: object = CLAIMS, key: bytes = SECRET.encode()) -> str:
    """Return a token with any header, signed by HMAC."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), 'sha256'))}"


def hs256(claims: object = CLAIMS, **header: Any) -> str:
    return made({"alg": "HS256"} | header, claims)


def with_claims(**claims: Any) -> str:
    return hs256({name: one for name, one in (CLAIMS | claims).items() if one is not None})


@cache
def bad_tokens(trap: str) -> dict[str, str]:
    """Return the tokens by what is wrong with them."""
    good, now = hs256(), time.time()
    header, claims, signature = good.split(".")
    deep = b'{"sub":"u1","aud":"widgets","x":' + b"[" * 900 + b"]" * 900 + b"}"
    public = pem(EC_KEY).encode()
    modulus = RSA_KEY.public_key().public_numbers().n.to_bytes(256, "big")
    rs256 = token(RSA_KEY, "rsa", **CLAIMS)
    stolen = rs256.rpartition(".")[2]
    sha384 = hmac.digest(SECRET.encode(), f"{header}.{claims}".encode(), hashlib.sha384)
    return {
        # The algorithm.
        "none": f"{encoded({'alg': 'none'})}.{claims}.",
        "None": f"{encoded({'alg': 'None'})}.{claims}.",
        "none, signed": made({"alg": "none"}),
        "no algorithm": made({}),
        "algorithm null": made({"alg": None}),
        "algorithm a list": made({"alg": ["HS256"]}),
        "algorithm in lower case": made({"alg": "hs256"}),
        "another algorithm": made({"alg": "HS512"}),
        "another signature": f"{header}.{claims}.{encoded(sha384)}",
        "HS256 with the public key": made({"alg": "HS256"}, key=public),
        "HS256 with the public key, stripped": made({"alg": "HS256"}, key=public.strip()),
        "HS256 with the issuer's key": made({"alg": "HS256", "kid": "rsa"}, key=modulus),
        "RS256 that is HMAC": made({"alg": "RS256", "kid": "rsa"}),
        "ES256 that is HMAC": made({"alg": "ES256"}),
        "EdDSA by the name of an RSA key": token(ED_KEY, "rsa", **CLAIMS),
        # The signature.
        "empty signature": f"{header}.{claims}.",
        "no signature": f"{header}.{claims}",
        "signature of zeros": f"{encoded({'alg': 'ES256'})}.{claims}.{encoded(bytes(64))}",
        "signature cut": good[:-4],
        "signature of another token": f"{rs256.partition('.')[0]}.{encoded({'sub': 'x'})}.{stolen}",
        "claims exchanged": f"{header}.{encoded(CLAIMS | {'sub': 'admin'})}.{signature}",
        "the other secret": made({"alg": "HS256"}, key=b"another secret of thirty-two bytes!"),
        "a stranger's key": token(STRANGER, "rsa", **CLAIMS),
        "a stranger's key without a name": token(STRANGER, **CLAIMS),
        # The key's name.
        "kid unknown": token(STRANGER, "unknown", **CLAIMS),
        "kid a path": token(STRANGER, "../../../../dev/null", **CLAIMS),
        "kid an address": token(STRANGER, trap, **CLAIMS),
        "kid SQL": token(STRANGER, "x' UNION SELECT 'key' --", **CLAIMS),
        "kid a command": token(STRANGER, "rsa;sleep 9", **CLAIMS),
        "kid empty": token(STRANGER, "", **CLAIMS),
        "kid very long": token(STRANGER, "k" * 4000, **CLAIMS),
        "kid a number": made({"alg": "HS256", "kid": 7}),
        "kid a list": made({"alg": "RS256", "kid": ["rsa"]}),
        "kid an object": made({"alg": "RS256", "kid": {"rsa": 1}}),
        "kid null": made({"alg": "RS256", "kid": None}),
        # Keys that the token brings.
        "jku": _brings(jku=trap),
        "x5u": _brings(x5u=trap),
        "jwk": _brings(jwk=jwk(STRANGER)),
        "x5c": _brings(x5c=[base64.b64encode(b"certificate").decode()]),
        "jku and jwk": _brings(jku=trap, jwk=jwk(STRANGER), kid=trap),
        # Extensions.
        "crit": hs256(crit=["exp"]),
        "crit of something new": hs256(crit=["new"], new=1),
        "crit empty": hs256(crit=[]),
        "payload not encoded": made({"alg": "HS256", "b64": False, "crit": ["b64"]}),
        "header a list": f"{encoded([1])}.{claims}.{signature}",
        "header a string": f"{encoded('HS256')}.{claims}.{signature}",
        "header deep": f"{encoded(b'[' * 900 + b']' * 900)}.{claims}.{signature}",
        # Time.
        "expired": with_claims(exp=now - 61),
        "expired long ago": with_claims(exp=1),
        "expired in a negative year": with_claims(exp=-1e11),
        "not yet valid": with_claims(nbf=now + 90),
        "exp a text": with_claims(exp="tomorrow"),
        "exp a boolean": with_claims(exp=True),
        "exp infinite": hs256(b'{"sub":"u1","aud":"widgets","exp":1e999}'),
        "exp huge": hs256(b'{"sub":"u1","aud":"widgets","exp":1' + b"0" * 400 + b"}"),
        "nbf a list": with_claims(nbf=[]),
        # Whose it is, and for whom.
        "another audience": with_claims(aud="another"),
        "no audience": with_claims(aud=None),
        "audience not a text": with_claims(aud={"widgets": 1}),
        "audiences not texts": with_claims(aud=["widgets", 7]),
        "another issuer": with_claims(iss="https://issuer.example/"),
        "no issuer": with_claims(iss=None),
        "issuer a list": with_claims(iss=[ISSUER]),
        # Claims.
        "sub a number": with_claims(sub=7),
        "sub empty": with_claims(sub=""),
        "sub huge": with_claims(sub="x" * 300),
        "username a list": with_claims(username=["admin"]),
        "username with a line break": with_claims(username="a\nb"),
        "projects a text": with_claims(projects="p"),
        "projects not texts": with_claims(projects=[None]),
        "permissions a text": with_claims(permissions="admin"),
        "permissions unknown": with_claims(permissions=["root"]),
        "claims 900 deep": hs256(deep),
        "claims a list": hs256([]),
        "claims a text": hs256("sub"),
        "claims no JSON": hs256(b"{"),
        "claims no UTF-8": hs256(b'{"sub":"\xff"}'),
        "huge": with_claims(x="x" * 7000),
        # No token at all.
        "rubbish": "rubbish",
        "dots": "...",
        "five parts": f"{header}.a.b.c.{signature}",
        "not base64": f"{header}.!!!!.{signature}",
        "a null byte": f"{encoded({'alg': 'HS256'})}\\u0000.{claims}.{signature}",
    }


def _brings(**fields: Any) -> str:
    """Return a token of a stranger whose header says where its key is, or what it is."""
    return pyjwt.encode(CLAIMS, STRANGER, "RS256", {"kid": "rsa"} | fields)


EXPIRED: Final = {"expired", "expired long ago", "expired in a negative year"}
"""Good once: the client is to come back with a new one."""


@pytest.mark.parametrize("ask", TRANSPORTS, ids=lambda ask: ask.__name__)
async def test_each_is_refused(service: Service, ask: Ask) -> None:
    for name, bad in bad_tokens(service.trap.url).items():
        refusal = await ask(service.place, bad)
        assert isinstance(refusal, Refusal), name
        if ask in HTTP:
            expected = 401
        else:
            expected = CloseCode.FORBIDDEN if name in EXPIRED else CloseCode.UNAUTHORIZED
        assert (refusal.outcome, name) == (expected, name)
        # A close frame alone has no room for a code.
        assert refusal.code in {"UNAUTHENTICATED", ""}, name
        assert "token" in refusal.message, name
        assert bad[:60] not in refusal.message, name
        assert "Traceback" not in refusal.message, name
    assert service.trap.visits == 0
    assert len(service.issuer.requests) <= 2, "an unknown key is asked for once a minute"


@pytest.mark.parametrize("ask", TRANSPORTS, ids=lambda ask: ask.__name__)
async def test_good_ones_are_taken(service: Service, ask: Ask) -> None:
    """Else the table would prove nothing."""
    now = time.time()
    for name, good in {
        "of the secret": hs256(),
        "of the public key": token(EC_KEY, **CLAIMS),
        "of an issuer's key": token(RSA_KEY, "rsa", **CLAIMS),
        "of another one": token(ED_KEY, "ed", **CLAIMS),
        "of a key that it does not name": token(ED_KEY, **CLAIMS),
        "with fields that mean nothing": hs256(jku=service.trap.url, typ="at+jwt", x=1),
        "that has just expired": with_claims(exp=now - 30),
        "that begins to be valid": with_claims(nbf=now + 30),
        "for several": with_claims(aud=["another", AUDIENCE]),
        "without a name": with_claims(sub=None),
    }.items():
        seen = await ask(service.place, good)
        assert seen in {"u1", "it listens", "None"}, name
    assert service.trap.visits == 0
