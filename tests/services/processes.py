"""Processes that share a database and a bus, in one: all that keeps messages in memory."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.query import CompiledFilters, MessageQuery
from app.domain.viewer import Permission, Viewer
from app.services.deletion import DeletionService
from app.services.live.kept_searches import KeptSearches
from app.services.live.results import LiveResults
from app.services.messages import MessageService
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.history import MessageHistory
from app.storage.result_reads import ResultReads
from app.storage.retractions import MessageRetractions
from app.storage.search import MessageSearch
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter
from tests.delivery.recorded import JoinedBackend
from tests.services.live.members import Recorded

__all__ = ["ADMIN", "CHANNEL", "Processes", "processes"]

CHANNEL = Channel("project", "widget")
ADMIN = Viewer("Ada", frozenset(Permission), subject="ada")


@dataclass
class Process:
    """The parts of one process."""

    hub: Hub
    history: SharedHistory
    live: LiveResults
    messages: MessageService
    deletion: DeletionService

    async def publish(self, data: object, *, key: str | None = None) -> str:
        """Publish and return the message's id."""
        message = await self.messages.publish(
            ADMIN, CHANNEL, data, client_id="client", idempotency_key=key
        )
        return message.id

    async def replayed(self, **start: object) -> list[bytes]:
        """Return the data that somebody who subscribes now is given first."""
        source = await self.messages.subscribe(ADMIN, CHANNEL, **start)  # type: ignore[arg-type]
        member = Recorded()
        leave = await source.begin("data", lambda message: message.data_json, member)
        leave()
        return member.payloads

    async def total(self, query: MessageQuery) -> int:
        """Return how many messages a search finds."""
        search = self.messages.search(ADMIN, CHANNEL)
        return await search.total_count(CHANNEL, query)

    async def watch(self, query: MessageQuery) -> Recorded:
        """Return somebody who is given the number of messages that match, as it changes."""
        source = self.live.subscribe(
            ADMIN,
            CHANNEL,
            query,
            CompiledFilters(query.filters),
            lambda search, _on_unavailable: search.total_count(CHANNEL, query),
        )
        member = Recorded()

        async def respond(event: Awaitable[int]) -> bytes:
            return str(await event).encode()

        await source.begin(query, respond, member)
        return member


Processes = list[Process]


@asynccontextmanager
async def processes(
    database: Database, number: int = 2, search: MessageSearch | None = None
) -> AsyncIterator[Processes]:
    """Run them.

    Args:
        database: that they share.
        number: of processes.
        search: of all of them; None: one without bounds.
    """
    ends: list[JoinedBackend] = []
    searching = search or MessageSearch(database)
    made: Processes = []
    async with AsyncExitStack() as stack:
        for each in range(number):
            history = SharedHistory(MessageHistory(database))
            hub = Hub(Bus(JoinedBackend(ends), f"process {each}"), history)
            await hub.start()
            stack.push_async_callback(hub.stop)
            writer = MessageWriter(database, hub.publish_stored)
            stack.push_async_callback(writer.close)
            reads = await ResultReads.of(searching, database)
            live = LiveResults(hub, history, searching, reads, 0.02)
            kept = KeptSearches(searching, live)
            stack.callback(kept.close)
            messages = MessageService(
                hub=hub,
                writer=writer,
                retractions=MessageRetractions(database, hub.publish_stored),
                history=history,
                search=kept,
            )
            deletion = DeletionService(hub, history, searching, MessageDeletion(database))
            made.append(Process(hub, history, live, messages, deletion))
        yield made
