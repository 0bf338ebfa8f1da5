"""One legacy widget's conversation, carried out: the protocol decides, the services do.

A task carries out the `open`; once it is answered and the replay is over, nothing runs for
an idle socket.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from uuid import uuid4

from app.domain.channel import Channel
from app.domain.policy import DEFAULT_POLICY
from app.domain.viewer import Viewer
from app.errors import (
    Forbidden,
    ShuttingDown,
    SubscriberTooSlow,
    TokenExpired,
    Unauthenticated,
    WidgetwireError,
)
from app.masking import masked
from app.peer import UNKNOWN_PEER, Peer
from app.services.client_ids import ClientIds
from app.services.connection_rights import ConnectionRights
from app.services.live.messages import MessageSource
from app.services.messages import MessageService
from app.services.policies import PolicyService
from app.services.presence import PresenceService
from app.services.rights import Rights
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.transports.auth.authenticator import Authenticator, viewer_with_keys
from app.transports.expiry import Expiry
from app.transports.legacy import replies
from app.transports.legacy.calls import Caller, Calls, LegacyLimits
from app.transports.legacy.frames import Auth, Open, Publish, Refused, Retract, Search
from app.transports.legacy.protocol import Close, Decision, Protocol, State
from app.transports.refusals import log_refused_token
from app.wire.close_codes import CloseCode
from app.wire.session import Outlet

__all__ = ["LegacyServices", "LegacySession"]

logger = logging.getLogger(__name__)

_POSITION: Final = re.compile(r"@(\d{1,18})", re.ASCII)
"""A cursor that is a place in the channel's order: what `open` is answered with."""
_BEFORE_THE_FIRST: Final = "@0"
"""What an empty cursor means: a client that never received a message has no other."""
_EVERYTHING: Final = "legacy"
_COUNT: Final = "legacy"
"""The keys of the groups that all legacy sockets of a channel are in."""


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
        self,
        channel: Channel,
        services: LegacyServices,
        limits: LegacyLimits | None = None,
        peer: Peer = UNKNOWN_PEER,
    ) -> None:
        self._channel = channel
        self._services = services
        self._limits = limits or LegacyLimits()
        self._peer = peer
        self._protocol = Protocol(self._limits.open_timeout_seconds)
        self._ends: list[Callable[[], None]] = []
        """What lets go of the channel, in the order in which it was taken."""
        self._connection: asyncio.Task[None] | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._expiry: Expiry | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._outlet: Outlet
        self._calls: Calls
        self._viewer: Viewer
        self._rights: ConnectionRights

    # The Session.

    def opened(self, outlet: Outlet) -> None:
        self._outlet = outlet
        COUNTED.opened("legacy")
        self._calls = Calls(
            self._channel,
            self._services.messages,
            outlet,
            self._limits,
            authenticate=self._reauthenticate,
            on_change=self._regulate,
            on_shutting_down=self.shutdown,
        )
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
            case Publish() | Retract() | Search() | Auth():
                self._calls.submit(frame)
                self._regulate()

    def received_binary(self) -> None:
        if (close := self._protocol.receive_binary()) is not None:
            self._end(close)

    def lost(self) -> None:
        COUNTED.ended("legacy")
        self._protocol.closed()
        self._stop()
        # What was published stays so: the lane ends by itself, its acks go nowhere.
        if self._stopping is not None:
            self._stopping.cancel()

    def shutdown(self) -> None:
        if self._stopping is None and self._protocol.state is not State.CLOSED:
            self._outlet.pause_reading()
            self._stopping = asyncio.create_task(self._acknowledge_and_close())

    @property
    def busy(self) -> bool:
        return self._calls.busy

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
        text = masked(error, doing, connection_id=self._peer.connection_id)
        self._fail(WidgetwireError(text))

    def _end(self, close: Close) -> None:
        """Say why, close, and stop everything but what is being published."""
        self._outlet.send(replies.error_frame(close.error, close.reason))
        self._outlet.close(close.code, close.reason)
        self._stop()

    def _stop(self) -> None:
        for timer in (self._open_timer, self._expiry):
            if timer is not None:
                timer.cancel()
        self._calls.cancel()
        if self._connection is not None and self._connection is not asyncio.current_task():
            self._connection.cancel()
        ends, self._ends = self._ends, []
        for end in reversed(ends):
            end()

    def _regulate(self) -> None:
        if self._stopping is not None:
            return
        if self._protocol.state is State.OPENING or self._calls.full:
            self._outlet.pause_reading()
        else:
            self._outlet.resume_reading()

    async def _acknowledge_and_close(self) -> None:
        try:
            async with asyncio.timeout(self._limits.shutdown_seconds):
                await self._calls.finished()
        except TimeoutError:
            logger.warning(
                "publishes on %s were not acknowledged in time",
                self._channel.key,
                extra=event("process.stopped_late"),
            )
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
        viewer = self._viewer = await self._viewer_of(frame)
        # From here on: what follows may wait for the database.
        self._expiry = Expiry(viewer, self._expired)
        client_id = (
            viewer.client_id or str(uuid4())
            if frame.client_id is None
            else viewer.claimed_client_id("open.client_id", frame.client_id)
        )
        asked = _BEFORE_THE_FIRST if frame.after == "" else frame.after
        messages = await self._subscribe(asked)
        self._ends.append(messages.close)
        rights = self._rights = ConnectionRights(self._services.rights, viewer)
        listening = rights.listen(self._channel, self)
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
            replies.open_frame(client_id, viewer.username, counts.count, after, token)
        )
        self._ends.append(await counts.begin(_COUNT, replies.active_connections_frame, self))
        policy = self._services.policies.get(viewer, self._channel)
        # Who was away may still believe in another one.
        if asked is not None or policy != DEFAULT_POLICY:
            self._outlet.send(replies.policy_frame(policy.json()))
        self._begin(Caller(viewer, client_id, frame.persistent, rights.echo, self._peer))
        await listening.begun(await messages.begin(_EVERYTHING, replies.entry_frame, self))

    async def _viewer_of(self, frame: Open) -> Viewer:
        try:
            viewer = await viewer_with_keys(
                self._services.authenticator.viewer, frame.token, frame.client_token or None
            )
        except Unauthenticated as error:
            log_refused_token(error, self._peer)
            raise
        if frame.client_token == "" and viewer.subject is None:
            # Signed from the first socket on: a retry on the next one finds what this one stored.
            viewer = replace(viewer, client_id=self._services.client_ids.new_id())
        return viewer

    async def _reauthenticate(self, token: str) -> Viewer:
        """Return the holder of a new token, the socket's viewer from now on.

        The socket closes with 4403 if that one may not listen to the channel.

        Raises:
            Unauthenticated, Unavailable: the token is refused; nothing has changed.
        """
        try:
            viewer = await viewer_with_keys(self._services.authenticator.viewer, token, None)
        except Unauthenticated as error:
            log_refused_token(error, self._peer)
            raise
        viewer = self._viewer = replace(viewer, client_id=self._viewer.client_id)
        if self._protocol.state is State.OPEN:
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry = Expiry(viewer, self._expired)
            self._rights.replace(viewer)
            self._outlet.accept_peer()
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

    def _begin(self, caller: Caller) -> None:
        """Carry out what came before `open` was answered, and read on."""
        self._protocol.ready()
        anonymous = caller.viewer.anonymous
        self._outlet.accept_peer(self._limits.max_anonymous_bytes if anonymous else None)
        self._calls.begin(caller)
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
