"""Log records: their two forms, and what never gets into them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from app.telemetry.logs import LogLine, LogThrottle, configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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


def test_json_carries_the_exception() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        raise RuntimeError("oh")
    except RuntimeError:
        logging.getLogger("app.test").exception("it failed")
    assert "RuntimeError: oh" in json.loads(stream.getvalue())["exception"]


def test_query_strings_of_requests_are_not_written() -> None:
    line = _logged("text", '%s - "%s %s"', "1.2.3.4", "GET", "/graphql?query={secret}")
    assert "/graphql" in line
    assert "secret" not in line


@pytest.mark.parametrize(("level", "written"), [("debug", True), ("info", False)])
def test_lines_of_uvicorn_for_each_socket_are_written_only_for_debugging(
    level: Literal["debug", "info"], written: bool
) -> None:
    stream = io.StringIO()
    configure_logging(level, "text", stream)
    logging.getLogger("uvicorn.error").info("connection open")
    assert ("connection open" in stream.getvalue()) is written


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
