"""What a legacy client asks for on its socket: carried out in lanes, each answered by its `ref`.

Publishes and retractions share a lane, in which they begin in the order they came; searches have
one of their own, and so have new tokens. What comes before `open` is answered waits for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from app.defaults import (
    HANDSHAKE_TIMEOUT_SECONDS,
    MAX_ANONYMOUS_BYTES,
    MAX_OPERATIONS_IN_FLIGHT,
    MAX_OUTBOUND_BYTES,
)
from app.domain.channel import Channel
from app.domain.query import MessageQuery, parse_query
from app.domain.viewer import Viewer
from app.errors import PayloadTooLarge, RateLimited, ShuttingDown
from app.masking import told
from app.peer import UNKNOWN_PEER, Peer
from app.services.live.pace import Pace
from app.services.messages import MessageService
from app.services.searching import Searching
from app.services.shadow import Echo
from app.telemetry.counters import COUNTED
from app.telemetry.log_context import NumberedRequest
from app.telemetry.traces import TRACES
from app.transports.legacy import replies
from app.transports.legacy.frames import Auth, Call, Publish, Ref, Retract, Search
from app.transports.legacy.lane import Lane
from app.transports.legacy.operators import query_wire
from app.wire.session import Outlet

if TYPE_CHECKING:
    from app.telemetry.recorder import TraceRecorder

__all__ = ["Caller", "Calls", "LegacyLimits"]


@dataclass(frozen=True, slots=True)
class LegacyLimits:
    """The bounds of one socket."""

    open_timeout_seconds: float = HANDSHAKE_TIMEOUT_SECONDS
    max_anonymous_bytes: int = MAX_ANONYMOUS_BYTES
    """The longest frame of a client without a token; longer is 1009."""
    publishes_in_flight: int = MAX_OPERATIONS_IN_FLIGHT
    """More, and reading pauses until one is acknowledged."""
    publish_bytes_in_flight: int = 256 * 1024
    """The same for their frames: acks and messages of all of them may come at once."""
    publishes_waiting: int = 10_000
    """What may come in while reading is being paused; more are refused: RATE_LIMITED."""
    searches_in_flight: int = 8
    searches_waiting: int = MAX_OPERATIONS_IN_FLIGHT
    """More are refused: RATE_LIMITED."""
    auths_waiting: int = 10
    """New tokens behind one whose key is being fetched; more are refused: RATE_LIMITED."""
    result_bytes: int = MAX_OUTBOUND_BYTES // 2
    """The largest result sent; half of what may wait for a reader, by default."""
    shutdown_seconds: float = 3.5
    """How long a shutdown waits for publishes to be acknowledged."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as `open` has said."""

    viewer: Viewer
    client_id: str
    persistent: bool
    """Whether what it publishes is stored."""
    echo: Echo
    peer: Peer = UNKNOWN_PEER
    """Who is at the other end."""


