"""Log records: their two forms, and what never gets into them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from app.telemetry import configure_logging


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
