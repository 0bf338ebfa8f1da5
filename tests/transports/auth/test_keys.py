"""Verification keys: the algorithm follows from the key."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import VerificationKey, own_keys
from app.transports.auth.verification import Verification
from tests.transports.auth.signing import KEY, SECRET, pem


def test_a_secret_and_a_public_key_may_be_set_together() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    authenticator = Authenticator(Verification(own_keys(SECRET, pem(private))))
    for key, algorithm in ((SECRET, "HS256"), (private, "EdDSA")):
        signed = jwt.encode({"sub": algorithm}, key, algorithm=algorithm)
        assert authenticator.viewer(signed).subject == algorithm
    with pytest.raises(Unauthenticated, match="allowed are HS256, EdDSA"):
        authenticator.viewer(jwt.encode({}, SECRET * 2, algorithm="HS512"))
    assert own_keys(None, None) == ()


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
    text = pem(private)
    authenticator = Authenticator(Verification([VerificationKey.from_pem(text)]))
    good = jwt.encode({"sub": "s"}, private, algorithm=algorithm)
    assert authenticator.viewer(good).subject == "s"
    # The classic confusion: HMAC with the public key, which everybody knows, as the secret.
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "s"})
    ]
    signature = jwt.get_algorithm_by_name("HS256").sign(".".join(parts).encode(), text.encode())
    forged = ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])
    with pytest.raises(Unauthenticated, match=f"allowed is {algorithm}"):
        authenticator.viewer(forged)


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "no PEM public key"),
        (pem(rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "an EC key on the curve secp384r1"),
        (pem(ed448.Ed448PrivateKey.generate()), "a key of another type"),
    ],
)
def test_a_key_that_cannot_be_used_keeps_the_service_from_starting(text: str, came: str) -> None:
    with pytest.raises(ConfigurationError, match=came):
        VerificationKey.from_pem(text)


def test_the_key_does_not_show() -> None:
    assert SECRET not in repr(KEY)
