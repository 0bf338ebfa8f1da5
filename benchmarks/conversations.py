"""How the load speaks to each kind of server, to subscribe and to publish."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks import publishers
from benchmarks.opening import GraphQLGreeting, Greeting
from benchmarks.publishers import Publisher
from benchmarks.rivals.nchan import conversation as nchan
from benchmarks.servers import Kind

__all__ = ["CONVERSATIONS", "Conversation", "Frames", "over_http", "over_sockets"]

Frames = Literal["singly", "joined"]

_CLIENTS: Final = 16
_SOCKETS: Final = 8
_DEPTH: Final = 64
"""Unanswered publishes on a socket."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """How the load speaks to one kind of server."""

    greeting: Greeting
    publishers: Mapping[Frames, Callable[[int, str], list[Publisher]]]
    """Those that publish so that frames travel singly or joined, by port and widget."""


def over_http(port: int, widget: str) -> list[Publisher]:
    """Publishers whose messages travel singly."""
    return [publishers.HttpPublisher(port, widget) for _ in range(_CLIENTS)]


def over_sockets(port: int, widget: str) -> list[Publisher]:
    """Publishers whose messages travel joined."""
    return [publishers.SocketPublisher(port, widget, _DEPTH) for _ in range(_SOCKETS)]


def _to_nchan_over_http(port: int, widget: str) -> list[Publisher]:
    return [nchan.HttpPublisher(port, widget) for _ in range(_CLIENTS)]


def _to_nchan_over_sockets(port: int, widget: str) -> list[Publisher]:
    return [nchan.SocketPublisher(port, widget, _DEPTH) for _ in range(_SOCKETS)]


CONVERSATIONS: Final[dict[Kind, Conversation]] = {
    "widgetwire": Conversation(GraphQLGreeting(), {"singly": over_http, "joined": over_sockets}),
    "stock": Conversation(GraphQLGreeting(), {"singly": over_http}),
    "mercurius": Conversation(GraphQLGreeting(), {"singly": over_http}),
    "nchan": Conversation(
        nchan.NchanGreeting(),
        {"singly": _to_nchan_over_http, "joined": _to_nchan_over_sockets},
    ),
}
