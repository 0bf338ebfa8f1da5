"""What it costs a publish that a policy and bans are in force."""

import json
import statistics
import time
from typing import Final

from benchmarks import wire
from benchmarks.opening import open_sockets
from benchmarks.publish import acknowledged
from benchmarks.publishers import MarkedPublisher
from benchmarks.rooms.asker import Asker, asking
from benchmarks.rooms.tokens import token
from benchmarks.servers import Server

__all__ = ["policy"]

_WIDGET: Final = "policy"
_PLAIN: Final = "BENCHMRK"
_RULED: Final = "BENCHRUL"
_SOCKETS: Final = 16
_DEPTH: Final = 64
_DAY_MS: Final = 24 * 3600 * 1000
_DATA: Final = {
    "name": "Anna",
    "text": "what a goal, that was the best one of the whole season so far " * 2,
    "choice": "red",
    "score": 42,
    "loud": True,
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40},
        "text": {"type": "string", "maxLength": 500},
        "choice": {"enum": ["red", "green", "blue", "yellow"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 1000},
        "loud": {"type": "boolean"},
    },
    "required": ["name", "text", "choice"],
    "additionalProperties": False,
}
_REFUSED: Final = (
    _DATA | {"score": "42"},
    _DATA | {"text": "what a bádword7 that was"},
)
_PUBLISH: Final = (
    "mutation Say($project: ID!, $widget: ID!, $data: JSON!) { publish(projectId: $project, "
    "widgetId: $widget, data: $data) { id created } }"
)
_POLICY: Final = (
    "mutation ($project: ID!, $widget: ID!, $policy: ChannelPolicyInput!) { setChannelPolicy("
    "projectId: $project, widgetId: $widget, policy: $policy) { slowModeSeconds } }"
)
_BAN: Final = (
    "mutation ($project: ID!, $input: BanInput!) { ban(projectId: $project, input: $input) { id } }"
)


class _Publisher(MarkedPublisher):
    """Publishes of one person in one project."""

    def __init__(self, port: int, project: str, proof: str) -> None:
        init = {"type": "connection_init", "payload": {"authToken": proof}}
        (opened,) = open_sockets(
            port,
            1,
            wire.handshake(),
            lambda _: [(wire.text(json.dumps(init)), b"connection_ack")],
        )
        frames = [_frame(number, project) for number in range(2 * _DEPTH)]
        super().__init__(opened, frames, b'"complete"}')

    def _count(self, chunk: bytes) -> int:
        if b'"errors"' in chunk:
            raise RuntimeError(f"a publish was answered with {chunk[:500]!r}")
        return super()._count(chunk)


def _frame(number: int, project: str) -> bytes:
    variables = {"project": project, "widget": _WIDGET, "data": _DATA}
    message = {
        "id": f"p{number:07d}",
        "type": "subscribe",
        "payload": {"query": _PUBLISH, "variables": variables},
    }
    return wire.text(json.dumps(message, separators=(",", ":")))


def _rule(asker: Asker, bans: int) -> None:
    """Put a policy and bans in force; none of them concerns whoever publishes."""
    now = int(time.time() * 1000)
    asker.ask(
        _POLICY,
        policy={
            "opensAt": now - _DAY_MS,
            "closesAt": now + _DAY_MS,
            "blockedWords": [f"badword{number}" for number in range(100)],
            "dataSchema": _SCHEMA,
        },
    )
    for number in range(bans):
        kind = ("sub", "username")[number % 2]
        asker.ask(_BAN, input={kind: f"banned-{number}"})


def _is_refused(asker: Asker, data: object) -> bool:
    try:
        asker.publish(data)
    except RuntimeError as error:
        return "REJECTED" in str(error)
    return False


def policy(
    server: Server, bans: int, rounds: int, seconds: float
) -> tuple[list[tuple[str, object]], bool]:
    """Publish without and with rules in turns; return the figures.

    Args:
        server: knows the tokens of `benchmarks.rooms.tokens`.
        bans: in force in the project.
        rounds: how often each has its turn; their medians are shown.
        seconds: of each turn.
    """
    with asking(server.port, token("mia", "moderate"), _WIDGET, _RULED) as asker:
        _rule(asker, bans)
        kept = all(_is_refused(asker, data) for data in _REFUSED)
    proof = token("anna")
    publishers = {
        project: [_Publisher(server.port, project, proof) for _ in range(_SOCKETS)]
        for project in (_PLAIN, _RULED)
    }
    found: dict[str, list[tuple[float, ...]]] = {_PLAIN: [], _RULED: []}
    for project in (_PLAIN, _RULED):  # so that both are warm
        acknowledged(server, publishers[project], seconds / 3)
    for number in range(rounds):
        turns = (_PLAIN, _RULED) if number % 2 == 0 else (_RULED, _PLAIN)
        for project in turns:
            found[project].append(acknowledged(server, publishers[project], seconds))
    for each in publishers.values():
        for publisher in each:
            publisher.close()
    rates, costs = (
        {project: statistics.median(one[place] for one in found[project]) for project in found}
        for place in (0, 1)
    )
    rows: list[tuple[str, object]] = [
        ("bans in force", bans),
        ("what the rules forbid was refused", "yes" if kept else "NO"),
        ("acknowledged/s without rules", rates[_PLAIN]),
        ("acknowledged/s with rules", rates[_RULED]),
        ("share of the rate that is left", rates[_RULED] / rates[_PLAIN]),
        ("server CPU µs each without rules", costs[_PLAIN]),
        ("server CPU µs each with rules", costs[_RULED]),
    ]
    return rows, kept
