"""Secrets that others can guess: words, patterns, and examples from documentation.

What is looked for are the mistakes of people: a secret from a random generator has none of them.
"""

import math
import re
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from typing import Final

__all__ = ["weakness"]

_MIN_BYTES: Final = 32
_MIN_BITS: Final = 80
"""Of the characters that are left without well-known words, by how often each of them stands. 32
random hexadecimal digits have 110 on average; of two million, none had fewer than 85."""
_WORDS: Final = re.compile(
    r"an?[ _-]|at[ _-]?least|change[ _-]?(?:me|this|it)|\b(?:123|256|32|512|64)\b|"
    r"access|admin|asdf(?:ghjkl)?|bits?|bytes?|characters|client|default|demo|dev(?:elopment)?|"
    r"example|hs256|insecure|jwt|key|letmein|local(?:host)?|long|my|of|p[a@]ssw[o0]rd|please|"
    r"private|prod(?:uction)?|public|qwerty(?:uiop)?|really|replace|safe|sample|secret|secure|"
    r"server|shared|sign(?:ing|ed)?|string|strong|super|test(?:ing)?|the|thirty|this|token|two|"
    r"use|very|widgetwire|with|your?|zxcvbnm?",
    re.IGNORECASE,
)
_EXAMPLES: Final = frozenset(
    {
        # "a-string-secret-at-least-256-bits-long", of jwt.io, and those that follow have words
        # enough; these look random. By their SHA-256, so that nobody copies them from here.
        # RFC 7515, A.1: the key of its HS256 example.
        "8b1b17a9740c068accab5c3d0d652c8e3cc13206e70bb73b42ea41d4c2de3c12",
        # Hasura's documentation.
        "ef1ca7491dee871be5f0e33a6d3f3e631bc8a69136fa49fddf3f3ca5bf3bd714",
    }
)


def weakness(secret: str) -> str | None:
    """Return what makes a secret weak, to follow "a secret that …"; None: nothing that we know.

    Args:
        secret: as it is set.
    """
    size = len(secret.encode())
    if size < _MIN_BYTES:
        return f"has {size} bytes; at least {_MIN_BYTES} are needed"
    if sha256(secret.encode()).hexdigest() in _EXAMPLES:
        return "is an example from documentation"
    for found, what in (
        (_period(secret) <= len(secret) // 2, "repeats itself"),
        (_bits(secret) < _MIN_BITS, "has too few different characters"),
        (_in_rows(secret) > 2 * len(secret) // 3, "counts up or down"),
        (_bits(_WORDS.sub("", secret)) < _MIN_BITS, "is made of well-known words"),
    ):
        if found:
            return what
    return None


def _period(text: str) -> int:
    """Return after how many characters a text begins anew; its length: never."""
    return (text + text).find(text, 1)


def _bits(text: str) -> float:
    """Return the entropy of a text by how often each of its characters stands."""
    counts = Counter(text).values()
    return sum(count * math.log2(len(text) / count) for count in counts)


def _in_rows(text: str) -> int:
    """Return how many characters are the next ones of those before: abc, 321, aaa."""
    return sum(abs(ord(a) - ord(b)) <= 1 for a, b in pairwise(text))
