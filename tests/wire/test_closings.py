"""Why the server closes sockets, once a minute for each cause."""

import logging

import pytest

from app.peer import Peer
from app.telemetry.log_fields import facts_of
from app.telemetry.logs import LogThrottle
from app.wire import closings
from app.wire.close_codes import CloseCode
from app.wire.closings import log_closing


def test_each_cause_is_one_line_a_minute_that_counts_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(closings, "_throttle", LogThrottle(others="others", clock=lambda: now))
    caplog.set_level(logging.INFO)
    peer = Peer("192.0.2.1", "ab-1")
    for _ in range(100):
        for code in CloseCode:
            log_closing(code, peer)
    causes = len(caplog.records)
    assert causes == 9
    now = 60.0
    log_closing(CloseCode.TRY_AGAIN_LATER, peer)
    record = caplog.records[-1]
    assert record.levelno == logging.WARNING
    assert facts_of(record) == {
        "event": "socket.closed_by_server",
        "code": 1013,
        "withheld": 99,
        "address": "192.0.2.1",
        "connection_id": "ab-1",
    }


def test_everyday_goodbyes_and_codes_of_others_go_unmentioned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for code in (CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART, 4999):
        log_closing(code, Peer("192.0.2.1", "ab-1"))
    assert not caplog.records
