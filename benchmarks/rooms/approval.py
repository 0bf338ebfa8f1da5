"""Two moderators approve all that waits at once: everybody hears one order, and nothing twice."""

import select
import time
from typing import Final

from benchmarks.opening import GraphQLGreeting, open_sockets
from benchmarks.reader import Reader
from benchmarks.rooms.asker import Asker, asking
from benchmarks.rooms.tokens import token
from benchmarks.servers import Server

__all__ = ["approval"]

_WIDGET: Final = "approval"
_BATCH: Final = 50
"""Messages that a moderator approves with one mutation."""
_PATIENCE_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 0.2
_IDS: Final = "projectId: $project, widgetId: $widget"
_HOLD: Final = (
    "mutation ($project: ID!, $widget: ID!) { setChannelPolicy("
    f"{_IDS}, policy: {{hold: UNTIL_APPROVED}}) {{ hold }} }}"
)
_APPROVE: Final = (
    f"mutation ($project: ID!, $widget: ID!, $ids: [ID!]!) {{ approve({_IDS}, ids: $ids) }}"
)
_STORED: Final = (
    "query ($project: ID!, $widget: ID!, $offset: Int!) { "
    f"messages({_IDS}, query: {{limit: 1000, offset: $offset}}) {{ messages {{ data }} }} }}"
)


class _Crowd:
    """Listeners, and the numbers that each has heard."""

    def __init__(self, port: int, count: int) -> None:
        greeting = GraphQLGreeting()
        self._sockets = open_sockets(
            port,
            count,
            greeting.request(_WIDGET),
            lambda number: greeting.turns(number, _WIDGET, confirmed=True),
        )
        self._by_fd = {one.fileno(): (one, Reader()) for one in self._sockets}
        self._epoll = select.epoll()
        for number in self._by_fd:
            self._epoll.register(number, select.EPOLLIN)
        self._heard = 0

    def listen(self, count: int) -> None:
        """Return when each has heard so many.

        Raises:
            RuntimeError: somebody has not.
        """
        deadline = time.perf_counter() + _PATIENCE_SECONDS
        while self._heard < count * len(self._sockets):
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{self._heard:,} of {count * len(self._sockets):,} were heard")
            self._poll(0.05)

    def heard(self) -> list[list[int]]:
        """What each has heard, in order, once nothing more comes."""
        before = -1
        while before < self._heard:
            before = self._heard
            self._poll(_QUIET_SECONDS)
        return [list(reader.heard) for _, reader in self._by_fd.values()]

    def _poll(self, seconds: float) -> None:
        for number, _ in self._epoll.poll(seconds):
            client, reader = self._by_fd[number]
            chunk = client.recv(1 << 18)
            if not chunk:
                raise RuntimeError("the server closed a listener")
            before = len(reader.heard)
            reader.feed(chunk)
            self._heard += len(reader.heard) - before

    def close(self) -> None:
        """Hang up."""
        self._epoll.close()
        for client in self._sockets:
            client.close()


def approval(server: Server, listeners: int, count: int) -> tuple[list[tuple[str, object]], bool]:
    """Approve held messages; return the figures, and whether all heard the same, each once.

    Args:
        server: knows the tokens of `benchmarks.rooms.tokens`.
        listeners: of `messages`, each its own connection.
        count: of messages that wait.
    """
    moderators = [token(name, "moderate") for name in ("mia", "mo")]
    with (
        asking(server.port, moderators[0], _WIDGET) as mia,
        asking(server.port, moderators[1], _WIDGET) as mo,
    ):
        mia.ask(_HOLD)
        ids = [mia.publish(f"{number:09d}") for number in range(count)]
        crowd = _Crowd(server.port, listeners)
        try:
            began = time.perf_counter()
            # Each approves everything, from its own end.
            asked = [(one, _approving(one, way)) for one, way in ((mia, ids), (mo, ids[::-1]))]
            crowd.listen(count)
            seconds = time.perf_counter() - began
            counted = sum(
                one.finish(operation)["approve"]
                for one, operations in asked
                for operation in operations
            )
            heard = crowd.heard()
        finally:
            crowd.close()
        stored = _stored(mia, count)
    repeated = sum(len(each) - len({*each}) for each in heard)
    otherwise = sum(each != stored for each in heard)
    kept = not (repeated or otherwise) and counted == count == len({*stored})
    rows: list[tuple[str, object]] = [
        ("messages that waited", count),
        ("listeners", listeners),
        ("seconds from the first approval to the last listener", seconds),
        ("counted as approved, by both moderators", counted),
        ("heard twice", repeated),
        ("listeners whose order is not the stored one", otherwise),
    ]
    return rows, kept


def _approving(moderator: Asker, ids: list[str]) -> list[str]:
    return [
        moderator.start(_APPROVE, ids=ids[first : first + _BATCH])
        for first in range(0, len(ids), _BATCH)
    ]


def _stored(asker: Asker, count: int) -> list[int]:
    return [
        int(message["data"])
        for offset in range(0, count, 1000)
        for message in asker.ask(_STORED, offset=offset)["messages"]["messages"]
    ]
