"""Who is asking: with a token, without one, and that nothing bad is ever anonymous."""

import time

import pytest

from app.domain.viewer import DEFAULT_PERMISSIONS, Permission
from app.errors import TokenExpired, Unauthenticated
from app.transports.auth.authenticator import Authenticator
from tests.transports.auth.signing import VERIFICATION, signed


def test_an_expired_token_says_so_and_a_cached_one_expires_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    with pytest.raises(TokenExpired):
        Authenticator(VERIFICATION).viewer(signed({"sub": "s", "exp": now - 61}))
    authenticator = Authenticator(VERIFICATION)
    token = signed({"sub": "s", "exp": int(now) + 60})
    assert authenticator.viewer(token) is authenticator.viewer(token)
    monkeypatch.setattr(time, "time", lambda: now + 121)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            authenticator.viewer(token)


def test_a_bad_token_is_never_anonymous_even_where_anonymous_is_allowed() -> None:
    with pytest.raises(Unauthenticated, match="no key"):
        Authenticator(None, anonymous="allow").viewer(signed({"sub": "s"}))
    with pytest.raises(Unauthenticated):
        Authenticator(VERIFICATION, anonymous="allow").viewer("rubbish")


def test_without_a_token_the_policy_decides() -> None:
    allowed = Authenticator(VERIFICATION, anonymous="allow").viewer(None)
    assert allowed.anonymous
    assert allowed.username is None
    assert allowed.permissions == DEFAULT_PERMISSIONS
    assert Authenticator(VERIFICATION, anonymous="read").viewer(None).permissions == {
        Permission.SUBSCRIBE,
        Permission.SEARCH,
    }
    with pytest.raises(Unauthenticated, match="none came"):
        Authenticator(VERIFICATION, anonymous="deny").viewer(None)


def test_the_cache_of_verified_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.transports.auth.authenticator._CACHED_VIEWERS", 3)
    authenticator = Authenticator(VERIFICATION)
    for number in range(10):
        authenticator.viewer(signed({"sub": str(number)}))
    assert len(authenticator._verified) == 3


def test_the_cache_of_verified_tokens_is_bounded_in_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens of 8 KiB that name a thousand projects, by the thousand, were 300 MiB."""
    monkeypatch.setattr("app.transports.auth.authenticator._CACHED_CHARACTERS", 5_000)
    authenticator = Authenticator(VERIFICATION)
    for number in range(20):
        authenticator.viewer(signed({"sub": str(number), "projects": ["a" * 50] * 10}))
    assert 1 < len(authenticator._verified) < 10
    assert authenticator._verified_characters == sum(map(len, authenticator._verified)) <= 5_000
