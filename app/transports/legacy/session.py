"""One legacy widget's conversation, carried out: the protocol decides, the services do.

A task carries out the `open`; once it is answered and the replay is over, nothing runs for
an idle socket. Publishes and searches have a lane each.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from uuid import uuid4

from app.defaults import HANDSHAKE_TIMEOUT_SECONDS, MAX_OPERATIONS_IN_FLIGHT, MAX_OUTBOUND_BYTES
from app.domain.channel import Channel
from app.domain.policy import DEFAULT_POLICY
from app.domain.query import MessageQuery, parse_query
from app.domain.viewer import Viewer
from app.errors import (
    Forbidden,
    PayloadTooLarge,
    RateLimited,
    ShuttingDown,
    SubscriberTooSlow,
    TokenExpired,
    Unauthenticated,
    WidgetwireError,
)
from app.masking import masked, told
from app.services.client_ids import ClientIds
from app.services.connection_rights import ConnectionRights
from app.services.live.messages import MessageSource
from app.services.live.pace import Pace
from app.services.messages import MessageService
from app.services.policies import PolicyService
from app.services.presence import PresenceService
from app.services.rights import Rights
from app.services.searching import Searching
from app.transports.auth import Authenticator
from app.transports.expiry import Expiry
from app.transports.legacy import replies
from app.transports.legacy.frames import Call, Open, Publish, Ref, Refused, Retract, Search
from app.transports.legacy.lane import Lane
from app.transports.legacy.operators import query_wire
from app.transports.legacy.protocol import (
    Close,
    Decision,
    Protocol,
    State,
)
from app.transports.refusals import log_refused_token
from app.wire.close_codes import CloseCode
from app.wire.session import Outlet

__all__ = ["LegacyLimits", "LegacyServices", "LegacySession"]

logger = logging.getLogger(__name__)

_POSITION: Final = re.compile(r"@(\d{1,18})", re.ASCII)
"""A cursor that is a place in the channel's order: what `open` is answered with."""
_BEFORE_THE_FIRST: Final = "@0"
"""What an empty cursor means: a client that never received a message has no other."""
_EVERYTHING: Final = "legacy"
_COUNT: Final = "legacy"
"""The keys of the groups that all legacy sockets of a channel are in."""


@dataclass(frozen=True, slots=True)
class LegacyLimits:
    """The bounds of one socket."""

    open_timeout_seconds: float = HANDSHAKE_TIMEOUT_SECONDS
    publishes_in_flight: int = MAX_OPERATIONS_IN_FLIGHT
    """More, and reading pauses until one is acknowledged."""
    publish_bytes_in_flight: int = 256 * 1024
    """The same for their frames: acks and messages of all of them may come at once."""
    publishes_waiting: int = 10_000
    """What may come in while reading is being paused; more are refused: RATE_LIMITED."""
    searches_in_flight: int = 8
    searches_waiting: int = 100
    """More are refused: RATE_LIMITED."""
    result_bytes: int = MAX_OUTBOUND_BYTES // 2
    """The largest result sent; half of what may wait for a reader, by default."""
    shutdown_seconds: float = 3.5
    """How long a shutdown waits for publishes to be acknowledged."""


@dataclass(frozen=True, slots=True)
class LegacyServices:
    """What a conversation calls."""

    messages: MessageService
    presence: PresenceService
    authenticator: Authenticator
    client_ids: ClientIds
    policies: PolicyService
    rights: Rights = field(default_factory=Rights)


