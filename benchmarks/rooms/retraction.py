"""A moderator takes a message back: how long until the last listener knows, and who shows it."""

import json
import time
from contextlib import closing
from typing import Final

from benchmarks import wire
from benchmarks.load import percentile
from benchmarks.opening import Turns
from benchmarks.rooms.asker import Asker, asking
from benchmarks.rooms.tokens import token
from benchmarks.servers import Server
from benchmarks.subscribers import Subscribers

__all__ = ["retraction"]

_WIDGET: Final = "retraction"
_GOAL_SECONDS: Final = 0.3
_QUIET_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 30.0
_IDS: Final = "projectId: $project, widgetId: $widget"
_EVENTS: Final = (
    "subscription ($project: ID!, $widget: ID!, $after: ID) { "
    f"channelEvents({_IDS}, after: $after) {{ kind: __typename "
    "... on MessagePublished { cursor message { id data } } "
    "... on MessagesRetracted { cursor ids reason } ... on CaughtUp { upTo: cursor } } }"
)
_RETRACT: Final = (
    f"mutation ($project: ID!, $widget: ID!, $ids: [ID!]!) {{ retract({_IDS}, ids: $ids) }}"
)
_NEWEST: Final = (
    f"({_IDS}, query: {{sortOrder: DESC, limit: 10}}) {{ totalCount messages {{ id }} }}"
)
_SEARCH: Final = f"query ($project: ID!, $widget: ID!) {{ messages{_NEWEST} }}"
_LIVE: Final = f"subscription ($project: ID!, $widget: ID!) {{ liveMessages{_NEWEST} }}"


class _EventsGreeting:
    """A subscription to `channelEvents`; the answer says when it has begun."""

    def request(self, widget: str) -> bytes:  # noqa: ARG002 - the subscription names it
        return wire.handshake()

    def turns(self, number: int, widget: str, *, confirmed: bool) -> Turns:  # noqa: ARG002
        variables = {"project": wire.PROJECT, "widget": widget}
        message = {
            "id": f"s{number:07d}",
            "type": "subscribe",
            "payload": {"query": _EVENTS, "variables": variables},
        }
        return [
            (wire.initialise(), b"connection_ack"),
            (wire.text(json.dumps(message)), b"CaughtUp"),
        ]


def retraction(
    server: Server, listeners: int, times: int, checked: int
) -> tuple[list[tuple[str, object]], bool]:
    """Retract messages, one at a time; return the figures, and whether nothing showed them.

    Args:
        server: knows the tokens of `benchmarks.rooms.tokens`.
        listeners: of `channelEvents`, each its own connection.
        times: retractions that are timed.
        checked: further ones after whose acknowledgement a search, a replay and a live result
            are looked at.
    """
    moderator = token("mia", "moderate")
    with (
        asking(server.port, moderator, _WIDGET) as asker,
        asking(server.port, moderator, _WIDGET) as watcher,
        closing(watcher.told(_LIVE)) as watched,
    ):
        # Somebody watches: the result that is asked for below is a kept one.
        next(watched)
        ids = [asker.publish(number) for number in range(times + 1)]
        crowd = Subscribers(server.port, listeners, _WIDGET, greeting=_EventsGreeting())
        try:
            crowd.begin()
            asker.ask(_RETRACT, ids=[ids.pop()])
            crowd.drain(_QUIET_SECONDS)
            # All are told the same; only then can the bytes be counted.
            frame_bytes, over = divmod(crowd.total_bytes, listeners)
            if over:
                raise RuntimeError(f"{listeners} listeners were told {crowd.total_bytes} bytes")
            took = [_timed(asker, crowd, frame_bytes * listeners, one) for one in ids]
        finally:
            crowd.close()
        shown = sum(_is_shown(asker, number) for number in range(checked))
    p99 = percentile(took, 0.99)
    rows: list[tuple[str, object]] = [
        ("listeners", listeners),
        ("retractions", len(took)),
        ("ms to the last listener, p50", 1000 * percentile(took, 0.5)),
        ("ms to the last listener, p99", 1000 * p99),
        ("acknowledged retractions looked for", checked),
        ("shown by a search, a replay or a live result", shown),
    ]
    return rows, not shown


def _timed(asker: Asker, crowd: Subscribers, owed_bytes: int, message_id: str) -> float:
    crowd.begin()
    began = time.perf_counter()
    operation = asker.start(_RETRACT, ids=[message_id])
    while crowd.total_bytes < owed_bytes:
        if time.perf_counter() - began > _PATIENCE_SECONDS:
            raise RuntimeError(f"{crowd.total_bytes:,} of {owed_bytes:,} bytes came")
        crowd.poll(0.05)
    seconds = time.perf_counter() - began
    if asker.finish(operation) != {"retract": 1}:
        raise RuntimeError("a message was not there to be retracted")
    if crowd.total_bytes > owed_bytes:
        raise RuntimeError(f"{crowd.total_bytes:,} bytes came instead of {owed_bytes:,}")
    return seconds


def _is_shown(asker: Asker, number: int) -> bool:
    """Retract a message, and return whether anything shows it after the acknowledgement."""
    before, rude = asker.publish(number), asker.publish(f"rude {number}")
    asker.ask(_RETRACT, ids=[rude])
    found = [asker.ask(_SEARCH)["messages"]]
    with closing(asker.told(_LIVE)) as results:
        found.append(next(results)["liveMessages"])
    shown = any(rude in (message["id"] for message in result["messages"]) for result in found)
    with closing(asker.told(_EVENTS, after=before)) as events:
        for event in events:
            told = event["channelEvents"]
            if told["kind"] == "CaughtUp":
                return shown
            shown |= told.get("cursor") == rude
    raise AssertionError("told without an end")
