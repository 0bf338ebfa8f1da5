"""HTTP requests that are watched: for the access log, for traces, or for both.

What nobody asked for costs one question a request: see `watched`.
"""

import logging
import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from app.errors import cut
from app.peer import Peer
from app.telemetry.log_fields import event
from app.telemetry.traces import TRACES

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = [
    "WATCHED",
    "WatchedRequest",
    "kept_request_id",
    "log_refused",
    "log_upgrade",
    "shown_path",
    "watched",
]

WATCHED: Final = "widgetwire.watched"
"""The key in `scope["extensions"]` under which a `WatchedRequest` is found, or None."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_PATH_MAX: Final = 200
_NAME_MAX: Final = 100

_log: Final = logging.getLogger(__name__)


def kept_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the `X-Request-Id` of a request: 1 to 64 letters, digits, `_`, `.` or `-`.

    Returns:
        None where there is none, or another; then one is made.
    """
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("ascii") if _REQUEST_ID.fullmatch(value) else None
    return None


class WatchedRequest:
    """One request, from its head to the end of its answer.

    Attributes:
        operation: the name of the GraphQL operation in it; whoever knows it says so.
    """

    __slots__ = (
        "_began",
        "_ended",
        "_logged",
        "_method",
        "_path",
        "_peer",
        "_request_id",
        "_span",
        "_status",
        "operation",
        "sent_bytes",
    )

    def __init__(
        self,
        peer: Peer,
        request_id: str,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        logged: bool,
    ) -> None:
        self.operation: str | None = None
        self.sent_bytes = 0
        """Of the answer's content."""
        self._peer = peer
        self._request_id = request_id
        self._method = method
        # Never the query: it has documents, variables and tokens.
        self._path = shown_path(target)
        self._logged = logged
        self._began = time.monotonic()
        self._status: int | None = None
        self._ended = False
        recorder = TRACES.recorder
        self._span: Span | None = None
        if recorder is not None:
            self._span = recorder.request(method, self._path, headers)

    def enter(self) -> None:
        """Make it the parent of what this task does from now on; for a task of its own."""
        if self._span is not None and TRACES.recorder is not None:
            TRACES.recorder.enter(self._span)

    def answering(self, status: int) -> None:
        """Take note of the answer's status."""
        self._status = status

    def ended(self) -> None:
        """The answer is written, or the client is gone. Idempotent."""
        if self._ended:
            return
        self._ended = True
        if self._span is not None and TRACES.recorder is not None:
            TRACES.recorder.answered(self._span, self._status)
        if self._logged:
            self._write()

    def _write(self) -> None:
        status = self._status
        _log.info(
            "%s %s: %s",
            self._method,
            self._path,
            "the client went away" if status is None else status,
            extra=event(
                "request.abandoned" if status is None else "request.answered",
                method=self._method,
                path=self._path,
                status=status,
                bytes=self.sent_bytes,
                seconds=time.monotonic() - self._began,
                operation=None if self.operation is None else cut(self.operation, _NAME_MAX),
                peer=self._peer,
                request_id=self._request_id,
            ),
        )


def watched(
    peer: Peer,
    request_id: str,
    method: str,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    access_log: bool,
) -> WatchedRequest | None:
    """Return a request that somebody wants to know about; None: nobody does.

    Args:
        peer: who sent it.
        request_id: kept or made.
        method: as it came.
        target: with its query, which goes nowhere.
        headers: names in lower case.
        access_log: whether there is a line for each request.
    """
    if not access_log and TRACES.recorder is None:
        return None
    logged = access_log and _log.isEnabledFor(logging.INFO)
    return WatchedRequest(peer, request_id, method, target, headers, logged=logged)


def log_refused(peer: Peer, status: int) -> None:
    """Write the line of a request that cannot be understood: it has no path and no id."""
    _log.info(
        "a request that is no valid one: %d",
        status,
        extra=event(
            "request.refused",
            status=status,
            peer=peer,
        ),
    )


def log_upgrade(peer: Peer, path: str, status: int) -> None:
    """Write the line of a request to become a socket.

    Args:
        peer: who sent it.
        path: as `shown_path` returns it.
        status: 101, or that of the refusal.
    """
    _log.info(
        "GET %s: %d",
        path,
        status,
        extra=event(
            "request.answered",
            method="GET",
            path=path,
            status=status,
            peer=peer,
        ),
    )


def shown_path(target: bytes) -> str:
    """Return the path of a request target as a log may have it: printable, and not endless."""
    return cut(target.partition(b"?")[0].decode("ascii", "backslashreplace"), _PATH_MAX)
