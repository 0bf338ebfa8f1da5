"""The kept results of one channel: each message is applied to those that it concerns."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Final

from app.delivery.by_filters import ByFilters
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.entry import Entry, Retraction
from app.domain.message import Head, Message
from app.domain.query import CompiledFilters, MessageQuery
from app.services.live.kept_result import KeptResult
from app.services.live.result_group import ResultGroup
from app.services.live.shared_opening import SharedOpening
from app.services.live.shared_result import SharedResult
from app.services.searching import Searching
from app.storage.head_looks import HeadLooks
from app.storage.result_reads import ResultReads

__all__ = ["ChannelResults"]

logger = logging.getLogger(__name__)

_ALIKE_MAX: Final = 1_000
"""Different results that each message of a kind is applied to, in some 10 ms; more are read when
they are made, at most every interval."""
_REACH_SECONDS: Final = 1.0
"""How long the feed may take to bring what the table has."""


class ChannelResults:
    """What a channel's messages are applied to; a subscriber of its feed."""

    def __init__(
        self,
        hub: Hub,
        looks: HeadLooks,
        search: Searching,
        reads: ResultReads,
        channel: Channel,
        turns: asyncio.Semaphore,
        account: Callable[[int], bool],
        on_end: Callable[["ChannelResults"], None],
    ) -> None:
        """Begin with no results.

        Args:
            hub: brings messages.
            looks: tells how far the table is.
            search: answers for what is not kept.
            reads: what is kept begins with it.
            channel: which.
            turns: how many results are read at once for those who watch.
            account: counts memory; false: there is no room for more.
            on_end: called when there are none any more, or nothing feeds them.
        """
        self.groups: dict[Hashable, ResultGroup] = {}
        """Those who show results, by what makes them the same bytes."""
        self.position = 0
        """The newest sequence that the feed has brought."""
        self._hub = hub
        self._looks = looks
        self._search = search
        self._reads = reads
        self._channel = channel
        self._turns = turns
        self._account = account
        self._on_end = on_end
        self._results: dict[MessageQuery, SharedResult] = {}
        self._light: ByFilters[SharedResult] = ByFilters()
        self._heavy: dict[SharedResult, None] = {}
        self._alike: Counter[Hashable] = Counter()
        """Results that one message may concern, by the value of a field that finds them."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._opened = SharedOpening(lambda: hub.join(channel, self))

    @property
    def size(self) -> int:
        """How many results there are."""
        return len(self._results)

    def find(self, query: MessageQuery) -> SharedResult | None:
        """Return a query's result if somebody holds it."""
        return self._results.get(query)

    def result(self, query: MessageQuery, filters: CompiledFilters) -> SharedResult:
        """Return a query's result; whoever asks for it holds it before anything is awaited.

        Args:
            query: what.
            filters: the query's.
        """
        result = self._results.get(query)
        if result is None:
            kept = KeptResult(
                self._channel,
                query,
                self._search,
                self._reads,
                self.head,
                keeps=filters.light and self._alike[filters.equality] < _ALIKE_MAX,
                turns=self._turns,
            )
            result = SharedResult(kept, filters, self._account, partial(self._forget, query))
            self._results[query] = result
            self._alike[filters.equality] += 1
            if filters.light:
                self._light.add(result, filters)
            else:
                self._heavy[result] = None
        return result

    async def open(self) -> None:
        """Return when nothing that is published is missed any more.

        Raises:
            Unavailable: the database is away.
        """
        self.position = max(self.position, await self._opened())

    async def head(self) -> Head:
        """Return the table's head, as it is after the call.

        What messages were deleted until then, no result has any more.

        Raises:
            Unavailable: the database is away.
        """
        head = await self._looks.head(self._channel)
        self._hub.notice(self._channel, head)
        return head

    async def reach(self, sequence: int, seconds: float = _REACH_SECONDS) -> bool:
        """Return whether the feed has brought everything up to a sequence.

        Args:
            sequence: as the table has it.
            seconds: how long it may take.
        """
        if self.position >= sequence:
            return True
        self._hub.reach(self._channel, sequence)
        reached = asyncio.get_running_loop().create_future()
        self._waiting.append((sequence, reached))
        try:
            async with asyncio.timeout(seconds):
                await reached
        except TimeoutError:
            return False
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not reached]
        return True

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Take entries from the feed."""
        broken: dict[SharedResult, Exception] = {}
        for entry in entries:
            if entry.sequence is None or entry.sequence <= self.position:
                continue
            if entry.sequence > self.position + 1:
                # A message that was retracted before it came here must not be removed again.
                self._read_again()
            if isinstance(entry, Message):
                self._apply(entry, None, broken)
            elif isinstance(entry, Retraction):
                if entry.removed is None:
                    self._read_again()
                for message in entry.removed or ():
                    self._apply(message, entry.sequence, broken)
            # Their filters are not asked, for they may take long: a read more is cheaper.
            for result in self._heavy:
                result.change()
            self.position = entry.sequence
        if broken:
            example = next(iter(broken.values()))
            logger.error("a message failed %d live results", len(broken), exc_info=example)
        for result in broken:
            self._drop(result)
        for sequence, reached in self._waiting:
            if sequence <= self.position and not reached.done():
                reached.set_result(None)

    def _apply(
        self, message: Message, gone_at: int | None, broken: dict[SharedResult, Exception]
    ) -> None:
        for filters, results in self._light.candidates(message):
            try:
                accepted = filters.accept(message)
            except Exception as error:
                broken.update(dict.fromkeys(results, error))
                continue
            for result in results if accepted else ():
                try:
                    result.apply(message, gone_at)
                except Exception as error:
                    broken[result] = error

    def _read_again(self) -> None:
        for result in tuple(self._results.values()):
            result.read_again()

    def dropped(self) -> None:
        """Let everybody go: changes would go unnoticed from here on."""
        self._end()  # the next one begins anew
        for result in tuple(self._results.values()):
            self._drop(result)

    def restarted(self, position: int) -> None:
        """Begin again: the channel counts anew, and messages are gone."""
        self.position = position
        self.removed()

    def removed(self) -> None:
        """Begin again: results were made of messages that are gone."""
        for result in tuple(self._results.values()):
            result.begin_again()

    def _drop(self, result: SharedResult) -> None:
        result.kept.stop_keeping()  # whoever holds it without showing it asks the table
        result.drop()

    def _forget(self, query: MessageQuery, result: SharedResult) -> None:
        if self._results.get(query) is not result:
            return
        del self._results[query]
        self._alike[result.filters.equality] -= 1
        if not self._alike[result.filters.equality]:
            del self._alike[result.filters.equality]
        if result.filters.light:
            self._light.remove(result, result.filters)
        else:
            del self._heavy[result]
        if not self._results:
            self._end()

    def _end(self) -> None:
        self._on_end(self)
        self._hub.leave(self._channel, self)
        self._opened.cancel()
