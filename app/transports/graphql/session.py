"""One GraphQL conversation on one WebSocket, in either subprotocol.

    AWAITING_INIT ──connection_init──► AUTHENTICATING ──► ACKNOWLEDGED ──shutdown()──► LEAVING
          │                                  │                 │                         │
          └─ late, bad token, malformed, in use, expired, 1012 ┴─────────────────────────┴► CLOSED

Every wait is owned here: the timers are cancelled and the operations ended in `lost`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from app.defaults import HANDSHAKE_TIMEOUT_SECONDS, MAX_ANONYMOUS_BYTES
from app.delivery.members import Member
from app.domain.json_value import encode_json
from app.domain.viewer import Viewer
from app.engine.errors import ResponseError, response_error
from app.engine.execution import Executor
from app.errors import Forbidden, SubscriberTooSlow, TokenExpired, Unauthenticated, WidgetwireError
from app.masking import masked
from app.peer import UNKNOWN_PEER, Peer
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.transports.auth.authenticator import viewer_with_keys
from app.transports.auth.bearer import bearer_token, connection_init_token
from app.transports.auth.verification import KeysWanted
from app.transports.client_tokens import connection_init_client_token
from app.transports.expiry import Expiry
from app.transports.graphql.context import ContextFactory, OperationContext, ViewerOf
from app.transports.graphql.dialects import (
    ConnectionInit,
    Dialect,
    Malformed,
    Ping,
    Pong,
    Start,
    Stop,
    Terminate,
    Unexecutable,
)
from app.transports.graphql.operations import OperationLimits, Operations
from app.transports.refusals import log_refused_token
from app.wire.close_codes import CloseCode
from app.wire.outcomes import outcome_of
from app.wire.session import Outlet

__all__ = ["GraphQLSession", "SessionLimits", "State"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The bounds of one conversation."""

    init_timeout_seconds: float = HANDSHAKE_TIMEOUT_SECONDS
    """How long a client may take to send `connection_init`; then 4408."""
    heartbeat_seconds: float | None = None
    """Between heartbeats of the subprotocol (`ping`, legacy `ka`); None: no heartbeats, the
    WebSocket's own pings see to dead peers."""
    max_anonymous_bytes: int = MAX_ANONYMOUS_BYTES
    """The longest message of a client without a token; longer is 1009."""
    shutdown_seconds: float = 5.0
    """How long mutations under way hold up the goodbye."""
    operations: OperationLimits = field(default_factory=OperationLimits)


class State(Enum):
    """Where the conversation is."""

    AWAITING_INIT = auto()
    AUTHENTICATING = auto()
    """`connection_init` came with a token whose key is being fetched; nothing is read."""
    ACKNOWLEDGED = auto()
    LEAVING = auto()
    """The process goes away: mutations under way are finished, nothing is begun."""
    CLOSED = auto()


