"""What the connections of one server share: one turn, and one timer for each interval."""

import asyncio
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Self
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.server import ServerState

from app.wire.keepalive import Keepalive
from app.wire.outbound import Turn

__all__ = ["Shared", "after_writes", "turns"]

_SILENT_BEATS: Final = 3
"""A stream's peer that takes nothing for so many heartbeats is given up."""


class Shared:
    """One server's.

    Args:
        config: of the server.
    """

    newest: "ClassVar[Shared | None]" = None
    """Of the server that began last: a process has one."""

    def __init__(self, config: uvicorn.Config) -> None:
        Shared.newest = self
        self.loop = asyncio.get_running_loop()
        self.turn = Turn(self.loop)
        self.keepalive = Keepalive(self.loop, config.ws_ping_interval, config.ws_ping_timeout)
        self.leaving = False
        """The process is going away: each HTTP answer is the last of its connection."""
        self._beats: dict[float, Keepalive] = {}
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_fields = b""

    @classmethod
    def of(cls, state: ServerState, config: uvicorn.Config) -> Self:
        """Return what the connections of `state` share, made for the first of them."""
        found = _shared.get(state)
        if found is None:
            found = _shared[state] = cls(config)
        assert isinstance(found, cls)
        return found

    def default_fields(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the server's own header lines; it makes new ones once a second, for the date.

        Args:
            headers: `ServerState.default_headers`.
        """
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_fields = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        return self._default_fields

    def beats(self, seconds: float) -> Keepalive:
        """Return the heartbeats of streams that want one every so many seconds."""
        beats = self._beats.get(seconds)
        if beats is None:
            beats = self._beats[seconds] = Keepalive(self.loop, seconds, _SILENT_BEATS * seconds)
        return beats


def turns() -> Iterator[Turn]:
    """Give the turns of this process' servers; it has one."""
    for shared in tuple(_shared.values()):
        yield shared.turn


def after_writes(call: Callable[[], None]) -> None:
    """Call once all that waits for the end of this turn of the loop is written.

    Args:
        call: must not raise.
    """
    if Shared.newest is None:
        call()
    else:
        Shared.newest.turn.then(call)


_shared: Final[WeakKeyDictionary[ServerState, Shared]] = WeakKeyDictionary()
