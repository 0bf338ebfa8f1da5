"""What may not be seen is told by an id, the same in the answer and in the log."""

import asyncio
import logging
import re

import pytest

from app.errors import BadUserInput, ErrorCode, Unavailable, WidgetwireError
from app.masking import masked, told
from app.telemetry.log_context import WORKING, NumberedRequest
from app.telemetry.log_fields import facts_of


@pytest.mark.parametrize("error", [RuntimeError("SELECT secret"), WidgetwireError("SELECT secret")])
def test_an_error_is_masked_under_an_id(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    code, text, retry_after_ms = told(error, "answering")
    assert retry_after_ms is None
    assert code is ErrorCode.INTERNAL_SERVER_ERROR
    found = re.fullmatch(r"internal server error \(id ([0-9a-f]{12})\)", text)
    assert found
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"internal error {found[1]} while answering"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.anyio
async def test_the_id_is_that_of_the_request_else_of_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = masked(RuntimeError(), "reading", connection_id="ab-1")
    assert text == "internal server error (id ab-1)"
    task = asyncio.current_task()
    assert task is not None
    WORKING[task] = NumberedRequest("ab-1", 3)
    assert masked(RuntimeError(), "answering") == "internal server error (id ab-1-3)"
    facts = [facts_of(record) for record in caplog.records]
    del WORKING[task]
    assert [one["error_id"] for one in facts] == ["ab-1", "ab-1-3"]
    assert facts[1].items() >= {"event": "error.masked", "request_id": "ab-1-3"}.items()


def test_a_refusal_is_told_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    assert told(BadUserInput("no"), "answering") == (ErrorCode.BAD_USER_INPUT, "no", None)
    busy = Unavailable("busy", 500)
    assert told(busy, "answering") == (ErrorCode.UNAVAILABLE, "busy", 500)
    assert not caplog.records


def test_no_two_errors_have_one_id() -> None:
    assert len({masked(RuntimeError(), "answering") for _ in range(100)}) == 100
