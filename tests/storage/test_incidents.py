"""An outage is told, and does not flood the log."""

import logging

import pytest

from app.storage.incidents import Incidents
from app.telemetry.log_fields import facts_of


def test_one_line_for_each_cause_and_later_how_often_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each statement of each client once logged the loss of the same database."""
    incidents = Incidents(every_seconds=60)
    for _ in range(1_000):
        incidents.lost("ConnectionRefusedError")
        incidents.lost("CannotConnectNowError")
        incidents.refused("disk full")
    assert caplog.messages == [
        "the database is not reachable (ConnectionRefusedError)",
        "the database refuses to work: disk full",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_was_not_told_is_counted_in_the_next_line(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents(every_seconds=60)
    for _ in range(3):
        incidents.refused("disk full")
    incidents._every = 0
    incidents.refused("disk full")
    assert caplog.messages[1:] == [
        "the database refuses to work: disk full (2 more times since the last line)"
    ]


def test_the_end_of_an_outage_is_told_with_its_length(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents(every_seconds=60)
    for _ in range(2):
        incidents.lost("OSError")
    incidents.answered()
    incidents.answered()
    incidents.lost("OSError")
    incidents.answered()
    assert caplog.messages[1:] == ["the database is back after 0.0 s"]
    lost, back = (facts_of(record) for record in caplog.records)
    assert lost == {"event": "database.lost", "kind": "OSError"}
    assert back["event"] == "database.back"


def test_a_refusal_stays_noted_until_somebody_finds_it_over() -> None:
    incidents = Incidents()
    incidents.lost("OSError")
    assert incidents.refusal is None
    incidents.refused("disk full")
    assert incidents.refusal == "disk full"
