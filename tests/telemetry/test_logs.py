"""Log records: their two forms, and what never gets into them."""

import asyncio
import gc
import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from app.telemetry.log_fields import event
from app.telemetry.logs import LogLine, LogThrottle, configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for name in ("app", "alembic", "asyncio", "httpx", "uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def _logged(form: Literal["text", "json"], *args: object) -> str:
    stream = io.StringIO()
    configure_logging("info", form, stream)
    logging.getLogger("app.test").info(*args)
    return stream.getvalue()


def test_text_is_one_line_for_a_person_in_utc() -> None:
    line = _logged("text", "%d workers", 2)
    assert line.endswith("Z INFO    app.test: 2 workers\n")


def test_json_is_one_object_a_line_whatever_the_text_holds() -> None:
    line = _logged("json", "two\nlines, %s", "\ud800")
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry["message"] == "two\nlines, \\ud800"
    assert (entry["level"], entry["logger"]) == ("info", "app.test")


@pytest.mark.parametrize("form", ["text", "json"])
def test_both_carry_the_traceback_without_what_users_sent(form: Literal["text", "json"]) -> None:
    stream = io.StringIO()
    configure_logging("info", form, stream)
    try:
        int("secret")
    except ValueError:
        logging.getLogger("app.test").exception("it failed")
    written = stream.getvalue()
    if form == "json":
        entry = json.loads(written)
        assert entry["event"] == "defect"
        written = entry["exception"]
    assert 'int("secret")' in written, "the source of the line is ours"
    assert "ValueError: (its text may quote what users sent)" in written


def test_facts_stand_beside_the_text_in_both_forms() -> None:
    stream = io.StringIO()
    facts = event("worker.ended", exit_code=-9, pause_seconds=0.25, channel=None, said="a b")
    for form in ("text", "json"):
        configure_logging("info", form, stream)
        logging.getLogger("app.test").info("a worker ended", extra=facts)
    text, line = stream.getvalue().splitlines()
    assert text.endswith('app.test: a worker ended exit_code=-9 pause_seconds=0.25 said="a b"')
    entry = json.loads(line)
    assert entry["event"] == "worker.ended"
    assert (entry["exit_code"], entry["pause_seconds"], entry["said"]) == (-9, 0.25, "a b")
    assert "channel" not in entry


async def _quote() -> None:
    raise ValueError("secret")


def test_what_asyncio_says_of_a_task_does_not_quote_its_error() -> None:
    stream = io.StringIO()
    configure_logging("debug", "text", stream)

    async def forgotten() -> None:
        task = asyncio.create_task(_quote())
        await asyncio.wait({task})
        del task
        gc.collect()

    asyncio.run(forgotten())
    assert "never retrieved" in stream.getvalue()
    assert "secret" not in stream.getvalue().replace('ValueError("secret")', "")


def test_query_strings_of_requests_are_not_written() -> None:
    line = _logged("text", '%s - "%s %s"', "1.2.3.4", "GET", "/graphql?query={secret}")
    assert "/graphql" in line
    assert "secret" not in line


@pytest.mark.parametrize("level", ["debug", "info"])
def test_libraries_do_not_say_what_they_send_and_receive(level: Literal["debug", "info"]) -> None:
    stream = io.StringIO()
    configure_logging(level, "text", stream)
    logging.getLogger("uvicorn.error").info("connection open")
    logging.getLogger("aiokafka").debug("Request 1: secret")
    assert stream.getvalue() == ""
    logging.getLogger("app.test").debug("ours")
    assert ("ours" in stream.getvalue()) is (level == "debug")


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_line_a_key_and_interval_and_the_next_says_how_many_were_withheld() -> None:
    clock = _Clock()
    throttle = LogThrottle(others="others", interval_seconds=60, clock=clock)
    assert throttle.admit("a") == LogLine("a", 0)
    assert throttle.admit("b") == LogLine("b", 0)
    clock.now = 59.9
    assert [throttle.admit("a") for _ in range(3)] == [None] * 3
    clock.now = 60
    line = throttle.admit("a")
    assert line == LogLine("a", 3)
    assert line.more == " (3 more since the last such line)"
    assert throttle.admit("a") is None


def test_a_flood_of_keys_shares_one_line_and_is_not_remembered() -> None:
    clock = _Clock()
    throttle = LogThrottle(others="others", interval_seconds=60, max_keys=10, clock=clock)
    lines = [throttle.admit(f"made up {number}") for number in range(10_000)]
    written = [line for line in lines if line is not None]
    assert [line.key for line in written] == [f"made up {n}" for n in range(10)] + ["others"]
    assert len(throttle._lines) == 11
    clock.now = 60
    assert throttle.admit("new") == LogLine("new", 0)
    assert [throttle.admit(f"again {number}") for number in range(10)][-1] == LogLine(
        "others", 9989
    )
