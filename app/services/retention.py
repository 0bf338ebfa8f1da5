"""Retention: what is older than its channel keeps is deleted, in the background, by one process.

A channel keeps its messages for as long as its policy says, else for as long as the service is
told for all; without either, for ever. One of all processes that share the database does it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.domain.channel import Channel
from app.errors import Unavailable
from app.services.deletion import DeletionService
from app.storage.ages import Age, Ages
from app.storage.deletion import MessageDeletion
from app.storage.elected import leading
from app.telemetry.log_fields import event

__all__ = ["Retention"]

logger = logging.getLogger(__name__)

_LOCK_KEY: Final = 0x57494447_45545245
"""`WIDGETRE`: the advisory lock of whoever deletes."""
_INTERVAL_SECONDS: Final = 60.0
_ALL_SECONDS: Final = 600.0
"""Between two looks at all channels, for days are long; those with a policy are looked at each
round. A look costs some ten microseconds a channel."""
_MORE_SECONDS: Final = 1.0
"""Before the next round where one has left work."""
_ROUND_SECONDS: Final = 30.0
"""A round ends with the channel it is at."""
_CHANNEL_MOST: Final = 10_000
"""Messages of one channel in a round: then the next one's turn comes."""
_REST: Final = 3.0
"""How long a channel is left alone after a batch, in times of what that took."""
_PAGE: Final = 500
"""Channels looked at with one statement: some ten milliseconds."""
_SECONDS_A_DAY: Final = 86_400


class Retention:
    """The task of a process that deletes what is too old, if it is the one that does."""

    def __init__(
        self,
        url: str,
        ages: Ages,
        deletion: MessageDeletion,
        service: DeletionService,
        *,
        retention_days: int | None = None,
        kept_seconds: Callable[[], Mapping[Channel, int]] = dict,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        """Take the parts.

        Args:
            url: of the database; whoever does the work has a connection more to it.
            ages: tells where something may be too old.
            deletion: finds what is.
            service: deletes it, and tells who must know.
            retention_days: how long messages are kept; None: for ever.
            kept_seconds: how long those of some channels are, whatever the days: the policies.
            interval_seconds: between two rounds.
        """
        self._url = url
        self._ages = ages
        self._deletion = deletion
        self._service = service
        self._seconds = None if retention_days is None else retention_days * _SECONDS_A_DAY
        self._kept_seconds = kept_seconds
        self._interval = interval_seconds
        self._place = ""
        """The key of the channel that was looked at last; empty: a round begins with the first."""
        self._left = False
        """Whether a channel of those that were looked at has more that is too old."""
        self._all = False
        """Whether the round is about all channels, or those with a policy."""
        self._all_at = 0.0
        """When all are to be looked at again, as `time.monotonic` tells it."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on in the background."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """End; what is left is done by whoever is next. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def round(self) -> bool:
        """Delete what is too old, for a while; return whether something may be left.

        Raises:
            Unavailable: the database is away; the next round goes on with the next channel.
        """
        began = time.monotonic()
        deleted = channels = 0
        if not self._place:
            self._left = False
            self._all = self._seconds is not None and began >= self._all_at
        try:
            kept = self._kept_seconds()
            while page := await self._page(kept):
                for age in page:
                    # Before it: a channel that fails must not keep the others waiting.
                    self._place = age.channel.key
                    gone = await self._delete(age, kept.get(age.channel, self._seconds))
                    deleted += gone
                    channels += gone > 0
                    self._left |= gone >= _CHANNEL_MOST
                    if time.monotonic() - began > _ROUND_SECONDS:
                        return True
            self._place = ""
            if self._all and not self._left:
                self._all_at = began + _ALL_SECONDS
        except Unavailable:
            self._left = True
            raise
        finally:
            if deleted:
                logger.info(
                    "retention: deleted %d messages of %d channels in %.1f s",
                    deleted,
                    channels,
                    time.monotonic() - began,
                    extra=event(
                        "retention.deleted",
                        messages=deleted,
                        channels=channels,
                        seconds=time.monotonic() - began,
                    ),
                )
        return self._left

    async def _run(self) -> None:
        while True:
            # Jitter: processes that were started together do not ask together.
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                if self._is_wanted():
                    await self._lead()
            except Unavailable as error:
                # Its pool has told of that.
                logger.debug("retention: %s", error)
            except Exception:
                logger.exception("retention failed; it begins again")

    async def _lead(self) -> None:
        """Be the one that deletes for as long as this process can; return if another one is."""
        async with leading(self._url, _LOCK_KEY, "retention") as leadership:
            while leadership is not None and self._is_wanted():
                await leadership.check()
                left = await self.round()
                await asyncio.sleep(_MORE_SECONDS if left else self._interval)

    def _is_wanted(self) -> bool:
        return self._seconds is not None or bool(self._kept_seconds())

    async def _page(self, kept: Mapping[Channel, int]) -> Sequence[Age]:
        if not self._all and not kept:
            return ()
        return await self._ages.page(self._place, _PAGE, None if self._all else kept)

    async def _delete(self, age: Age, seconds: int | None) -> int:
        if seconds is None or age.oldest is None:
            return 0
        earliest = age.now - seconds * 1000
        if age.oldest >= earliest:
            return 0
        last = await self._deletion.last_before(age.channel, earliest)
        held = await self._deletion.last_held(age.channel, earliest)
        return await self._service.delete_up_to(
            age.channel, last, held=held, rest=_REST, most=_CHANNEL_MOST
        )
