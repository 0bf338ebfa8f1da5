"""Secrets that people make are found; those of a generator are let through."""

import secrets
from base64 import b64encode
from random import Random
from uuid import UUID

import pytest

from app.weak_secrets import weakness

WORDS = "is made of well-known words"
EXAMPLE = "is an example from documentation"


@pytest.mark.parametrize(
    ("secret", "what"),
    [
        ("short", "has 5 bytes; at least 32 are needed"),
        ("a" * 40, "repeats itself"),
        ("0123456789" * 4, "repeats itself"),
        ("K7x!pQ2" * 6, "repeats itself"),
        ("ab" * 15 + "ba" * 2, "has too few different characters"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "counts up or down"),
        ("zyxwvutsrqponmlkjihgfedcba9876543210", "counts up or down"),
        # jwt.io; PostgREST; Supabase.
        ("a-string-secret-at-least-256-bits-long", WORDS),
        ("reallyreallyreallyreallyverysafe", WORDS),
        ("super-secret-jwt-token-with-at-least-32-characters-long", WORDS),
        ("your-256-bit-secret-your-256-bit-secret", WORDS),
        ("this is a very long secret key, please change it", WORDS),
        ("My-Super-Secret-Key-For-Widgetwire-Production!", WORDS),
        ("a secret of thirty-two bytes, at least", WORDS),
        ("qwertyuiopasdfghjklzxcvbnm123456", WORDS),
        ("P@ssw0rdP@ssw0rd-P@ssw0rdP@ssw0rd1", WORDS),
        # RFC 7515, A.1; Hasura.
        (
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            EXAMPLE,
        ),
        ("3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R", EXAMPLE),
    ],
)
def test_a_weak_secret_is_found(secret: str, what: str) -> None:
    assert weakness(secret) == what


def test_a_random_one_is_not_weak_in_any_usual_form() -> None:
    random = Random(20261127)
    for _ in range(1000):
        data = random.randbytes(48)
        for secret in (
            data[:16].hex(),
            b64encode(data).decode(),
            b64encode(data[:24]).decode(),
            str(UUID(bytes=data[:16])),
        ):
            assert weakness(secret) is None, secret
    assert weakness(secrets.token_urlsafe(32)) is None
