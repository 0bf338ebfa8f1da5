"""Facts of log records."""

import logging

import pytest

from app.peer import Peer
from app.telemetry.log_fields import as_text, event, facts_of


def record(extra: object = None, exc_info: object = None) -> logging.LogRecord:
    """Return what a logging call makes."""
    logger = logging.getLogger("app.test")
    return logger.makeRecord("app.test", logging.INFO, "", 0, "x", (), exc_info, extra=extra)  # type: ignore[arg-type]


def test_a_record_has_its_event_and_its_facts_and_nothing_that_is_unknown() -> None:
    facts = event("a.b", Peer("192.0.2.1", "ab-1"), seconds=1 / 3, channel=None, code=4400)
    assert facts_of(record(facts)) == {
        "event": "a.b",
        "seconds": 0.333333,
        "code": 4400,
        "address": "192.0.2.1",
        "connection_id": "ab-1",
    }


def test_a_record_without_a_name_is_a_defect_or_another() -> None:
    assert facts_of(record()) == {"event": "other"}
    error = ValueError()
    assert facts_of(record(None, (ValueError, error, None))) == {"event": "defect"}


@pytest.mark.parametrize(
    ("fact", "shown"),
    [("p/w", "p/w"), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("a\nb", '"a\\nb"'), (1.5, "1.5")],
)
def test_as_text_each_fact_is_one_word_on_one_line(fact: str | float, shown: str) -> None:
    assert as_text({"event": "a.b", "name": fact}) == f" name={shown}"
