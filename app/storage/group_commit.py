"""Group commit: many drafts, one statement, one fsync.

The drafts that arrive while a batch is being written make up the next batch. There is no
timer: a lone draft is written at once.

Every draft has a deadline, whatever the database does: waiting, it leaves the queue then;
being written, its publisher is told that nobody knows.
"""

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar

import asyncpg

from app.defaults import (
    PUBLISH_BATCH_MAX,
    PUBLISH_QUEUE_MAX,
    PUBLISH_QUEUE_MAX_BYTES,
    PUBLISH_TIMEOUT_SECONDS,
    SLOW_SECONDS,
)
from app.domain.message import Draft
from app.domain.policy import Pacing
from app.errors import ShuttingDown, Unavailable
from app.storage.database import Database, DatabaseLost
from app.telemetry.slow import log_slow_commit
from app.telemetry.traces import TRACES

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from app.telemetry.recorder import TraceRecorder

__all__ = ["DRAFT_PARAMETERS", "CommitBounds", "GroupCommit", "Pending"]

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")

DRAFT_PARAMETERS: Final = """
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[],
    $8::boolean, $9::uuid[]
"""
"""What `GroupCommit.fetch` passes of the drafts of a batch."""

_CLOSED_AFTER_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 0.5
"""Between two tries while the database is away, at most: not all processes in one instant."""
_BATCH_BYTES: Final = 4 * 1024 * 1024
_DRAFT_BYTES: Final = 1024
"""What a draft costs besides its data."""


@dataclass(slots=True)
class Pending(Generic[Outcome]):
    """A draft on its way, and whoever waits for what becomes of it."""

    draft: Draft
    pacing: Pacing | None
    written: "asyncio.Future[Outcome]"
    deadline: float
    """Of the event loop's clock."""
    uncertain: bool = False
    """Whether a statement that nobody confirmed may have stored it."""
    traced: "SpanContext | None" = None
    """The span of whoever publishes it, if that is recorded."""

    @property
    def size(self) -> int:
        return len(self.draft.data_json) + _DRAFT_BYTES


class CommitBounds(TypedDict, total=False):
    """What `GroupCommit` is bounded by; what is left out has its default."""

    batch_max: int
    queue_max: int
    queue_max_bytes: int
    timeout_seconds: float
    slow_seconds: float


