"""What a token grants: its claims."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import TokenExpired, Unauthenticated, WidgetwireError
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.claims import LEEWAY_SECONDS, ClaimRules
from tests.transports.auth.signing import SECRET, VERIFICATION, signed

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)

_claims = st.dictionaries(
    st.sampled_from(["sub", "username", "projects", "permissions", "exp", "nbf", "iat", "aud"]),
    _json,
)


def _viewer(claims: dict[str, Any]) -> Viewer:
    return Authenticator(VERIFICATION).viewer(signed(claims))


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
    assert viewer.projects == frozenset({"P1"})
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
        Authenticator(VERIFICATION, max_token_bytes=65536).viewer(token)


def test_clocks_may_differ_by_seconds_but_no_more() -> None:
    now = time.time()
    assert LEEWAY_SECONDS == 60
    assert _viewer({"sub": "s", "exp": now - 55, "nbf": now + 55}).expires_at == now - 55
    with pytest.raises(TokenExpired):
        _viewer({"sub": "s", "exp": now - 61})
    with pytest.raises(Unauthenticated, match="not valid yet"):
        _viewer({"sub": "s", "nbf": now + 65})


@pytest.mark.parametrize(
    ("claims", "wrong"),
    [
        ({"aud": "widgets", "iss": "https://issuer.example"}, None),
        ({"aud": ["other", "widgets"], "iss": "https://other.example"}, None),
        ({"aud": ["other"], "iss": "https://issuer.example"}, "aud"),
        ({"aud": "Widgets", "iss": "https://issuer.example"}, "aud"),
        ({"aud": ["widgets", 7], "iss": "https://issuer.example"}, "aud"),
        ({"aud": {"widgets": 1}, "iss": "https://issuer.example"}, "aud"),
        ({"aud": None, "iss": "https://issuer.example"}, "aud"),
        ({"aud": [], "iss": "https://issuer.example"}, "aud"),
        ({"iss": "https://issuer.example"}, "aud"),
        ({"aud": "widgets", "iss": "https://issuer.example/"}, "iss"),
        ({"aud": "widgets", "iss": ["https://issuer.example"]}, "iss"),
        ({"aud": "widgets", "iss": 7}, "iss"),
        ({"aud": "widgets"}, "iss"),
    ],
)
def test_audience_and_issuer_are_held_to_the_settings(
    claims: dict[str, Any], wrong: str | None
) -> None:
    rules = ClaimRules(["widgets"], ["https://issuer.example", "https://other.example"])
    assert ClaimRules().viewer(claims, 0.0).subject is None  # unset: not looked at
    if wrong is None:
        rules.viewer(claims, 0.0)
        return
    with pytest.raises(Unauthenticated) as refusal:
        rules.viewer(claims, 0.0)
    allowed = {
        "aud": "'widgets', or a list with it",
        "iss": "'https://issuer.example' or 'https://other.example'",
    }
    assert refusal.value.message == (
        f"the token's claim {wrong!r} is wrong; allowed is {allowed[wrong]}"
    )


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
        viewer = Authenticator(VERIFICATION).viewer(token)
    except WidgetwireError:
        return
    assert viewer.permissions <= set(Permission)