class LegacySession:
    """A `Session` of the legacy protocol on one channel."""

    def __init__(
        self, channel: Channel, services: LegacyServices, limits: LegacyLimits | None = None
    ) -> None:
        self._channel = channel
        self._services = services
        self._limits = limits or LegacyLimits()
        self._protocol = Protocol(self._limits.open_timeout_seconds)
        self._publishes = Lane(
            self._limits.publishes_in_flight,
            self._limits.publishes_waiting,
            weight_max=self._limits.publish_bytes_in_flight,
            on_change=self._regulate,
        )
        self._searches = Lane(self._limits.searches_in_flight, self._limits.searches_waiting)
        self._results = asyncio.Lock()
        self._early: list[Call] = []
        self._ends: list[Callable[[], None]] = []
        """What lets go of the channel, in the order in which it was taken."""
        self._connection: asyncio.Task[None] | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._expiry: Expiry | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._outlet: Outlet
        self._viewer: Viewer
        self._client_id: str
        self._rights: ConnectionRights
        self._persistent = False

    # The Session.

    def opened(self, outlet: Outlet) -> None:
        self._outlet = outlet
        loop = asyncio.get_running_loop()
        self._open_timer = loop.call_later(self._limits.open_timeout_seconds, self._late)

    def received(self, text: str | bytes) -> None:
        if self._stopping is not None:
            return  # Not answered: the client sends it again to the next process.
        try:
            self._take(self._protocol.receive(text))
        except Exception as error:
            # Cannot happen; if it does, this conversation ends and no other notices.
            self._break(error)

    def _take(self, frame: Decision | None) -> None:
        match frame:
            case Close():
                self._end(frame)
            case Refused(ref=ref, error=error):
                self._outlet.send(replies.error_frame(error.code, error.message, ref))
            case Open():
                self._connection = asyncio.create_task(self._connect(frame))
                self._regulate()
            case Publish() | Retract() | Search():
                self._submit(frame)

    def received_binary(self) -> None:
        if (close := self._protocol.receive_binary()) is not None:
            self._end(close)

    def lost(self) -> None:
        self._protocol.closed()
        self._stop()
        # What was published stays so: the lane ends by itself, its acks go nowhere.
        if self._stopping is not None:
            self._stopping.cancel()

    def shutdown(self) -> None:
        if self._stopping is None and self._protocol.state is not State.CLOSED:
            self._outlet.pause_reading()
            self._stopping = asyncio.create_task(self._acknowledge_and_close())

    # Deciding.

    def _late(self) -> None:
        if (close := self._protocol.timed_out()) is not None:
            self._end(close)

    def _fail(self, error: WidgetwireError) -> None:
        if isinstance(error, ShuttingDown):
            self.shutdown()
        elif (close := self._protocol.failed(error)) is not None:
            self._end(close)

    def _break(self, error: Exception) -> None:
        doing = f"serving a legacy socket on {self._channel.key}"
        self._fail(WidgetwireError(masked(error, doing)))

    def _end(self, close: Close) -> None:
        """Say why, close, and stop everything but what is being published."""
        self._outlet.send(replies.error_frame(close.error, close.reason))
        self._outlet.close(close.code, close.reason)
        self._stop()

    def _stop(self) -> None:
        for timer in (self._open_timer, self._expiry):
            if timer is not None:
                timer.cancel()
        self._early.clear()
        self._searches.cancel()
        if self._connection is not None and self._connection is not asyncio.current_task():
            self._connection.cancel()
        ends, self._ends = self._ends, []
        for end in reversed(ends):
            end()

    def _regulate(self) -> None:
        if self._stopping is not None:
            return
        if self._protocol.state is State.OPENING or self._publishes.full:
            self._outlet.pause_reading()
        else:
            self._outlet.resume_reading()

    async def _acknowledge_and_close(self) -> None:
        try:
            async with asyncio.timeout(self._limits.shutdown_seconds):
                await self._publishes.finished()
        except TimeoutError:
            logger.warning("publishes on %s were not acknowledged in time", self._channel.key)
        self._protocol.closed()
        self._outlet.close(CloseCode.SERVICE_RESTART, "restarting")
        self._stop()

    # The connection.

    async def _connect(self, frame: Open) -> None:
        try:
            await self._serve(frame)
        except WidgetwireError as error:
            self._fail(error)
        except Exception as error:
            self._break(error)
        finally:
            self._connection = None

    async def _serve(self, frame: Open) -> None:
        """Join the channel, answer the `open`, and send what was stored before.

        From then on the channel's groups go on with this socket: nothing runs for it.
        """
        viewer = self._viewer = self._viewer_of(frame)
        self._persistent = frame.persistent
        self._client_id = (
            viewer.client_id or str(uuid4())
            if frame.client_id is None
            else viewer.claimed_client_id("open.client_id", frame.client_id)
        )
        asked = _BEFORE_THE_FIRST if frame.after == "" else frame.after
        messages = await self._subscribe(asked)
        self._ends.append(messages.close)
        self._rights = ConnectionRights(self._services.rights, self._viewer)
        listening = self._rights.listen(self._channel, self)
        self._ends.append(listening)
        presence = self._services.presence
        presence.join(self._channel)
        self._ends.append(partial(presence.leave, self._channel))
        counts = await presence.watch(self._viewer, self._channel)
        self._ends.append(counts.close)
        after = f"@{messages.position}" if asked is None else asked
        client = self._services.client_ids.offered(viewer)
        token = None if client is None else client.token
        self._outlet.send(
            replies.open_frame(self._client_id, viewer.username, counts.count, after, token)
        )
        self._ends.append(await counts.begin(_COUNT, replies.active_connections_frame, self))
        policy = self._services.policies.get(viewer, self._channel)
        # Who was away may still believe in another one.
        if asked is not None or policy != DEFAULT_POLICY:
            self._outlet.send(replies.policy_frame(policy.json()))
        self._expiry = Expiry(self._viewer, self._expired)
        self._begin()
        await listening.begun(await messages.begin(_EVERYTHING, replies.entry_frame, self))

    def _viewer_of(self, frame: Open) -> Viewer:
        try:
            viewer = self._services.authenticator.viewer(frame.token, frame.client_token or None)
        except Unauthenticated as error:
            log_refused_token(error)
            raise
        if frame.client_token == "" and viewer.subject is None:
            # Signed from the first socket on: a retry on the next one finds what this one stored.
            viewer = replace(viewer, client_id=self._services.client_ids.new_id())
        return viewer

    async def _subscribe(self, after: str | None) -> MessageSource:
        position = None if after is None else _POSITION.fullmatch(after)
        return await self._services.messages.subscribe(
            self._viewer,
            self._channel,
            after=None if position else after,
            after_sequence=int(position[1]) if position else None,
            events=True,
        )

    def _begin(self) -> None:
        """Carry out what came before `open` was answered, and read on."""
        self._protocol.ready()
        self._outlet.accept_peer()
        early, self._early = self._early, []
        for frame in early:
            self._submit(frame)
        self._regulate()

    def _expired(self) -> None:
        self._fail(TokenExpired("the token has expired"))

    # The member of the channel's groups.

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Send what a group of the channel is given: one frame, the same for all its sockets."""
        for frame in payloads:
            self._outlet.send(frame)

    def fail(self, error: SubscriberTooSlow | Forbidden) -> None:
        """Close: the client resumes after the last message it received, or stays away."""
        self._fail(error)

    async def drained(self) -> None:
        """Wait while the socket is busy with what was sent."""
        await self._outlet.drained()

    # Calls.

    def _submit(self, frame: Call) -> None:
        if self._protocol.state is State.OPENING:
            if len(self._early) < self._limits.publishes_waiting:
                self._early.append(frame)
            else:
                self._refuse(frame, "calls", self._limits.publishes_waiting)
        elif isinstance(frame, Search):
            if not self._searches.submit(partial(self._search, frame)):
                self._refuse(frame, "searches", self._limits.searches_waiting)
        elif not self._publishes.submit(partial(self._change, frame), frame.size):
            self._refuse(frame, "publishes", self._limits.publishes_waiting)
        self._regulate()

    def _refuse(self, frame: Call, what: str, allowed: int) -> None:
        error = RateLimited(
            f"more than {allowed} {what} are waiting on this socket; wait for answers, then retry"
        )
        self._outlet.send(replies.error_frame(error.code, error.message, frame.ref))

    async def _change(self, frame: Publish | Retract) -> None:
        try:
            if isinstance(frame, Retract):
                answer = await self._retracted(frame)
            else:
                answer = await self._published(frame)
        except ShuttingDown:
            # Not refused but not done: without an answer the client sends it again.
            self.shutdown()
            return
        except Exception as error:
            answer = _error(error, frame.ref)
        self._outlet.send(answer)

    async def _published(self, frame: Publish) -> bytes:
        message = await self._services.messages.publish(
            self._viewer,
            self._channel,
            frame.data,
            client_id=self._client_id,
            persistent=self._persistent,
            idempotency_key=frame.id,
            on_repeat=frame.on_repeat,
            echo=self._rights.echo,
        )
        return replies.ack_frame(frame.ref, message)

    async def _retracted(self, frame: Retract) -> bytes:
        count = await self._services.messages.retract(
            self._viewer, self._channel, frame.ids, frame.reason, echo=self._rights.echo
        )
        return replies.count_frame(frame.ref, count)

    async def _search(self, frame: Search) -> None:
        try:
            result = await self._found(frame)
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
            self._outlet.send(_error(error, frame.ref))

    async def _found(self, frame: Search) -> bytes:
        search = self._services.messages.search(self._viewer, self._channel, asker=self)
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
