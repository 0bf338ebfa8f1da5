"""Everybody who wants the same live result as the same bytes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from app.delivery.members import Member, Members
from app.domain.message import Head
from app.errors import DeliveryFailed
from app.services.live.kept_result import KeptResult
from app.services.live.shared_read import SharedRead
from app.services.live.shared_result import SharedResult

__all__ = ["ResultGroup"]

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 1.0
"""After a read that failed: the database is away for everybody."""


class Place(Protocol):
    """The channel, as its results need it."""

    @property
    def position(self) -> int:
        """The newest sequence that was applied."""

    async def head(self) -> Head:
        """Return the table's head, as it is after the call."""

    async def open(self) -> None:
        """Return when nothing that is published is missed any more."""

    async def reach(self, sequence: int) -> bool:
        """Return whether everything up to a sequence was applied, within a second."""


class ResultGroup:
    """A result, its response, and those who are given it."""

    def __init__(
        self,
        place: Place,
        result: SharedResult,
        respond: Callable[[KeptResult, Callable[[], None]], object],
        interval: float,
        on_empty: Callable[["ResultGroup"], None],
    ) -> None:
        """Take the parts.

        Args:
            place: the channel.
            result: what is shown; the group listens to it.
            respond: makes the response of the present result; the second argument is called
                where a read for it fails.
            interval: seconds from one response to the next.
            on_empty: called when it is over.
        """
        self._place = place
        self._result = result
        self._make = respond
        self._interval = interval
        self._on_empty = on_empty
        self._members = Members("liveMessages")
        self._joining = 0
        self._response: bytes | None = None
        self._version = 0
        """Of the response: it grows when that is another."""
        self._given = 0
        """The version that the members have."""
        self._as_of = 0
        """The response takes in every message up to here."""
        self._floor = 0
        """Everything up to here is in the table: whatever is read from now on takes it in."""
        self._changed = False
        """Whether the result may be another than the response says."""
        self._making = False
        self._beginnings = 0
        """How often what the result was made of was gone."""
        self._dropped = False
        self._earliest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._giving: asyncio.Task[None] | None = None
        self._respond = SharedRead(self._make_response)
        result.listen(self)

    async def join(self, member: Member) -> None:
        """Give the member the result, not older than this moment; then whatever it becomes.

        Raises:
            Unavailable: the database is away.
            DeliveryFailed: changes cannot be noticed any more.
        """
        self._joining += 1
        try:
            await self._place.open()
            # What is here may be older than what this subscriber has seen acknowledged.
            await self._reach((await self._place.head()).sequence)
            if self._dropped:
                raise DeliveryFailed
            assert self._response is not None
            member.receive((self._response,))
            self._members.add(member, self._version)
            self._give_in_time()  # it may have changed since, while nobody was there
        finally:
            self._joining -= 1
            self._close_if_empty()

    def leave(self, member: Member) -> None:
        """Give it no more. Idempotent."""
        if self._members.remove(member):
            self._close_if_empty()

    def change(self) -> None:
        """Take note that the result may be another."""
        self._changed = True
        self._give_in_time()

    def begin_again(self) -> None:
        """Take note that what the result was made of is gone."""
        self._beginnings += 1
        self._as_of = self._floor = 0
        self.change()

    def drop(self) -> None:
        """Let everybody go: changes would go unnoticed from here on."""
        self._dropped = True
        self._on_empty(self)  # the next one begins anew
        self._members.drop(DeliveryFailed())
        self._close_if_empty()

    async def _reach(self, head: int) -> None:
        """Return when the response takes in every message up to `head`."""
        while not self._dropped and not self._is_as_of(head):
            if self._response is not None and not await self._place.reach(head):
                # The newest messages were deleted, or their events are lost for now.
                self._result.read_again()
                self._floor = max(self._floor, head)
            await self._respond()

    def _is_as_of(self, head: int) -> bool:
        if self._response is None:
            return False
        settled = not self._changed and not self._making
        return self._as_of >= head or (settled and self._place.position >= head)

    def _give_in_time(self) -> None:
        """Give the result when the interval is over, if it is a new one."""
        if self._giving is not None or self._timer is not None:
            return
        if not (self._changed or self._version != self._given) or not self._members:
            return
        loop = asyncio.get_running_loop()
        wait = self._earliest - loop.time()
        if wait > 0:
            self._timer = loop.call_later(wait, self._give)
        else:
            self._give()

    def _give(self) -> None:
        self._timer = None
        self._earliest = asyncio.get_running_loop().time() + self._interval
        self._giving = asyncio.create_task(self._give_now())

    async def _give_now(self) -> None:
        try:
            if self._changed:
                await self._respond()
            if self._version != self._given:
                self._given = self._version
                assert self._response is not None
                await self._members.give_in_turns((self._response,), self._version)
        except Exception:
            logger.exception("a live result could not be made")
            self._look_again()
        finally:
            self._giving = None
            self._give_in_time()

    async def _make_response(self) -> None:
        self._changed, self._making = False, True
        beginnings, position = self._beginnings, max(self._place.position, self._floor)
        try:
            response = self._make(self._result.kept, self._look_again)
            if isinstance(response, Awaitable):
                response = await response
            assert isinstance(response, bytes)
        except Exception:
            self._changed = True
            raise  # to whoever waits for the first result
        finally:
            self._making = False
        if beginnings == self._beginnings:
            self._as_of = max(self._as_of, self._result.kept.as_of(position))
        if response != self._response:
            self._response = response
            self._version += 1
        self._result.count_memory()
        self._give_in_time()

    def _look_again(self) -> None:
        """Respond again in a while: a part of the result could not be read."""
        self._earliest = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        self._changed = True

    def _close_if_empty(self) -> None:
        if self._members or self._joining:
            return
        self._on_empty(self)
        self._result.stop(self)
        for pending in (self._giving, self._timer, self._respond):
            if pending is not None:
                pending.cancel()
