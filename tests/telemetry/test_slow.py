"""What took long is told once a minute for each channel."""

import logging

import pytest

from app.telemetry import slow
from app.telemetry.log_fields import facts_of
from app.telemetry.logs import LogThrottle
from app.telemetry.slow import log_slow_commit, log_slow_search


def test_each_channel_has_a_line_a_minute_and_commits_have_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(slow, "_throttle", LogThrottle(others="others", clock=lambda: now))
    caplog.set_level(logging.INFO)
    for _ in range(3):
        for channel in ("p/a", "p/b"):
            log_slow_search(channel, seconds=2.5, waited_seconds=0.5, messages=10_000)
        log_slow_commit(seconds=1.25, messages=500)
    facts = [facts_of(record) for record in caplog.records]
    assert [one.get("channel") for one in facts] == ["p/a", "p/b", None]
    assert facts[0] == {
        "event": "search.slow",
        "channel": "p/a",
        "seconds": 2.5,
        "waited_seconds": 0.5,
        "messages": 10_000,
        "withheld": 0,
    }
    now = 60.0
    log_slow_commit(seconds=1.25, messages=1)
    assert facts_of(caplog.records[-1]).items() >= {"event": "commit.slow", "withheld": 2}.items()
