"""Subscribers that count: raw sockets, one epoll, frames told by their length alone.

All frames of a run have the same length: ids, times and data do. So the load neither
parses nor walks frames, and one Python process receives faster than any server here sends.
"""

import select
import time
from collections.abc import Callable
from typing import Final

from benchmarks.opening import AT_ONCE, GraphQLGreeting, Greeting, Turns, open_sockets

__all__ = ["Subscribers", "piece_length"]


def frame_length(buffer: bytearray, received: int) -> int:  # noqa: ARG001 - it says so itself
    """The length of the WebSocket frame at the beginning of `buffer`."""
    # RFC 6455, 5.2: 126 says that two more bytes hold the length.
    return 4 + int.from_bytes(buffer[2:4], "big") if buffer[1] == 126 else 2 + buffer[1]


def piece_length(buffer: bytearray, received: int) -> int:  # noqa: ARG001 - like `frame_length`
    """The length of a piece of a stream that has come alone: all of it."""
    return received


_SAMPLED: Final = 100
"""Subscribers whose latencies are taken."""


class Subscribers:
    """Subscribed connections and what they received.

    Args:
        port: of the server.
        count: how many.
        widget: the channel.
        confirmed: wait for each until its subscription has begun; else only for the last of
            each 64, which is enough to time.
        tick: told how many more are open.
        greeting: how to subscribe.
        length: of the first frame in so many received bytes.
        heartbeat: what a stream is sent from time to time, and does not count.
    """

    def __init__(
        self,
        port: int,
        count: int,
        widget: str,
        *,
        confirmed: bool = True,
        tick: Callable[[int], None] = lambda _: None,
        greeting: Greeting | None = None,
        length: Callable[[bytearray, int], int] = frame_length,
        heartbeat: bytes = b"",
    ) -> None:
        self._frame_length = length
        self._heartbeat = heartbeat
        chosen = greeting or GraphQLGreeting()

        def said(number: int) -> Turns:
            last = number % AT_ONCE == AT_ONCE - 1 or number == count - 1
            return chosen.turns(number, widget, confirmed=confirmed or last)

        self.sockets = open_sockets(port, count, chosen.request(widget), said, tick)
        self.epoll = select.epoll()
        self._by_fd = {client.fileno(): client for client in self.sockets}
        for number in self._by_fd:
            self.epoll.register(number, select.EPOLLIN)
        every = max(1, count // _SAMPLED)
        self._sampled = {client.fileno(): 0 for client in self.sockets[::every]}
        self._buffer = bytearray(1 << 18)
        self.total_bytes = 0
        self.frame_bytes = 0
        self.first_frame_bytes = 0
        self.sent_at: list[float] = []
        """When each message of the measurement was sent, or should have been."""
        self.latencies: list[float] = []
        self.drain(0.05)

    def __len__(self) -> int:
        return len(self.sockets)

    def register(self, descriptor: int) -> None:
        """Wait for another socket too; `poll` returns it."""
        self.epoll.register(descriptor, select.EPOLLIN)

    def begin(self) -> None:
        """Forget what was received."""
        self.total_bytes = 0
        self.sent_at.clear()
        self.latencies.clear()
        for number in self._sampled:
            self._sampled[number] = 0

    @property
    def delivered(self) -> int:
        """Messages that all subscribers have, or as many deliveries in sum."""
        return self.total_bytes // (self.frame_bytes * len(self.sockets))

    def poll(self, timeout_seconds: float) -> list[int]:
        """Receive what has come, and return the descriptors that are not subscribers."""
        others: list[int] = []
        by_fd, buffer, sampled = self._by_fd, self._buffer, self._sampled
        frame_bytes, sent_at = self.frame_bytes, self.sent_at
        total = 0
        for number, _ in self.epoll.poll(timeout_seconds, 4096):
            client = by_fd.get(number)
            if client is None:
                others.append(number)
                continue
            received = client.recv_into(buffer)
            if not received:
                raise RuntimeError("the server closed a subscriber")
            if self._heartbeat:
                beats = buffer.count(self._heartbeat, 0, received)
                received -= beats * len(self._heartbeat)
            total += received
            if not self.first_frame_bytes:
                self.first_frame_bytes = self._frame_length(buffer, received)
            if frame_bytes and number in sampled:
                before = sampled[number]
                sampled[number] = after = before + received
                now = time.perf_counter()
                for message in range(before // frame_bytes, after // frame_bytes):
                    if message < len(sent_at):
                        self.latencies.append(now - sent_at[message])
        self.total_bytes += total
        return others

    def drain(self, quiet_seconds: float) -> None:
        """Receive until nothing has come for a while."""
        while True:
            before = self.total_bytes
            self.poll(quiet_seconds)
            if self.total_bytes == before:
                return

    def close(self) -> None:
        """Hang up."""
        self.epoll.close()
        for client in self.sockets:
            client.close()
