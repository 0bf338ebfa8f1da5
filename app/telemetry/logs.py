"""What the service writes about itself: log records, as text or as JSON lines.

Never a token, a message's data, a user name or a query: records hold what an operator needs
to find a fault, not what users said.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, TextIO

import msgspec

from app.telemetry.log_fields import Fact, as_text, facts_of
from app.telemetry.tracebacks import traceback_text

__all__ = ["LogLine", "LogThrottle", "configure_logging"]

_TASK_ERROR: Final = re.compile(r"exception=.*")
_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's
        return "" if ei[1] is None else traceback_text(ei[1])


class _TextFormatter(_Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        # Before the traceback, which has lines of its own.
        return super().formatMessage(record) + as_text(facts_of(record))


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = facts_of(record)
        entry: dict[str, Fact] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": facts.pop("event"),
            "message": record.getMessage(),
            "process": record.process or 0,
            **facts,
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


class _WithoutPayloads(logging.Filter):
    """Cuts off what libraries write of what users sent.

    Query strings of paths: a GET's has the user's document and variables. And the errors of tasks,
    which asyncio quotes: their texts may quote anything.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) and arg.startswith("/") else arg
                for arg in record.args
            )
        if record.name == "asyncio":
            record.msg = _TASK_ERROR.sub("exception=…", record.getMessage())
            record.args = ()
        return True


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["text", "json"] = "text",
    stream: TextIO | None = None,
) -> None:
    """Send all log records to one stream. Called once per process; calling again replaces it.

    Args:
        level: the least severe record written; of libraries `info` is the least.
        form: `text` for a person, `json` for one JSON object a line.
        stream: where to; None: standard error, so that standard output stays for `serve`'s
            own lines.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter(_TEXT))
    handler.addFilter(_WithoutPayloads())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    # Libraries say at DEBUG what they send and receive: data, passwords, tokens.
    root.setLevel(max(logging.INFO, least))
    logging.getLogger("app").setLevel(least)
    # What these say at INFO is in lines of ours, or has addresses with queries in them.
    for noisy in ("alembic", "asyncio", "httpx", "uvicorn", "websockets"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, least))
    logging.captureWarnings(True)


class LogLine(NamedTuple):
    """A line that may be written.

    Attributes:
        key: what it is about.
        withheld: how many lines about the same were not written since the last one.
    """

    key: str
    withheld: int

    @property
    def more(self) -> str:
        """What to add to the line."""
        return f" ({self.withheld} more since the last such line)" if self.withheld else ""


class LogThrottle:
    """Lets one line a key through in each interval, for events that strangers cause.

    Args:
        others: stands for all further keys once there are too many: they share one line an
            interval, so that made-up keys fill neither the log nor the memory.
        interval_seconds: between two lines about one key.
        max_keys: that are told apart within an interval.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        *,
        others: str,
        interval_seconds: float = 60.0,
        max_keys: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._others = others
        self._interval_seconds = interval_seconds
        self._max_keys = max_keys
        self._clock = clock
        # The oldest line first: when it was written, and what was withheld since.
        self._lines: dict[str, tuple[float, int]] = {}

    def admit(self, key: str) -> LogLine | None:
        """Return the line to write about `key`, or None if it is withheld.

        Args:
            key: short; it is kept for an interval.
        """
        now = self._clock()
        if key not in self._lines and self._full():
            self._forget_old(now)
            if self._full():
                key = self._others
        written, withheld = self._lines.get(key, (now - self._interval_seconds, 0))
        if now - written < self._interval_seconds:
            self._lines[key] = (written, withheld + 1)
            return None
        self._lines.pop(key, None)
        self._lines[key] = (now, 0)
        return LogLine(key, withheld)

    def _full(self) -> bool:
        return len(self._lines) - (self._others in self._lines) >= self._max_keys

    def _forget_old(self, now: float) -> None:
        for key, (written, _) in tuple(self._lines.items()):
            if now - written < self._interval_seconds:
                return
            if key != self._others:
                del self._lines[key]