class GroupCommit(ABC, Generic[Outcome]):
    """Writes drafts in batches; what writes one is the subclass's."""

    def __init__(
        self,
        database: Database,
        *,
        batch_max: int = PUBLISH_BATCH_MAX,
        queue_max: int = PUBLISH_QUEUE_MAX,
        queue_max_bytes: int = PUBLISH_QUEUE_MAX_BYTES,
        timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        """Take the database to write to.

        Args:
            database: one connection of it is enough.
            batch_max: drafts in one statement at the most; 4 MiB of them at the most.
            queue_max: drafts waiting at the most; beyond it `write` refuses.
            queue_max_bytes: bytes of the drafts that wait or are being written, 1 KiB added
                for each; beyond it `write` refuses.
            timeout_seconds: how long a draft may take, from `write` to its commit.
            slow_seconds: a batch that takes longer is logged; 0: none is.
        """
        self._database = database
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue_max_bytes = queue_max_bytes
        self._timeout = timeout_seconds
        self._slow_seconds = slow_seconds or inf
        self._pending: deque[Pending[Outcome]] = deque()
        self._writing: list[Pending[Outcome]] = []
        self._bytes = 0
        """Of all that wait or are being written."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """On which it writes, once it has."""
        self._expiry: asyncio.TimerHandle | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False
        self.commits = 0
        """Statements that have committed drafts."""

    @property
    def waiting(self) -> int:
        """Drafts that wait or are being written."""
        return len(self._pending) + len(self._writing)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of those, as they are bounded."""
        return self._bytes

    async def write(self, draft: Draft, pacing: Pacing | None = None) -> Outcome:
        """Store a draft; return once it is committed.

        Cancelling the caller does not take the draft back.

        Args:
            draft: what to store.
            pacing: how often its publisher and its channel may publish, over all processes;
                None: as often as they want.

        Raises:
            RateLimited: it has to wait; it was not stored.
            Unavailable: too many wait, it was not committed in time, or the service is
                closing. Unless the text says that it may have been stored, it was not.
        """
        if self._closed:
            raise ShuttingDown
        # Kept: to ask for it costs a system call in Python 3.11, and this comes with each publish.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        pending: Pending[Outcome] = Pending(
            draft, pacing, loop.create_future(), loop.time() + self._timeout
        )
        if len(self._pending) >= self._queue_max:
            raise Unavailable(f"{self._queue_max} messages are waiting to be stored; retry later")
        if self._bytes + pending.size > self._queue_max_bytes:
            raise Unavailable(
                f"messages of {self._queue_max_bytes} bytes are waiting to be stored; retry later"
            )
        if TRACES.recorder is not None:
            pending.traced = TRACES.recorder.current()
        self._pending.append(pending)
        self._bytes += pending.size
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush(), name=type(self).__name__)
        if self._expiry is None:
            self._expiry = loop.call_at(pending.deadline, self._expire)
        # A cancelled caller cancels this future only: the draft is written all the same.
        return await pending.written

    async def close(self) -> None:
        """Refuse new drafts and write those that wait; give up after 5 s. Idempotent."""
        self._closed = True
        if self._flusher is not None:
            done, _ = await asyncio.wait({self._flusher}, timeout=_CLOSED_AFTER_SECONDS)
            if not done:
                self._flusher.cancel()
                await asyncio.wait({self._flusher})
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    async def _flush(self) -> None:
        try:
            while self._pending:
                self._writing = self._next_batch()
                await self._write_batch(self._writing)
                self._written_off(self._writing)
        finally:
            self._flusher = None
            left = [*self._writing, *self._pending]
            self._pending.clear()
            self._written_off(left)
            for pending in left:
                _fail(pending, _maybe_stored() if pending.uncertain else ShuttingDown())

    def _next_batch(self) -> list[Pending[Outcome]]:
        batch: list[Pending[Outcome]] = []
        size = 0
        keys: set[Hashable] = set()
        while self._pending and len(batch) < self._batch_max:
            pending = self._pending[0]
            size += pending.size
            if batch and size > _BATCH_BYTES:
                break
            if (key := pending.draft.repeat_key) is not None:
                if key in keys:
                    break  # The next batch will find the first one stored.
                keys.add(key)
            batch.append(self._pending.popleft())
        return batch

    def _written_off(self, batch: Sequence[Pending[Outcome]]) -> None:
        self._bytes -= sum(pending.size for pending in batch)
        self._writing = []

    def _expire(self) -> None:
        """Tell those whose time is over, and come back when the next one's is.

        One timer for all: it stays armed when its draft is written, and is early then.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        # In the order of their deadlines: all may wait equally long.
        for pending in self._writing:
            if pending.deadline <= now:
                self._fail_late(pending)
        while self._pending and self._pending[0].deadline <= now:
            pending = self._pending.popleft()
            self._bytes -= pending.size
            self._fail_late(pending)
        later = next((one.deadline for one in self._writing if one.deadline > now), None)
        if later is None and self._pending:
            later = self._pending[0].deadline
        self._expiry = None if later is None else loop.call_at(later, self._expire)

    def _fail_late(self, pending: Pending[Outcome]) -> None:
        _fail(pending, _late(self._timeout, uncertain=pending.uncertain))

    async def _write_batch(self, batch: list[Pending[Outcome]], *, again: bool = False) -> None:
        try:
            await self._insert_in_time(batch, again=again)
        except Unavailable as error:
            for pending in batch:
                _fail(pending, _maybe_stored() if pending.uncertain else error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            # One draft that Postgres refuses must not take its neighbours along.
            logger.exception(
                "storing a batch of %d messages failed; storing them one by one", len(batch)
            )
            for pending in batch:
                # Again: where a connection was lost before, it may be stored already.
                await self._write_batch([pending], again=True)

    async def _insert_in_time(self, batch: list[Pending[Outcome]], *, again: bool) -> None:
        """Insert a batch, and try again while the database is away and somebody waits."""
        last = batch[-1].deadline
        longest_pause = _FIRST_PAUSE_SECONDS
        while batch := self._in_time(batch):
            try:
                await self._insert(batch, again=again)
            except DatabaseLost:
                pause = random.uniform(0, longest_pause)  # noqa: S311  (no secret)
                if self._loop is None or self._loop.time() + pause >= last:
                    raise
                await asyncio.sleep(pause)
                longest_pause = min(2 * longest_pause, _LONGEST_PAUSE_SECONDS)
                # A lost connection leaves open whether the last try was committed.
                again = True
            else:
                return

    def _in_time(self, batch: list[Pending[Outcome]]) -> list[Pending[Outcome]]:
        """Return those that still have time, and tell the others."""
        assert self._loop is not None
        now = self._loop.time()
        if batch and batch[0].deadline > now:
            return batch  # In the order of their deadlines.
        for pending in batch:
            if pending.deadline <= now:
                self._fail_late(pending)
        return [pending for pending in batch if pending.deadline > now]

    @abstractmethod
    async def store(
        self, batch: Sequence[Pending[Outcome]], *, again: bool
    ) -> "Sequence[Outcome | Exception]":
        """Write a batch in one statement; return what became of each draft, or its refusal.

        Args:
            batch: no two of the same key.
            again: whether an earlier try may have been committed.

        Raises:
            Exception: nothing was written, or nobody knows (`DatabaseLost`).
        """

    @abstractmethod
    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Take note of a batch right after its commit, before its writers do; must not raise."""

    async def fetch(
        self, sql: str, batch: Sequence[Pending[Outcome]], *more: Any, again: bool
    ) -> list[asyncpg.Record]:
        """Run the statement that writes a batch.

        Args:
            sql: has `DRAFT_PARAMETERS`, and more from $10 on.
            batch: what is written.
            more: further parameters.
            again: as for `store`.
        """

        def sent() -> None:
            for pending in batch:
                pending.uncertain = True

        assert self._loop is not None
        drafts = [pending.draft for pending in batch]
        return await self._database.fetch(
            sql,
            [draft.channel.key for draft in drafts],
            [draft.id for draft in drafts],
            [draft.client_id for draft in drafts],
            [draft.publisher for draft in drafts],
            [draft.username for draft in drafts],
            [draft.data_json for draft in drafts],
            [draft.idempotency_key for draft in drafts],
            again,
            [draft.retraction_id for draft in drafts],
            *more,
            timeout_seconds=batch[-1].deadline - self._loop.time(),
            on_send=sent,
        )

    async def _insert(self, batch: list[Pending[Outcome]], *, again: bool) -> None:
        before = [pending.uncertain for pending in batch]
        began = time.monotonic()
        try:
            if TRACES.recorder is None:
                outcomes = await self.store(batch, again=again)
            else:
                outcomes = await self._traced(TRACES.recorder, batch, again=again)
        except Exception as error:
            if not (isinstance(error, DatabaseLost) and error.sent):
                # It did not happen: nothing is less certain than it was before.
                for pending, uncertain in zip(batch, before, strict=True):
                    pending.uncertain = uncertain
            raise
        finally:
            seconds = time.monotonic() - began
            if seconds > self._slow_seconds:
                log_slow_commit(seconds=seconds, messages=len(batch))
        self.commits += 1
        self.committed([one for one in outcomes if not isinstance(one, Exception)])
        for pending, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _fail(pending, outcome)
            elif not pending.written.done():
                pending.written.set_result(outcome)

    async def _traced(
        self, recorder: "TraceRecorder", batch: Sequence[Pending[Outcome]], *, again: bool
    ) -> "Sequence[Outcome | Exception]":
        publishers = [pending.traced for pending in batch]
        with recorder.commit(publishers):
            outcomes = await self.store(batch, again=again)
        recorder.published([pending.draft.id for pending in batch], publishers)
        return outcomes


def _late(seconds: float, *, uncertain: bool) -> Unavailable:
    if uncertain:
        return _maybe_stored()
    return Unavailable(
        f"the database did not store the message within {seconds:g} s; it is not published; "
        "retry later"
    )


def _maybe_stored() -> Unavailable:
    return Unavailable(
        "the database did not confirm the message in time: it may have been stored; retry with "
        "the same id, and it is stored only once"
    )


def _fail(pending: Pending[Any], error: Exception) -> None:
    if not pending.written.done():
        pending.written.set_exception(error)
        pending.written.exception()  # its caller may be gone: no warning about that
