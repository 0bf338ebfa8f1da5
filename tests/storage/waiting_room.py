"""A channel whose messages wait for a moderator, on a real database."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import uuid4

from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.entry import StoredEntry
from app.domain.message import Draft, Message
from app.storage.database import Database
from app.storage.held import HeldMessages
from app.storage.held_writer import HeldWriter
from app.storage.history import MessageHistory
from app.storage.retractions import MessageRetractions
from app.storage.writer import MessageWriter, Written

__all__ = ["ANN", "WaitingRoom", "draft"]

ANN = "sub:ann"


class WaitingRoom:
    """What can be done in it, and what its process is told of."""

    def __init__(self, database: Database, channel: Channel | None = None, **options: Any) -> None:
        self.channel = channel or Channel("project", uuid4().hex)
        self.told: list[StoredEntry] = []
        self.arrived_in: list[Channel] = []
        self.held = HeldMessages(database, self._on_stored)
        self.holding = HeldWriter(database, self._on_held, **options)
        self.writer = MessageWriter(database, self._on_stored)
        self.history = MessageHistory(database)
        self._retractions = MessageRetractions(database, self._on_stored)

    async def hold(self, data: bytes = b"1", **options: Any) -> Message:
        return await self.holding.write(draft(data, **{"channel": self.channel, **options}))

    async def publish(self, data: bytes = b"1", **options: Any) -> Written:
        return await self.writer.write(draft(data, **{"channel": self.channel, **options}))

    async def moderator_retracts(self, message_id: str) -> None:
        await self._retractions.retract(
            self.channel, [message_id], retractor="sub:mo", any_publisher=True
        )

    async def approve(self, *messages: Message) -> int:
        return await self.held.approve(self.channel, [message.id for message in messages])

    async def reject(self, *messages: Message) -> int:
        return await self.held.reject(self.channel, [message.id for message in messages])

    async def waiting(self, channel: Channel | None = None) -> list[Message]:
        arrivals = await self.held.after(channel or self.channel, 0, 20_000)
        return [message for _, message in arrivals]

    async def stored(self) -> list[StoredEntry]:
        return await self.history.between(self.channel, 0, 20_000, 20_000)

    def _on_stored(self, entries: Sequence[StoredEntry]) -> None:
        self.told.extend(entries)

    def _on_held(self, channels: Collection[Channel]) -> None:
        self.arrived_in.extend(channels)


def draft(
    data: bytes = b"1",
    *,
    key: str | None = None,
    publisher: str | None = ANN,
    client_id: str = "client",
    replaces: bool = False,
    channel: Channel = Channel("project", "widget"),  # noqa: B008  (frozen)
) -> Draft:
    """Return a message on its way."""
    retraction_id = str(uuid7()) if replaces else None
    # Only a token gives a user name.
    username = "Ann" if publisher is not None and publisher.startswith("sub:") else None
    return Draft(channel, str(uuid7()), client_id, username, data, key, publisher, retraction_id)
