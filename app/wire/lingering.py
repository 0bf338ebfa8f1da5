"""Closing a connection so that the peer can read the last answer.

RFC 9112, 9.6: "If the server receives additional data from the client on a fully closed
connection, such as another request sent by the client before receiving the server's response,
the server's TCP stack will send a reset packet to the client; unfortunately, the reset packet
might erase the client's unacknowledged input buffers before they can be read and interpreted by
the client's HTTP parser. To avoid the TCP reset problem, servers typically close a connection
in stages."
"""

import asyncio

__all__ = ["LingeringClose"]


class LingeringClose:
    """The end of one connection, begun when its last answer is written.

    The writing half is closed at once. What still comes is to be read, dropped and told to
    `dropped`, until the peer closes, the time is over, or too much has come.

    Args:
        loop: runs the timer.
        transport: not closing yet, and reading.
        seconds: how long to wait for the peer once the answer is sent whole.
        stalled_seconds: how long a peer may read nothing of an answer that is not.
        max_bytes: what is read and dropped; the connection is closed at more.
    """

    __slots__ = (
        "_bytes_left",
        "_loop",
        "_seconds",
        "_stalled_seconds",
        "_timer",
        "_transport",
        "_unsent",
        "_visits",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        *,
        seconds: float,
        stalled_seconds: float,
        max_bytes: int,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._seconds = seconds
        self._stalled_seconds = stalled_seconds
        self._bytes_left = max_bytes
        self._unsent = transport.get_write_buffer_size()
        # In a row without progress.
        self._visits = 0
        self._timer = loop.call_later(seconds, self._visit)
        # 9.6: "First, the server performs a half-close by closing only the write side of the
        # read/write connection. The server then continues to read from the connection".
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def dropped(self, size: int) -> None:
        """Take note of bytes that came and were dropped."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            self._transport.close()

    def stop(self) -> None:
        """Forget the timer: the connection is gone."""
        self._timer.cancel()

    def _visit(self) -> None:
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        self._visits = self._visits + 1 if self._unsent == before else 0
        if not self._unsent and self._visits:
            # "Finally, the server fully closes the connection."
            self._transport.close()
        elif self._visits * self._seconds >= self._stalled_seconds:
            # `close` would wait for what is unsent.
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._seconds, self._visit)
