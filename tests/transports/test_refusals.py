"""What is refused at the door is logged: enough to find the cause, and never a flood."""

import logging

import pytest

from app.errors import TokenExpired, Unauthenticated
from app.telemetry.logs import LogThrottle
from app.transports import refusals
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.bearer import connection_init_token
from app.transports.origins import OriginPolicy

__all__ = ["forget_refusals"]


def forget_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing logged: the throttles are the process's."""
    monkeypatch.setattr(refusals, "_origins", LogThrottle(others="others"))
    monkeypatch.setattr(refusals, "_tokens", LogThrottle(others="others"))


@pytest.fixture(autouse=True)
def _nothing_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    forget_refusals(monkeypatch)
    caplog.set_level(logging.INFO, "app")


def test_a_refused_origin_is_named_with_the_setting(caplog: pytest.LogCaptureFixture) -> None:
    policy = OriginPolicy(["https://video.example"])
    for _ in range(3):
        assert not policy.allows("https://other.example", "widgets.example")
    assert policy.allows("https://video.example", "widgets.example")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "refused the origin 'https://other.example' at the host 'widgets.example': "
        "add it to WIDGETWIRE_ALLOWED_ORIGINS to allow its pages"
    )


def test_a_flood_of_made_up_origins_floods_neither_log_nor_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = OriginPolicy()
    for number in range(5_000):
        policy.allows(f"https://{number}.example\n" + "x" * 50_000, "h" * 50_000)
    assert len(caplog.records) == 101
    assert max(len(record.getMessage()) for record in caplog.records) < 500
    assert not any("\n" in record.getMessage() for record in caplog.records)
    assert sum(len(key) for key in refusals._origins._lines) < 20_000


def test_a_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    authenticator = Authenticator(max_token_bytes=300)
    for payload in ({"authToken": ["secret"]}, {"authToken": "secret"}, {"authToken": "s" * 301}):
        with pytest.raises(Unauthenticated) as refused:
            authenticator.viewer(connection_init_token(payload))
        refusals.log_refused_token(refused.value)
    refusals.log_refused_token(TokenExpired("the token has expired"))
    assert "secret" not in caplog.text
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "the token in connection_init is not a string",
        "a token came, but this server has no key to verify it with; connect without one",
        "the token has more than 300 bytes",
        "the token has expired",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["INFO"]
