"""The access log: a line for each request, whoever answers it, and nothing that users sent."""

import asyncio
import logging
from typing import Any

import pytest

from app.telemetry.log_fields import facts_of
from app.wire.watched import kept_request_id, shown_path
from tests.transports.raw_http import UPGRADE, answer_to, head, served
from tests.wire.test_ordinary import Answers, post
from tests.wire.wire import until

pytestmark = pytest.mark.anyio

LAST = b"Connection: close"
ID = b"X-Request-Id: mine"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the facts of the access log's lines, but for how long each took."""
    found = []
    for record in caplog.records:
        if record.name == "app.wire.watched":
            facts = facts_of(record)
            assert 0 <= float(facts.pop("seconds", 0) or 0) < 10
            found.append(facts)
    return found


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.wire.watched")


@pytest.mark.parametrize("how", ["now", "later", "declines"])
async def test_each_request_is_a_line_however_it_is_answered(
    how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(responder=Answers(how), access_log=True) as port:
        answer = await answer_to(port, post(b"body", ID), post(b"2", LAST), pause_seconds=0.05)
    assert b"x-request-id: mine\r\n" in answer
    first, second = lines(caplog)
    expected = {"event": "request.answered", "method": "POST", "path": "/ordinary"}
    assert first.items() >= expected.items()
    assert first["request_id"] == "mine"
    assert second["request_id"] == f"{first['connection_id']}-2"
    assert second["connection_id"] == first["connection_id"]
    if how != "declines":
        assert (first["status"], first["bytes"]) == (200, len(b"<body>"))


async def test_requests_without_a_path_or_an_answer_are_lines_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    responder = Answers("never")
    async with served(responder=responder, access_log=True) as port:
        await answer_to(port, b"nonsense\r\n\r\n")
        await answer_to(port, UPGRADE.replace(b"/echo", b"/no?token=secret"))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"body", target=b"/ordinary"))
        await until(lambda: responder.seen)
        writer.close()
        await until(lambda: len(lines(caplog)) == 3)
        responder.go_on.set()
    refused, socket, abandoned = lines(caplog)
    assert (refused["event"], refused["status"]) == ("request.refused", 400)
    assert (socket["event"], socket["path"], socket["status"]) == ("request.answered", "/no", 403)
    assert abandoned["event"] == "request.abandoned"
    assert "status" not in abandoned
    assert "secret" not in caplog.text


async def test_nothing_is_written_unless_it_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    async with served(responder=Answers("now")) as port:
        await answer_to(port, post(b"body", LAST))
        await answer_to(port, head(LAST, method=b"GET"))
    assert not lines(caplog)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"aZ0_.-", "aZ0_.-"),
        (b"x" * 64, "x" * 64),
        (b"x" * 65, None),
        (b"", None),
        (b"a b", None),
        (b"a\xff", None),
        (b"a\r", None),
    ],
)
def test_an_id_is_kept_if_it_is_one(given: bytes, kept: str | None) -> None:
    assert kept_request_id([(b"host", b"a"), (b"x-request-id", given)]) == kept
    assert kept_request_id([]) is None


def test_a_path_is_shown_without_its_query_and_not_endless() -> None:
    assert shown_path(b"/a\xff?secret") == "/a\\xff"
    assert len(shown_path(b"/" * 1_000)) == 200
