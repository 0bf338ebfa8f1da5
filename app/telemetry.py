"""What the service writes about itself: log records, as text or as JSON lines.

Never a token, a message's data, a user name or a query: records hold what an operator needs
to find a fault, not what users said.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

import msgspec

__all__ = ["configure_logging"]

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process or 0,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # Lone surrogates (a file name, say) cannot be UTF-8; the record must come out anyway.
        clean = {
            key: value.encode(errors="backslashreplace").decode()
            if isinstance(value, str)
            else value
            for key, value in entry.items()
        }
        return msgspec.json.encode(clean).decode()


class _WithoutQueries(logging.Filter):
    """Cuts query strings off paths: a GET's query holds the user's document and variables."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) and arg.startswith("/") else arg
                for arg in record.args
            )
        return True


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["text", "json"] = "text",
    stream: TextIO | None = None,
) -> None:
    """Send all log records to one stream. Called once per process; calling again replaces it.

    Args:
        level: the least severe record written.
        form: `text` for a person, `json` for one JSON object a line.
        stream: where to; None: standard error, so that standard output stays for `serve`'s
            own lines.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter(_TEXT))
    handler.addFilter(_WithoutQueries())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn writes two lines per WebSocket at INFO; at 1,000 connections a second that is
    # work. `uvicorn.access` is governed by its own setting.
    quiet = logging.DEBUG if level == "debug" else max(logging.WARNING, root.level)
    logging.getLogger("uvicorn.error").setLevel(quiet)
    for noisy in ("asyncio", "websockets", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