class Calls:
    """The calls of one socket."""

    __slots__ = (
        "_authenticate",
        "_auths",
        "_begun",
        "_caller",
        "_channel",
        "_early",
        "_limits",
        "_messages",
        "_on_shutting_down",
        "_outlet",
        "_publishes",
        "_results",
        "_searches",
    )

    def __init__(
        self,
        channel: Channel,
        messages: MessageService,
        outlet: Outlet,
        limits: LegacyLimits,
        *,
        authenticate: Callable[[str], Awaitable[Viewer]],
        on_change: Callable[[], None],
        on_shutting_down: Callable[[], None],
    ) -> None:
        """Begin with none.

        Args:
            channel: which all are about.
            messages: carries them out.
            outlet: where answers go.
            limits: of the socket.
            authenticate: makes the holder of a new token the socket's viewer, and returns it.
            on_change: told when `full` may be another; must not raise.
            on_shutting_down: told when a publish was not carried out because the service ends:
                without an answer the client sends it again to the next process.
        """
        self._channel = channel
        self._messages = messages
        self._outlet = outlet
        self._limits = limits
        self._authenticate = authenticate
        self._on_shutting_down = on_shutting_down
        self._publishes = Lane(
            limits.publishes_in_flight,
            limits.publishes_waiting,
            weight_max=limits.publish_bytes_in_flight,
            on_change=on_change,
            asked=self._next_request,
        )
        self._searches = Lane(
            limits.searches_in_flight, limits.searches_waiting, asked=self._next_request
        )
        self._auths = Lane(1, limits.auths_waiting, asked=self._next_request)
        self._results = asyncio.Lock()
        self._begun = 0
        self._early: list[Call] = []
        self._caller: Caller | None = None

    @property
    def full(self) -> bool:
        """Whether the next publish would have to wait."""
        return self._publishes.full

    @property
    def busy(self) -> bool:
        """Whether any call runs or waits."""
        return bool(self._early) or self._publishes.busy or self._searches.busy

    def begin(self, caller: Caller) -> None:
        """Carry out what came until now, and from now on whatever comes."""
        self._caller = caller
        early, self._early = self._early, []
        for frame in early:
            self.submit(frame)

    def submit(self, frame: Call) -> None:
        """Carry out a call, now or later, or refuse it because too many wait."""
        if self._caller is None:
            if len(self._early) < self._limits.publishes_waiting:
                self._early.append(frame)
            else:
                self._refuse(frame, "calls", self._limits.publishes_waiting)
        elif isinstance(frame, Search):
            if not self._searches.submit(partial(self._search, frame)):
                self._refuse(frame, "searches", self._limits.searches_waiting)
        elif isinstance(frame, Auth):
            if not self._auths.submit(partial(self._renew, frame)):
                self._refuse(frame, "new tokens", self._limits.auths_waiting)
        elif not self._publishes.submit(partial(self._change, frame), frame.size):
            self._refuse(frame, "publishes", self._limits.publishes_waiting)

    async def finished(self) -> None:
        """Return once no publish runs or waits."""
        await self._publishes.finished()

    def cancel(self) -> None:
        """Drop what came early, end searches and new tokens; what is being published stays so.

        Idempotent.
        """
        self._early.clear()
        self._searches.cancel()
        self._auths.cancel()

    def _next_request(self) -> NumberedRequest:
        self._begun += 1
        return NumberedRequest(self._calling.peer.connection_id, self._begun)

    def _refuse(self, frame: Call, what: str, allowed: int) -> None:
        COUNTED.refusals["limit"] += 1
        error = RateLimited(
            f"more than {allowed} {what} are waiting on this socket; wait for answers, then retry"
        )
        self._outlet.send(replies.error_frame(error.code, error.message, frame.ref))

    @property
    def _calling(self) -> Caller:
        """Who calls now: what begins after a new token was taken goes by it."""
        assert self._caller is not None, "calls are carried out from `begin` on"
        return self._caller

    async def _renew(self, frame: Auth) -> None:
        try:
            viewer = await self._authenticate(frame.token)
        except Exception as error:
            self._outlet.send(_error(error, frame.ref))
        else:
            self._caller = replace(self._calling, viewer=viewer)
            self._outlet.send(replies.authenticated_frame(frame.ref, viewer.username))

    # Plain functions where nothing is traced: a coroutine around another one costs each publish.

    def _change(self, frame: Publish | Retract) -> Coroutine[Any, Any, None]:
        recorder = TRACES.recorder
        if recorder is None:
            return self._answer_change(frame)
        kind = "publish" if isinstance(frame, Publish) else "retract"
        return self._recorded(recorder, kind, partial(self._answer_change, frame))

    def _search(self, frame: Search) -> Coroutine[Any, Any, None]:
        recorder = TRACES.recorder
        if recorder is None:
            return self._answer_search(frame)
        return self._recorded(recorder, "search", partial(self._answer_search, frame))

    async def _recorded(
        self,
        recorder: "TraceRecorder",
        kind: str,
        answer: Callable[[Callable[[Exception], None]], Awaitable[None]],
    ) -> None:
        with recorder.call(kind, self._channel.key) as recorded:
            await answer(recorded.failed)

    async def _answer_change(
        self,
        frame: Publish | Retract,
        on_error: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        caller = self._calling
        try:
            if isinstance(frame, Retract):
                answer = await self._retracted(caller, frame)
            else:
                answer = await self._published(caller, frame)
        except ShuttingDown:
            self._on_shutting_down()
            return
        except Exception as error:
            on_error(error)
            answer = _error(error, frame.ref)
        self._outlet.send(answer)

    async def _published(self, caller: Caller, frame: Publish) -> bytes:
        message = await self._messages.publish(
            caller.viewer,
            self._channel,
            frame.data,
            client_id=caller.client_id,
            persistent=caller.persistent,
            idempotency_key=frame.id,
            on_repeat=frame.on_repeat,
            echo=caller.echo,
            peer=caller.peer,
        )
        return replies.ack_frame(frame.ref, message)

    async def _retracted(self, caller: Caller, frame: Retract) -> bytes:
        count = await self._messages.retract(
            caller.viewer,
            self._channel,
            frame.ids,
            frame.reason,
            echo=caller.echo,
            peer=caller.peer,
        )
        return replies.count_frame(frame.ref, count)

    async def _answer_search(
        self,
        frame: Search,
        on_error: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        try:
            result = await self._found(self._calling, frame)
            if len(result) > self._limits.result_bytes:
                raise PayloadTooLarge(
                    f"the result has {len(result)} bytes, at most {self._limits.result_bytes} are "
                    "sent; ask for a smaller limit"
                )
            # One large result at a time: what waits for a reader is bounded.
            async with self._results:
                await Pace(self._outlet.drained).wait()
                self._outlet.send(result)
        except Exception as error:
            on_error(error)
            self._outlet.send(_error(error, frame.ref))

    async def _found(self, caller: Caller, frame: Search) -> bytes:
        search = self._messages.search(caller.viewer, self._channel, self, caller.peer)
        query = parse_query(query_wire(frame.query), "query")
        if query.group_by is not None:
            groups = await search.groups(self._channel, query)
            total = await self._total(search, query, len(groups))
            return replies.groups_frame(
                frame.ref, total, ((group.key_json, group.count) for group in groups)
            )
        messages = await search.messages(self._channel, query)
        total = await self._total(search, query, len(messages))
        return replies.result_frame(frame.ref, total, messages)

    async def _total(self, search: Searching, query: MessageQuery, found: int) -> int:
        if found < query.limit and (found or not query.offset):
            return query.offset + found  # The page ends where all ends.
        return await search.total_count(self._channel, query)


def _error(error: Exception, ref: Ref | None) -> bytes:
    what = told(error, "carrying out a legacy call")
    return replies.error_frame(what.code, what.message, ref, what.retry_after_ms)
