"""An issuer's keys over time: rotated, withdrawn, away; and tokens that wait for them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.errors import Unauthenticated, Unavailable
from app.transports.auth.authenticator import Authenticator, viewer_with_keys
from app.transports.auth.issued_keys import IssuedKeys
from app.transports.auth.jwks_fetch import JwksAddress, fetch
from app.transports.auth.verification import KeysWanted, Verification
from tests.transports.auth.issuer import EC_KEY, ED_KEY, RSA_KEY, Issuer, jwk, raw_answer, token
from tests.transports.auth.signing import KEY, signed

pytestmark = pytest.mark.anyio


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as one:
        yield one


class Service:
    """What a process has: the keys, and who is asking."""

    def __init__(self, issuer: Issuer, *, asked_seconds: float = 60, every: float = 60) -> None:
        address = JwksAddress.of(issuer.url)
        self.keys = IssuedKeys(
            str(address),
            partial(fetch, address, 0.5),
            refresh_seconds=every,
            retry_seconds=every,
            asked_seconds=asked_seconds,
        )
        self.authenticator = Authenticator(Verification([KEY], self.keys))
        self.keys.on_withdrawn = self.authenticator.forget_verified

    async def subject(self, text: str) -> str | None:
        """Return whom a token is for, as a transport asks."""
        return (await viewer_with_keys(self.authenticator.viewer, text, None)).subject


async def test_a_token_chooses_its_key_by_its_name(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA_KEY, kid="r"), jwk(EC_KEY, kid="e"), jwk(ED_KEY, kid="d"))
    service = Service(issuer)
    for private, kid in ((RSA_KEY, "r"), (EC_KEY, "e"), (ED_KEY, "d")):
        assert await service.subject(token(private, kid)) == "u1"
        assert await service.subject(token(private)) == "u1"
        assert service.authenticator.viewer(token(private, kid)).subject == "u1"
        with pytest.raises(Unauthenticated, match="signature"):
            await service.subject(token(private, kid)[:-8] + "AAAAAAAA")
    # Another key's name.
    with pytest.raises(Unauthenticated, match="signature"):
        await service.subject(token(RSA_KEY, "e"))
    assert len(issuer.requests) == 1


async def test_the_key_of_the_settings_goes_on_holding_whatever_its_tokens_name(
    issuer: Issuer,
) -> None:
    issuer.publish(jwk(RSA_KEY, kid="r"))
    service = Service(issuer)
    assert service.authenticator.viewer(signed({"sub": "own"}, kid="whatever")).subject == "own"
    assert not issuer.requests
    with pytest.raises(Unauthenticated, match="signature"):
        await service.subject(signed({"sub": "own"})[:-8] + "AAAAAAAA")
    assert not issuer.requests


async def test_a_new_key_is_fetched_when_its_first_token_comes_and_all_wait_for_one_fetch(
    issuer: Issuer,
) -> None:
    issuer.publish(jwk(RSA_KEY, kid="1"))
    service = Service(issuer, asked_seconds=0)
    await service.keys.refreshed()
    issuer.publish(jwk(RSA_KEY, kid="1"), jwk(EC_KEY, kid="2"))
    new = token(EC_KEY, "2")
    with pytest.raises(KeysWanted):
        service.authenticator.viewer(new)
    assert await asyncio.gather(*(service.subject(new) for _ in range(20))) == ["u1"] * 20
    assert len(issuer.requests) == 2


async def test_made_up_keys_cause_one_fetch_a_minute(issuer: Issuer) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"))
    service = Service(issuer)
    for number in range(50):
        with pytest.raises(Unauthenticated, match=f"is 'made up {number}', which the issuer"):
            await service.subject(token(ED_KEY, f"made up {number}"))
    with pytest.raises(Unauthenticated, match="signature"):
        await service.subject(token(ED_KEY, None)[:-8] + "AAAAAAAA")
    assert len(issuer.requests) == 1


async def test_whoever_gives_up_waiting_ends_the_fetch_for_nobody(issuer: Issuer) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"))
    service = Service(issuer)
    first = asyncio.create_task(service.subject(token(ED_KEY, "1")))
    second = asyncio.create_task(service.subject(token(ED_KEY, "1")))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "u1"


async def test_a_withdrawn_key_is_trusted_no_more_not_even_for_tokens_that_were_verified(
    issuer: Issuer,
) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"), jwk(EC_KEY, kid="2"))
    service = Service(issuer)
    old, other = token(ED_KEY, "1"), token(EC_KEY, "2")
    assert await service.subject(old) == await service.subject(other) == "u1"
    issuer.publish(jwk(EC_KEY, kid="2"))
    await service.keys.refreshed()
    with pytest.raises(Unauthenticated, match="kid"):
        await service.subject(old)
    assert await service.subject(other) == "u1"
    # A set without a key is a set: everything was withdrawn.
    issuer.publish()
    await service.keys.refreshed()
    with pytest.raises(Unauthenticated):
        await service.subject(other)


@pytest.mark.parametrize(
    "answer", [raw_answer(b"{}", "500 Oops"), raw_answer(b"<html>"), raw_answer(b" " * 300_000)]
)
async def test_the_last_good_set_holds_when_a_fetch_fails(
    issuer: Issuer, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"))
    service = Service(issuer, asked_seconds=0)
    await service.keys.refreshed()
    issuer.answer = answer
    for _ in range(3):
        await service.keys.refreshed()
    assert await service.subject(token(ED_KEY, "1")) == "u1"
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert warning.getMessage().startswith(
        f"the keys for tokens could not be fetched from {issuer.url}: the answer "
    )
    assert warning.getMessage().endswith("; the last ones hold")
    # It may be a new key's: whoever has it comes back.
    with pytest.raises(Unavailable, match="the keys that tokens are verified with"):
        await service.subject(token(EC_KEY, "2"))


async def test_tokens_wait_for_an_issuer_that_is_away_at_the_start(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await issuer.go_down()
    service = Service(issuer)
    text = token(ED_KEY, "1")
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be fetched now; retry later"):
            await service.subject(text)
    assert "tokens of that issuer wait for them" in caplog.text
    # Others' tokens are looked at as ever.
    assert await service.subject(signed({"sub": "own"})) == "own"
    with pytest.raises(Unauthenticated, match="allowed are HS256, RS256, ES256, EdDSA"):
        await service.subject(signed({}).replace(signed({}).split(".")[0], "eyJhbGciOiJub25lIn0"))
    issuer.publish(jwk(ED_KEY, kid="1"))
    await issuer.come_up()
    await service.keys.refreshed()
    assert await service.subject(text) == "u1"
    assert f"{issuer.url} has 1 keys for tokens" in caplog.text


async def test_keys_are_fetched_at_the_start_and_again_by_itself(issuer: Issuer) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"))
    service = Service(issuer, every=0.01)
    service.keys.start()
    await issuer.asked(1)
    issuer.answer = raw_answer(b"", "500 Oops")
    await issuer.asked(4)
    issuer.publish(jwk(EC_KEY, kid="2"))
    await issuer.asked(6)
    assert await service.subject(token(EC_KEY, "2")) == "u1"
    await service.keys.stop()
    await service.keys.stop()
    asked = len(issuer.requests)
    await asyncio.sleep(0.05)
    assert len(issuer.requests) == asked


async def test_a_mistake_of_ours_is_logged_and_the_last_set_holds(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.publish(jwk(ED_KEY, kid="1"))
    service = Service(issuer)
    await service.keys.refreshed()

    async def broken() -> bytes:
        raise RuntimeError

    monkeypatch.setattr(service.keys, "_fetch", broken)
    await service.keys.refreshed()
    assert service.keys.failing
    assert await service.subject(token(ED_KEY, "1")) == "u1"
    assert "RuntimeError" in caplog.text
