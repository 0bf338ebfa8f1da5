"""Key sets: which keys are taken, and for which algorithm alone."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from app.transports.auth.jwks import MAX_KEYS, KeySet, NoKeySetError
from tests.transports.auth.issuer import EC_KEY, ED_KEY, RSA_KEY, jwk, number


def _set(*keys: Any) -> KeySet:
    return KeySet.of(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize(
    ("private", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")]
)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use": "sig"},
        {"key_ops": ["verify"]},
        {"alg": "its own"},
        {"x5u": "http://127.0.0.1:1/never", "x5c": ["never"], "x5t": "never"},
    ],
)
def test_a_key_s_type_fixes_its_algorithm(
    private: Any, algorithm: str, fields: dict[str, Any]
) -> None:
    fields = {name: algorithm if one == "its own" else one for name, one in fields.items()}
    keys = _set(jwk(private, kid="k", **fields))
    assert (len(keys), keys.unusable) == (1, 0)
    assert keys.names("k")
    (key,) = keys.candidates("k", algorithm)
    assert key.algorithm == algorithm
    for other in {"HS256", "RS256", "ES256", "EdDSA", "none"} - {algorithm}:
        assert keys.candidates("k", other) == []


_SECRET = base64.urlsafe_b64encode(b"a secret of thirty-two bytes, or more").decode()


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": _SECRET, "alg": "HS256"},
        jwk(RSA_KEY, alg="HS256"),
        jwk(RSA_KEY, alg="RS512"),
        jwk(RSA_KEY, alg="PS256"),
        jwk(RSA_KEY, alg=7),
        jwk(RSA_KEY, alg="ES256"),
        jwk(RSA_KEY, use="enc"),
        jwk(RSA_KEY, use=["sig"]),
        jwk(RSA_KEY, key_ops=["sign"]),
        jwk(RSA_KEY, key_ops="verify"),
        jwk(RSA_KEY, kid=7),
        jwk(RSA_KEY, kid=["k"]),
        jwk(RSA_KEY, kty="EC"),
        jwk(RSA_KEY, kty=["RSA"]),
        jwk(RSA_KEY, n="!"),
        jwk(RSA_KEY, n=7),
        jwk(RSA_KEY, n=None),
        jwk(RSA_KEY, e=number(2)),
        jwk(RSA_KEY, n=number(1 << 20_000)),
        jwk(rsa.generate_private_key(65537, 1024)),
        jwk(ec.generate_private_key(ec.SECP384R1())),
        jwk(EC_KEY, x=number(5)),
        jwk(EC_KEY, crv="P-384"),
        jwk(ED_KEY, crv="X25519"),
        jwk(ED_KEY, crv="Ed448"),
        jwk(ED_KEY, x=""),
        RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True) | {"key_ops": ["verify"]},
        None,
        "key",
        [],
        {},
    ],
    # The keys are made anew in each process of the tests, which must agree on the names.
    ids=lambda key: str(key.get("kty")) if isinstance(key, dict) else repr(key),
)
def test_a_key_that_is_of_no_use_is_left_out_and_the_others_hold(key: Any) -> None:
    keys = _set(key, jwk(ED_KEY, kid="good"))
    assert (len(keys), keys.unusable) == (1, 1)
    assert keys.names("good")


def test_keys_of_one_name_are_told_apart_by_their_algorithm() -> None:
    """RFC 7517, 4.5: keys of different types may have the same `kid`."""
    keys = _set(jwk(RSA_KEY, kid="k"), jwk(EC_KEY, kid="k"))
    assert [key.algorithm for key in keys.candidates("k", "ES256")] == ["ES256"]
    assert keys.candidates("other", "ES256") == []


def test_a_token_that_names_no_key_is_tried_against_eight_at_most() -> None:
    keys = _set(*(jwk(ED_KEY, kid=str(n)) for n in range(20)), jwk(EC_KEY, kid="ec"))
    assert len(keys.candidates(None, "EdDSA")) == 8
    assert len(keys.candidates(None, "ES256")) == 1
    assert not keys.names(None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON, or is too deep"),
        (b'{"keys":' + b"[" * 900 + b"]" * 900 + b"}", "too deep"),
        (b"[]", "no list 'keys'"),
        (b'{"keys": {}}', "no list 'keys'"),
        (b'{"issuer": "x"}', "no list 'keys'"),
        (json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(), "101 keys; allowed are 100"),
    ],
)
def test_what_is_no_key_set_is_an_error(text: bytes, why: str) -> None:
    with pytest.raises(NoKeySetError, match=why):
        KeySet.of(text)


def test_a_key_that_was_taken_out_is_noticed() -> None:
    one, two = jwk(ED_KEY, kid="1"), jwk(EC_KEY, kid="2")
    assert _set(one).lacks_any_of(_set(one, two))
    assert _set(jwk(EC_KEY, kid="1")).lacks_any_of(_set(one))
    assert not _set(two, one).lacks_any_of(_set(one))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
_names = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "d", "use", "alg", "kid", "key_ops"])
_values = st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"]) | _json


@settings(max_examples=30)
@given(st.lists(st.dictionaries(_names, _values, max_size=6), max_size=3))
def test_whatever_keys_come_nothing_breaks(keys: list[Any]) -> None:
    found = _set(*keys)
    assert len(found) + found.unusable == len(keys)
