"""Parts of delivery that tests drive by hand and look into afterwards."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from app.delivery.backends.memory import MemoryBackend
from app.domain.channel import Channel
from app.domain.entry import Entry, StoredEntry
from app.domain.message import Head, Message
from app.errors import Unavailable

__all__ = [
    "CHANNEL",
    "BrokenRecorder",
    "JoinedBackend",
    "Recorder",
    "Table",
    "stored",
    "transient",
    "until",
]

CHANNEL = Channel("project", "widget")
_ids = count(1)


def stored(sequence: int, size: int = 2, created_after: int = 0) -> Message:
    """Return the message at a place of the channel's order, with data of `size` bytes."""
    return Message(
        CHANNEL,
        sequence,
        f"id {created_after + sequence}",
        "client",
        created_after + sequence,
        None,
        b'"' + b"x" * (size - 2) + b'"',
    )


def transient(size: int = 2) -> Message:
    """Return a message that is not stored."""
    data = b'"' + b"x" * (size - 2) + b'"'
    return Message(CHANNEL, None, f"transient {next(_ids)}", "client", 1, None, data)


class Table:
    """The stored messages of the channel: a `History` that can be away and be slow."""

    def __init__(self, head: int = 0, size: int = 2) -> None:
        self.head = head
        self.size = size
        self.fails = 0
        """So many reads fail before the next succeeds."""
        self.error: type[Exception] = Unavailable
        self.reads: list[tuple[int, int]] = []
        self.created_after = 0
        """`created` is so much more than the sequence: larger in a count that began later."""
        self.removed = 0
        self.forgotten = 0
        self.on_read: Callable[[], None] = lambda: None

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        await self._maybe_fail()
        head = Head(self.head, self.created_after + self.head, self.removed)
        return dict.fromkeys(channels, head)

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        assert channel == CHANNEL
        self.reads.append((after, up_to))
        await self._maybe_fail()
        last = min(up_to, self.head, after + limit)
        page: list[StoredEntry] = [
            stored(sequence, self.size, self.created_after)
            for sequence in range(after + 1, last + 1)
        ]
        self.on_read()
        return page

    async def newest_id(self, channel: Channel, up_to: int) -> str | None:
        assert channel == CHANNEL
        await self._maybe_fail()
        return f"newest up to {up_to}" if up_to else None

    def forget(self, channel: Channel) -> None:
        assert channel == CHANNEL
        self.forgotten += 1

    async def _maybe_fail(self) -> None:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise self.error("the database is away")


class Recorder:
    """A subscriber that keeps what it is given."""

    def __init__(self) -> None:
        self.drops = 0
        self.restarts: list[int] = []
        self.removals = 0
        self.messages: list[Any] = []
        self.arrived = asyncio.Event()

    def deliver(self, messages: Sequence[Entry]) -> None:
        self.messages.extend(messages)
        self.arrived.set()

    def dropped(self) -> None:
        self.drops += 1

    def restarted(self, position: int) -> None:
        self.restarts.append(position)

    def removed(self) -> None:
        self.removals += 1

    @property
    def sequences(self) -> list[int]:
        return [one.sequence for one in self.messages if one.sequence is not None]

    async def has(self, last: int) -> None:
        """Wait until the message at this place came."""
        async with asyncio.timeout(20):
            while last not in self.sequences[-1:]:
                self.arrived.clear()
                await self.arrived.wait()


class BrokenRecorder(Recorder):
    """A subscriber that keeps what it is given, and fails at one place."""

    def __init__(self, fails_at: int, *, fails_when_dropped: bool = False) -> None:
        super().__init__()
        self._fails_at = fails_at
        self._fails_when_dropped = fails_when_dropped

    def deliver(self, messages: Sequence[Entry]) -> None:
        super().deliver(messages)
        if self._fails_at in self.sequences:
            raise ZeroDivisionError

    def dropped(self) -> None:
        super().dropped()
        if self._fails_when_dropped:
            raise ZeroDivisionError


class JoinedBackend(MemoryBackend):
    """One process's end of a bus in memory: each of `ends` hears what one of them posts."""

    def __init__(self, ends: "list[JoinedBackend]") -> None:
        super().__init__()
        self._ends = ends
        ends.append(self)

    def post(self, topic: str, text: str) -> bool:
        taken = [MemoryBackend.post(end, topic, text) for end in self._ends]
        return all(taken)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
