"""Tokens: what is granted, what is refused, and that nothing bad is ever anonymous."""

import base64
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from app.domain.viewer import DEFAULT_PERMISSIONS, Permission
from app.errors import ConfigurationError, TokenExpired, Unauthenticated, WidgetwireError
from app.transports.auth import (
    Authenticator,
    VerificationKey,
    bearer_token,
    connection_init_token,
)

SECRET = "a secret of thirty-two bytes, at least"
KEY = VerificationKey.from_secret(SECRET)


def _signed(claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode(claims, SECRET, algorithm="HS256", headers=header or None)


def _pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def _viewer(claims: dict[str, Any]) -> Any:
    return Authenticator(KEY).viewer(_signed(claims))


def test_a_bare_token_grants_the_first_three_permissions_in_every_project() -> None:
    viewer = _viewer({"sub": "u1"})
    assert viewer.username == viewer.subject == "u1"
    assert viewer.permissions == DEFAULT_PERMISSIONS
    assert viewer.projects is None
    assert viewer.expires_at is None
    assert not viewer.anonymous


@pytest.mark.parametrize(
    ("claims", "username"),
    [
        ({"sub": "s", "referenceName": "r", "preferred_username": "p", "username": "u"}, "u"),
        ({"sub": "s", "referenceName": "r", "preferred_username": "p"}, "p"),
        ({"sub": "s", "referenceName": "r"}, "r"),
        ({"sub": "s", "username": None}, "s"),
        ({}, None),
    ],
)
def test_the_username_comes_from_the_first_claim_there_is(
    claims: dict[str, Any], username: str | None
) -> None:
    assert _viewer(claims).username == username


def test_projects_and_permissions_are_what_the_token_lists() -> None:
    viewer = _viewer({"sub": "s", "projects": ["P1"], "permissions": ["search", "admin"]})
    assert viewer.projects == {"P1"}
    assert viewer.permissions == {Permission.SEARCH, Permission.ADMIN}
    nothing = _viewer({"sub": "s", "projects": [], "permissions": []})
    assert nothing.projects == nothing.permissions == frozenset()


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", 7),
        ("sub", ""),
        ("username", ["a"]),
        ("username", "a\nb"),
        ("username", "x" * 257),
        ("referenceName", {}),
        ("projects", "P1"),
        ("projects", None),
        ("projects", [1]),
        ("projects", ["p"] * 2 + [str(n) for n in range(1000)]),
        ("permissions", "search"),
        ("permissions", ["everything"]),
        ("permissions", [["search"]]),
        ("exp", "tomorrow"),
        ("exp", True),
        ("exp", None),
        ("exp", 1e300),
        ("exp", float("inf")),
        ("exp", 10**400),
        ("nbf", "now"),
        ("nbf", []),
    ],
)
def test_a_claim_of_the_wrong_type_is_an_error_that_names_it(claim: str, value: object) -> None:
    payload = json.dumps({"sub": "s"} | {claim: value}).encode()
    token = jwt.api_jws.encode(payload, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated, match=f"claim '{claim}'"):
        Authenticator(KEY, max_token_bytes=65536).viewer(token)


def test_an_expired_token_says_so_and_a_cached_one_expires_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    with pytest.raises(TokenExpired):
        _viewer({"sub": "s", "exp": now - 6})
    authenticator = Authenticator(KEY)
    token = _signed({"sub": "s", "exp": int(now) + 60})
    assert authenticator.viewer(token) is authenticator.viewer(token)
    monkeypatch.setattr(time, "time", lambda: now + 66)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            authenticator.viewer(token)


