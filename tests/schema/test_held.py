"""Held messages in GraphQL: what comes in reaches the service, and what it says comes out."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.message import Message
from app.engine.execution import Executor
from app.schema import build_schema
from tests.storage.waiting_room import draft

pytestmark = pytest.mark.anyio

EXECUTOR = Executor.of(build_schema())
CHANNEL = 'projectId: "p", widgetId: "w"'


class Held:
    """The service, as the resolvers see it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Channel, Any]] = []

    async def waiting(self, _viewer: object, channel: Channel, limit: int) -> Sequence[Message]:
        self.asked.append(("waiting", channel, limit))
        return [draft(b'{"a": 1.50}', channel=channel).held(7)]

    async def approve(self, _viewer: object, channel: Channel, ids: Sequence[str]) -> int:
        self.asked.append(("approve", channel, ids))
        return len(ids)

    async def reject(self, _viewer: object, channel: Channel, ids: Sequence[str]) -> int:
        self.asked.append(("reject", channel, ids))
        return len(ids)


async def answer(held: Held, document: str) -> Any:
    context = SimpleNamespace(viewer=None, services=SimpleNamespace(held=held))
    return json.loads(await EXECUTOR.execute(EXECUTOR.prepare(document), {}, context))


@pytest.mark.parametrize(("argument", "limit"), [("", 50), (", limit: 2", 2)])
async def test_what_waits_is_listed(argument: str, limit: int) -> None:
    held = Held()
    fields = "clientId created data username persistent verified held"
    document = f"{{ heldMessages({CHANNEL}{argument}) {{ {fields} }} }}"
    assert await answer(held, document) == {
        "data": {
            "heldMessages": [
                {
                    "clientId": "client",
                    "created": 7,
                    "data": {"a": 1.5},
                    "username": "Ann",
                    "persistent": True,
                    "verified": True,
                    "held": True,
                }
            ]
        }
    }
    assert held.asked == [("waiting", Channel("p", "w"), limit)]


@pytest.mark.parametrize("field", ["approve", "reject"])
async def test_ids_come_in_their_order(field: str) -> None:
    held = Held()
    document = f'mutation {{ {field}({CHANNEL}, ids: ["b", "a"]) }}'
    assert await answer(held, document) == {"data": {field: 2}}
    assert held.asked == [(field, Channel("p", "w"), ["b", "a"])]