class GraphQLSession:
    """An `app.wire.session.Session`.

    Args:
        dialect: the subprotocol that the handshake chose.
        executor: of the schema.
        viewer_of: turns the tokens of `connection_init` into a viewer.
        context_factory: makes the connection's one context.
        authorization: the handshake's Authorization header, for clients that can send one;
            a token in `connection_init` comes before it.
        client_token: that of the handshake's headers; one in `connection_init` comes before it.
        peer: who is at the other end.
        limits: the bounds.
    """

    def __init__(
        self,
        dialect: Dialect,
        executor: Executor,
        viewer_of: ViewerOf,
        context_factory: ContextFactory,
        *,
        authorization: str | None = None,
        client_token: str | None = None,
        peer: Peer = UNKNOWN_PEER,
        limits: SessionLimits | None = None,
    ) -> None:
        self._dialect = dialect
        self._executor = executor
        self._viewer_of = viewer_of
        self._context_factory = context_factory
        self._authorization = authorization
        self._client_token = client_token
        self._peer = peer
        self._limits = limits or SessionLimits()
        self._state = State.AWAITING_INIT
        self._outlet: Outlet | None = None
        self._operations: Operations | None = None
        self._context: OperationContext | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expiry: Expiry | None = None
        self._authenticating: asyncio.Task[None] | None = None
        self._reauthenticating: asyncio.Lock | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Where the conversation is."""
        return self._state

    # The Session.

    def opened(self, outlet: Outlet) -> None:
        """Begin to wait for `connection_init`."""
        self._outlet = outlet
        COUNTED.opened(self._dialect.subprotocol)
        self._timer(
            "init",
            self._limits.init_timeout_seconds,
            lambda: self._close(
                CloseCode.INITIALISATION_TIMEOUT, "Connection initialisation timeout"
            ),
        )

    def received(self, text: str | bytes) -> None:
        """Take one message: carry it out, answer it, or end the conversation."""
        if self._state is State.CLOSED:
            return
        try:
            self._take(text)
        except Exception as error:
            # Cannot happen; if it does, this conversation ends and no other notices.
            doing = "reading a GraphQL socket"
            text = masked(error, doing, connection_id=self._peer.connection_id)
            self._close(CloseCode.INTERNAL_ERROR, text)

    def received_binary(self) -> None:
        """End the conversation: both subprotocols speak text only."""
        self._close(CloseCode.MALFORMED, "binary messages are not understood; send text")

    def lost(self) -> None:
        """End everything the connection holds."""
        COUNTED.ended(self._dialect.subprotocol)
        self._state = State.CLOSED
        self._release()

    def shutdown(self) -> None:
        """Answer the mutations under way, then close so that the client comes back."""
        if self._state in (State.LEAVING, State.CLOSED):
            return
        operations = self._operations
        if operations is None:
            self._close(CloseCode.SERVICE_RESTART, "restarting")
            return
        self._state = State.LEAVING
        self._leaving = asyncio.create_task(self._leave(operations), name="graphql shutdown")

    @property
    def busy(self) -> bool:
        """Whether a query or a mutation is under way."""
        return self._operations is not None and self._operations.busy

    async def _leave(self, operations: Operations) -> None:
        try:
            async with asyncio.timeout(self._limits.shutdown_seconds):
                await operations.mutated()
        except TimeoutError:
            _log.warning(
                "mutations were under way for %s s; closed without their answers",
                self._limits.shutdown_seconds,
                extra=event("process.stopped_late"),
            )
        # No `complete` for subscriptions: it would end them for good.
        self._close(CloseCode.SERVICE_RESTART, "restarting")

    # Messages.

    def _take(self, text: str | bytes) -> None:
        message = self._dialect.read(text)
        match message:
            case Malformed(reason):
                self._close(CloseCode.MALFORMED, reason)
            case ConnectionInit():
                self._initialise(message)
            case Ping():
                self._send(self._dialect.pong(message))
            case Pong():
                pass
            case Terminate():
                self._close(CloseCode.NORMAL, "")
            case Stop(operation_id):
                if self._operations is not None:
                    self._operations.stop(operation_id)
            case Start() | Unexecutable():
                self._start(message)

    def _initialise(self, message: ConnectionInit) -> None:
        if self._state is not State.AWAITING_INIT:
            # "If the server receives more than one ConnectionInit message at any given time,
            # the server will close the socket with the event 4429".
            self._close(CloseCode.TOO_MANY, "Too many initialisation requests")
            return
        try:
            token = connection_init_token(message.payload)
            if token is None:
                token = bearer_token(self._authorization)
            client_token = connection_init_client_token(message.payload)
            if client_token is None:
                client_token = self._client_token
            viewer = self._viewer_of(token, client_token)
        except KeysWanted:
            self._state = State.AUTHENTICATING
            if self._outlet is not None:
                self._outlet.pause_reading()
            waiting = self._authenticate_later(token, client_token)
            self._authenticating = asyncio.create_task(waiting, name="graphql authentication")
        except WidgetwireError as error:
            self._refuse(error)
        else:
            self._acknowledge(viewer)

    async def _authenticate_later(self, token: str | None, client_token: str | None) -> None:
        try:
            viewer = await viewer_with_keys(self._viewer_of, token, client_token)
        except WidgetwireError as error:
            self._refuse(error)
        except Exception as error:
            doing = "authenticating a GraphQL socket"
            text = masked(error, doing, connection_id=self._peer.connection_id)
            self._close(CloseCode.INTERNAL_ERROR, text)
        else:
            self._acknowledge(viewer)
            if self._outlet is not None:
                self._outlet.resume_reading()

    def _refuse(self, error: WidgetwireError) -> None:
        if isinstance(error, Unauthenticated):
            log_refused_token(error, self._peer)
        frame = self._dialect.refused(response_error(error))
        if frame is not None:
            self._send(frame)
        self._fail(error)

    def _acknowledge(self, viewer: Viewer) -> None:
        self._cancel_timer("init")
        self._state = State.ACKNOWLEDGED
        if self._outlet is not None:
            self._outlet.accept_peer(self._limits.max_anonymous_bytes if viewer.anonymous else None)
        self._context = self._context_factory(viewer, True, self._peer)
        self._context.authenticate = self._reauthenticate
        self._operations = Operations(
            self._executor, self._context, self, self._limits.operations, self._regulate
        )
        self._send(self._dialect.ack)
        self._expiry = Expiry(viewer, self._expired)
        if self._limits.heartbeat_seconds is not None:
            self._beat()

    async def _reauthenticate(self, token: str) -> None:
        """Replace the viewer by the holder of a new token: what `authenticate` does.

        Raises:
            Unauthenticated, Unavailable: as `ViewerOf`; nothing has changed.
        """
        if self._reauthenticating is None:
            self._reauthenticating = asyncio.Lock()
        async with self._reauthenticating:  # one after another: the last one sent holds
            try:
                viewer = await viewer_with_keys(self._viewer_of, token, None)
            except Unauthenticated as error:
                log_refused_token(error, self._peer)
                raise
            context = self._context
            if context is None:
                return  # the socket has closed meanwhile
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry = Expiry(viewer, self._expired)
            context.replace_viewer(replace(viewer, client_id=context.viewer.client_id))
            if self._outlet is not None:
                self._outlet.accept_peer()

    def _expired(self) -> None:
        self._fail(TokenExpired("the token has expired"))

    def _start(self, message: Start | Unexecutable) -> None:
        if self._operations is None:
            self._close(CloseCode.UNAUTHORIZED, "Unauthorized: send connection_init first")
        elif self._state is State.LEAVING:
            pass  # The close that follows makes the client come back and send it again.
        elif isinstance(message, Unexecutable):
            self.error(message.id, [message.error])
        elif not self._operations.start(message.id, message.parameters):
            # "If there is already an active subscriber for an operation matching the provided
            # ID [...] the server must close the socket immediately with the event 4409".
            self._close(CloseCode.CONFLICT, f"Subscriber for {message.id} already exists")

    # Replies of the operations.

    def next(self, operation_id: str, payload: bytes) -> None:
        """Send one response."""
        self._send(self._dialect.next(encode_json(operation_id), payload))

    def error(self, operation_id: str, errors: list[ResponseError]) -> None:
        """Say that an operation failed."""
        self._send(self._dialect.error(encode_json(operation_id), errors))

    def complete(self, operation_id: str) -> None:
        """Say that an operation is over."""
        self._send(self._dialect.complete(encode_json(operation_id)))

    def too_slow(self, error: SubscriberTooSlow) -> None:
        """Close: the client resumes after the last message it received."""
        self._fail(error)

    def member(self, operation_id: str) -> Member:
        """Return what sends a group's responses as this operation's."""
        assert self._outlet is not None
        # An id's JSON text has no line break: the place where the payload goes.
        before, after = self._dialect.next(encode_json(operation_id), b"\n").split(b"\n")
        return _OperationMember(self._outlet, before, after, self, operation_id)

    def end(self, operation_id: str, error: SubscriberTooSlow | Forbidden) -> None:
        """End the operation of a member that is given nothing more, or the whole conversation."""
        if isinstance(error, SubscriberTooSlow):
            self.too_slow(error)
        elif self._operations is not None:
            self._operations.withdraw(operation_id, error)

    # The socket.

    def _send(self, frame: bytes) -> None:
        if self._outlet is not None and self._state is not State.CLOSED:
            self._outlet.send(frame)

    def _fail(self, error: WidgetwireError) -> None:
        self._close(outcome_of(error).close, error.message)

    def _close(self, code: CloseCode, reason: str) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        if self._outlet is not None:
            self._outlet.close(code, reason)
        self._release()

    def _release(self) -> None:
        """Let go of all that the conversation holds. Idempotent."""
        for name in tuple(self._timers):
            self._cancel_timer(name)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._operations is not None:
            self._operations.cancel()
        if self._context is not None:
            self._context.close()
            self._context.authenticate = None  # nothing is kept alive by it
            self._context = None
        for task in (self._leaving, self._authenticating):
            if task is not None and task is not asyncio.current_task():
                task.cancel()

    def _regulate(self) -> None:
        if self._outlet is None or self._operations is None:
            return
        if self._operations.full:
            self._outlet.pause_reading()
        else:
            self._outlet.resume_reading()

    def _beat(self) -> None:
        self._send(self._dialect.heartbeat)
        assert self._limits.heartbeat_seconds is not None
        self._timer("heartbeat", self._limits.heartbeat_seconds, self._beat)

    def _timer(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, action)

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


class _OperationMember:
    """One operation among many that get the same responses: only its id is its own."""

    __slots__ = ("_after", "_before", "_id", "_outlet", "_session")

    def __init__(
        self, outlet: Outlet, before: bytes, after: bytes, session: GraphQLSession, id_: str
    ) -> None:
        self._outlet = outlet
        self._before = before
        self._after = after
        self._session = session
        self._id = id_

    def receive(self, payloads: Sequence[bytes]) -> None:
        send = self._outlet.send
        for payload in payloads:
            send(self._before + payload + self._after)

    def fail(self, error: SubscriberTooSlow | Forbidden) -> None:
        self._session.end(self._id, error)

    async def drained(self) -> None:
        await self._outlet.drained()