def test_clocks_may_differ_by_seconds_but_no_more() -> None:
    now = time.time()
    assert _viewer({"sub": "s", "exp": now - 3, "nbf": now + 3}).expires_at == now - 3
    with pytest.raises(Unauthenticated, match="not valid yet"):
        _viewer({"sub": "s", "nbf": now + 60})


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
def test_a_public_key_fixes_the_algorithm(make: Callable[[], Any], algorithm: str) -> None:
    private = make()
    pem = _pem(private)
    authenticator = Authenticator(VerificationKey.from_pem(pem))
    good = jwt.encode({"sub": "s"}, private, algorithm=algorithm)
    assert authenticator.viewer(good).subject == "s"
    # The classic confusion: HMAC with the public key, which everybody knows, as the secret.
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "s"})
    ]
    signature = jwt.get_algorithm_by_name("HS256").sign(".".join(parts).encode(), pem.encode())
    forged = ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])
    with pytest.raises(Unauthenticated, match=f"allowed is {algorithm}"):
        authenticator.viewer(forged)


@pytest.mark.parametrize(
    ("pem", "came"),
    [
        ("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "no PEM public key"),
        (_pem(rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "an EC key on the curve secp384r1"),
        (_pem(ed448.Ed448PrivateKey.generate()), "a key of another type"),
    ],
)
def test_a_key_that_cannot_be_used_keeps_the_service_from_starting(pem: str, came: str) -> None:
    with pytest.raises(ConfigurationError, match=came):
        VerificationKey.from_pem(pem)


def test_none_and_other_algorithms_and_other_secrets_are_refused() -> None:
    authenticator = Authenticator(KEY)
    for token, text in (
        (jwt.encode({"sub": "s"}, "", algorithm="none"), "allowed is HS256"),
        (jwt.encode({"sub": "s"}, SECRET * 2, algorithm="HS512"), "allowed is HS256"),
        (jwt.encode({"sub": "s"}, SECRET + "x", algorithm="HS256"), "signature"),
        (_signed({"sub": "s"})[:-2], "token"),
        ("", "not a JSON Web Token"),
        ("é" * 20, "not a JSON Web Token"),
        ("x" * 8193, "8193 bytes; allowed are 8192"),
    ):
        with pytest.raises(Unauthenticated, match=text):
            authenticator.viewer(token)


def test_a_bad_token_is_never_anonymous_even_where_anonymous_is_allowed() -> None:
    with pytest.raises(Unauthenticated, match="no key"):
        Authenticator(None, anonymous="allow").viewer(_signed({"sub": "s"}))
    with pytest.raises(Unauthenticated):
        Authenticator(KEY, anonymous="allow").viewer("rubbish")


def test_without_a_token_the_policy_decides() -> None:
    allowed = Authenticator(KEY, anonymous="allow").viewer(None)
    assert allowed.anonymous
    assert allowed.username is None
    assert allowed.permissions == DEFAULT_PERMISSIONS
    assert Authenticator(KEY, anonymous="read").viewer(None).permissions == {
        Permission.SUBSCRIBE,
        Permission.SEARCH,
    }
    with pytest.raises(Unauthenticated, match="none came"):
        Authenticator(KEY, anonymous="deny").viewer(None)


def test_the_cache_of_verified_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.transports.auth._CACHED_VIEWERS", 3)
    authenticator = Authenticator(KEY)
    for number in range(10):
        authenticator.viewer(_signed({"sub": str(number)}))
    assert len(authenticator._verified) == 3


def test_the_cache_of_verified_tokens_is_bounded_in_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens of 8 KiB that name a thousand projects, by the thousand, were 300 MiB."""
    monkeypatch.setattr("app.transports.auth._CACHED_CHARACTERS", 5_000)
    authenticator = Authenticator(KEY)
    for number in range(20):
        authenticator.viewer(_signed({"sub": str(number), "projects": ["a" * 50] * 10}))
    assert 1 < len(authenticator._verified) < 10
    assert authenticator._verified_characters == sum(map(len, authenticator._verified)) <= 5_000


def test_the_key_does_not_show() -> None:
    assert SECRET not in repr(KEY)


@pytest.mark.parametrize(
    ("header", "token"),
    [(None, None), ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("BEARER abc", "abc")],
)
def test_a_bearer_header_carries_the_token(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize("header", ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer a b"])
def test_another_authorization_header_is_an_error(header: str) -> None:
    with pytest.raises(Unauthenticated, match="Bearer TOKEN"):
        bearer_token(header)


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"authToken": None}, None),
        ({"other": 7}, None),
        ({"authToken": "abc"}, "abc"),
        ({"AUTHTOKEN": "abc"}, "abc"),
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer abc", "authToken": "abc"}, "abc"),
    ],
)
def test_connection_init_carries_the_token(payload: object, token: str | None) -> None:
    assert connection_init_token(payload) == token


@pytest.mark.parametrize(
    "payload",
    [
        {"authToken": 7},
        {"Authorization": "abc"},
        {"Authorization": {}},
        {"authToken": "a", "Authorization": "Bearer b"},
    ],
)
def test_a_malformed_connection_init_token_is_an_error(payload: object) -> None:
    with pytest.raises(Unauthenticated):
        connection_init_token(payload)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(False, "a boolean"), (7, "a number"), (["eyJh"], "a list"), ({"eyJh": 1}, "an object")],
)
def test_of_a_malformed_token_only_its_kind_is_told(value: object, kind: str) -> None:
    """`authToken: false` was shown as Python's False, and a list with a piece of the token."""
    with pytest.raises(Unauthenticated) as refusal:
        connection_init_token({"authToken": value})
    assert refusal.value.message == f"authToken in connection_init is {kind}; allowed is a string"


@pytest.mark.parametrize("levels", [16, 900, 2_000])
def test_claims_nested_too_deeply_are_refused(levels: int) -> None:
    """How deep the parser could go depended on how deep the stack was already."""
    with pytest.raises(Unauthenticated, match="not a valid JSON Web Token: the JSON is nested"):
        Authenticator(KEY, max_token_bytes=65_536).viewer(_nested_claims(levels))


def test_claims_as_deep_as_issuers_write_them_are_taken() -> None:
    assert Authenticator(KEY).viewer(_nested_claims(15)).subject == "a"


def _nested_claims(levels: int) -> str:
    claims = b'{"sub":"a","x":%b%b}' % (b"[" * levels, b"]" * levels)
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims)]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), SECRET.encode())
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_part = st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())
_claims = st.dictionaries(
    st.sampled_from(["sub", "username", "projects", "permissions", "exp", "nbf", "iat", "aud"]),
    _json,
)


