"""Signatures: what is verified, and with which keys."""

import base64

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unauthenticated
from app.transports.auth.authenticator import Authenticator
from tests.transports.auth.signing import SECRET, VERIFICATION, signed

_part = st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())


def test_none_and_other_algorithms_and_other_secrets_are_refused() -> None:
    authenticator = Authenticator(VERIFICATION)
    for token, text in (
        (jwt.encode({"sub": "s"}, "", algorithm="none"), "allowed is HS256"),
        (jwt.encode({"sub": "s"}, SECRET * 2, algorithm="HS512"), "allowed is HS256"),
        (jwt.encode({"sub": "s"}, SECRET + "x", algorithm="HS256"), "signature"),
        (signed({"sub": "s"})[:-2], "token"),
        ("", "not a JSON Web Token"),
        ("é" * 20, "not a JSON Web Token"),
        ("x" * 8193, "8193 bytes; allowed are 8192"),
    ):
        with pytest.raises(Unauthenticated, match=text):
            authenticator.viewer(token)


@pytest.mark.parametrize("levels", [16, 900, 2_000])
def test_claims_nested_too_deeply_are_refused(levels: int) -> None:
    """How deep the parser could go depended on how deep the stack was already."""
    with pytest.raises(Unauthenticated, match="not a valid JSON Web Token: the JSON is nested"):
        Authenticator(VERIFICATION, max_token_bytes=65_536).viewer(_nested_claims(levels))


def test_claims_as_deep_as_issuers_write_them_are_taken() -> None:
    assert Authenticator(VERIFICATION).viewer(_nested_claims(15)).subject == "a"


def _nested_claims(levels: int) -> str:
    claims = b'{"sub":"a","x":%b%b}' % (b"[" * levels, b"]" * levels)
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims)]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), SECRET.encode())
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("depth", [100_000, 1_000_000])
def test_very_deep_json_in_a_signed_token_is_an_error(depth: int) -> None:
    token = jwt.api_jws.encode(b"[" * depth, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        Authenticator(VERIFICATION, max_token_bytes=10_000_000).viewer(token)


@given(st.text() | st.lists(_part, min_size=1, max_size=4).map(".".join))
def test_whatever_text_comes_only_our_errors_escape(text: str) -> None:
    for verification in (VERIFICATION, None):
        with pytest.raises(Unauthenticated):
            Authenticator(verification).viewer(text)
