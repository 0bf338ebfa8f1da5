"""A client that waits for each answer: what is set up and checked, not what is measured."""

import json
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from benchmarks import wire
from benchmarks.opening import TIMEOUT_SECONDS, open_sockets
from benchmarks.reader import frames

__all__ = ["Asker", "asking"]

_IDS: Final = "projectId: $project, widgetId: $widget"
_HEAD: Final = "($project: ID!, $widget: ID!"


class Asker:
    """One graphql-transport-ws socket; several operations may have been started on it.

    Args:
        port: of the server.
        token: who asks.
        widget: the channel.
        project: its project.
    """

    def __init__(self, port: int, token: str, widget: str, project: str = wire.PROJECT) -> None:
        init = wire.text(json.dumps({"type": "connection_init", "payload": {"authToken": token}}))
        (self.socket,) = open_sockets(
            port, 1, wire.handshake(), lambda _: [(init, b"connection_ack")]
        )
        self.socket.settimeout(TIMEOUT_SECONDS)
        self._channel = {"project": project, "widget": widget}
        self._numbers = count()
        self._rest = b""
        self._said: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
        """By operation, until it is asked for."""

    def publish(self, data: object) -> str:
        """Publish and return the message's id."""
        asked = f"mutation {_HEAD}, $data: JSON!) {{ publish({_IDS}, data: $data) {{ id }} }}"
        identifier: str = self.ask(asked, data=data)["publish"]["id"]
        return identifier

    def ask(self, document: str, **variables: object) -> dict[str, Any]:
        """Carry out a query or a mutation and return its data."""
        return self.finish(self.start(document, **variables))

    def finish(self, operation: str) -> dict[str, Any]:
        """Wait for the answer to a query or a mutation that was started."""
        data = self._next(operation)
        if self._receive(operation)["type"] != "complete":
            raise RuntimeError("an operation was answered twice")
        return data

    def told(self, document: str, **variables: object) -> Generator[dict[str, Any], None, None]:
        """Subscribe and return what comes; it is unsubscribed when the generator is closed."""
        identifier = self.start(document, **variables)
        try:
            while True:
                yield self._next(identifier)
        finally:
            self._send({"id": identifier, "type": "complete"})

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def start(self, document: str, **variables: object) -> str:
        """Send an operation and return its id."""
        identifier = f"a{next(self._numbers)}"
        payload = {"query": document, "variables": self._channel | variables}
        self._send({"id": identifier, "type": "subscribe", "payload": payload})
        return identifier

    def _send(self, message: dict[str, object]) -> None:
        self.socket.sendall(wire.text(json.dumps(message)))

    def _next(self, identifier: str) -> dict[str, Any]:
        message = self._receive(identifier)
        if message["type"] != "next" or "errors" in message["payload"]:
            raise RuntimeError(f"an operation was answered with {message}")
        data: dict[str, Any] = message["payload"]["data"]
        return data

    def _receive(self, identifier: str) -> dict[str, Any]:
        """Return the next that is said of an operation."""
        said = self._said[identifier]
        while not said:
            chunk = self.socket.recv(1 << 18)
            if not chunk:
                raise RuntimeError("the server hung up")
            found, self._rest = frames(self._rest + chunk)
            for frame in found:
                message = json.loads(frame)
                self._said[message["id"]].append(message)
        return said.popleft()


@contextmanager
def asking(port: int, token: str, widget: str, project: str = wire.PROJECT) -> Iterator[Asker]:
    """Open an `Asker`, and hang up at the end."""
    asker = Asker(port, token, widget, project)
    try:
        yield asker
    finally:
        asker.close()