@given(st.text() | st.lists(_part, min_size=1, max_size=4).map(".".join))
def test_whatever_text_comes_only_our_errors_escape(text: str) -> None:
    for key in (KEY, None):
        with pytest.raises(Unauthenticated):
            Authenticator(key).viewer(text)
    for read in (bearer_token, lambda value: connection_init_token({"authToken": value})):
        with contextlib.suppress(WidgetwireError):
            read(text)


@given(_claims, st.dictionaries(st.text(max_size=5), _json, max_size=2))
def test_whatever_a_signed_token_claims_only_our_errors_escape(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256"} | header, claims)
    ]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), SECRET.encode())
    token = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    try:
        viewer = Authenticator(KEY).viewer(token)
    except WidgetwireError:
        return
    assert viewer.permissions <= set(Permission)


@given(_json | st.dictionaries(st.sampled_from(["authToken", "Authorization"]), _json))
def test_whatever_connection_init_carries_only_our_errors_escape(payload: object) -> None:
    with contextlib.suppress(WidgetwireError):
        connection_init_token(payload)


@pytest.mark.parametrize("depth", [100_000, 1_000_000])
def test_very_deep_json_in_a_signed_token_is_an_error(depth: int) -> None:
    token = jwt.api_jws.encode(b"[" * depth, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        Authenticator(KEY, max_token_bytes=10_000_000).viewer(token)
