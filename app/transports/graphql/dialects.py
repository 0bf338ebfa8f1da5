"""The two GraphQL subprotocols: what their text messages say, read and written.

`graphql-transport-ws`: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
`graphql-ws` (legacy): https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md

No socket and no state: text in, a typed message out or a refusal; bytes of frames out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from app.domain.json_bounds import BeyondBounds, decode_request
from app.domain.json_value import encode_json, json_shown
from app.engine.errors import ResponseError, response_error
from app.errors import BadUserInput
from app.transports.graphql.parameters import Parameters

__all__ = [
    "ApolloDialect",
    "ClientMessage",
    "ConnectionInit",
    "Dialect",
    "Malformed",
    "Ping",
    "Pong",
    "Start",
    "Stop",
    "Subprotocol",
    "Terminate",
    "TransportDialect",
    "Unexecutable",
]

_MAX_ID: Final = 256


class Subprotocol(StrEnum):
    """The names in `Sec-WebSocket-Protocol`, the preferred one first."""

    TRANSPORT = "graphql-transport-ws"
    APOLLO = "graphql-ws"


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """The client introduces itself."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an operation: `subscribe`, in the legacy protocol `start`."""

    id: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Unexecutable:
    """An operation that cannot be read: it is answered with an error, and the socket lives on."""

    id: str
    error: ResponseError


@dataclass(frozen=True, slots=True)
class Stop:
    """The client wants no more of an operation: `complete`, legacy `stop`."""

    id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong with the same payload."""

    payload: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping, or just says hello."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """The legacy client says goodbye."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """No message of the protocol: the socket is closed with 4400 and this reason."""

    reason: str


ClientMessage: TypeAlias = (
    ConnectionInit | Start | Unexecutable | Stop | Ping | Pong | Terminate | Malformed
)


class Dialect(Protocol):
    """One subprotocol."""

    subprotocol: Subprotocol
    ack: bytes
    heartbeat: bytes
    """What the server sends now and then when it has nothing to say."""

    def read(self, text: str | bytes) -> ClientMessage:
        """Return what a text message says; any text whatever gives an answer."""

    def next(self, id_json: bytes, payload: bytes) -> bytes:
        """Return the frame of one response.

        Args:
            id_json: the operation's id as JSON text.
            payload: the response as JSON text.
        """

    def error(self, id_json: bytes, errors: list[ResponseError]) -> bytes:
        """Return the frame that ends an operation which failed."""

    def complete(self, id_json: bytes) -> bytes:
        """Return the frame that ends an operation."""

    def pong(self, ping: Ping) -> bytes:
        """Return the answer to a ping."""

    def refused(self, error: ResponseError) -> bytes | None:
        """Return what is said before the socket is closed for a bad `connection_init`."""


class TransportDialect:
    """`graphql-transport-ws`."""

    subprotocol = Subprotocol.TRANSPORT
    ack = b'{"type":"connection_ack"}'
    heartbeat = b'{"type":"ping"}'

    def read(self, text: str | bytes) -> ClientMessage:
        return _read(
            text,
            {
                "connection_init": _connection_init,
                "subscribe": _start,
                "complete": _stop,
                "ping": _ping,
                "pong": _pong,
            },
        )

    def next(self, id_json: bytes, payload: bytes) -> bytes:
        return b'{"id":%b,"type":"next","payload":%b}' % (id_json, payload)

    def error(self, id_json: bytes, errors: list[ResponseError]) -> bytes:
        return b'{"id":%b,"type":"error","payload":%b}' % (id_json, encode_json(errors))

    def complete(self, id_json: bytes) -> bytes:
        return b'{"id":%b,"type":"complete"}' % id_json

    def pong(self, ping: Ping) -> bytes:
        if ping.payload is None:
            return b'{"type":"pong"}'
        return b'{"type":"pong","payload":%b}' % encode_json(ping.payload)

    def refused(self, error: ResponseError) -> bytes | None:  # noqa: ARG002 - a Dialect
        return None  # The close frame says it all.


class ApolloDialect:
    """`graphql-ws` as subscriptions-transport-ws speaks it."""

    subprotocol = Subprotocol.APOLLO
    ack = b'{"type":"connection_ack"}'
    heartbeat = b'{"type":"ka"}'

    def read(self, text: str | bytes) -> ClientMessage:
        return _read(
            text,
            {
                "connection_init": _connection_init,
                "start": _legacy_start,
                "stop": _stop,
                "connection_terminate": lambda _message: Terminate(),
            },
        )

    def next(self, id_json: bytes, payload: bytes) -> bytes:
        return b'{"type":"data","id":%b,"payload":%b}' % (id_json, payload)

    def error(self, id_json: bytes, errors: list[ResponseError]) -> bytes:
        # One error is all that this message has room for.
        return b'{"type":"error","id":%b,"payload":%b}' % (id_json, encode_json(errors[0]))

    def complete(self, id_json: bytes) -> bytes:
        return b'{"type":"complete","id":%b}' % id_json

    def pong(self, ping: Ping) -> bytes:  # noqa: ARG002 - a Dialect
        raise AssertionError("the legacy protocol has no ping")

    def refused(self, error: ResponseError) -> bytes | None:
        return b'{"type":"connection_error","payload":%b}' % encode_json(error)


def _read(
    text: str | bytes, readers: Mapping[str, Callable[[Mapping[str, Any]], ClientMessage]]
) -> ClientMessage:
    try:
        message = decode_request(text)
    except BeyondBounds as error:
        return _unexecutable(text, readers, error)
    except BadUserInput as error:
        return Malformed(error.message)
    if not isinstance(message, Mapping):
        return Malformed(f"the message is {json_shown(message)}; expected a JSON object")
    if "type" not in message:
        return Malformed("the message has no type")
    message_type = message["type"]
    reader = readers.get(message_type) if isinstance(message_type, str) else None
    if reader is None:
        return Malformed(f"type is {json_shown(message_type)}; allowed: {', '.join(readers)}")
    return reader(message)


class _Envelope(msgspec.Struct):
    """What a message is about, its payload left unread."""

    type: str
    id: str = ""


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def _unexecutable(
    text: str | bytes,
    readers: Mapping[str, Callable[[Mapping[str, Any]], ClientMessage]],
    error: BeyondBounds,
) -> Unexecutable | Malformed:
    """Refuse the one operation whose payload is beyond the bounds, if it is one."""
    try:
        envelope = _envelopes.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Malformed(error.message)
    begins = readers.get(envelope.type) in (_start, _legacy_start)
    if not begins or not 1 <= len(envelope.id) <= _MAX_ID:
        return Malformed(error.message)
    return Unexecutable(envelope.id, response_error(error))


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any] | Malformed | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, Mapping):
        return Malformed(f"payload is {json_shown(payload)}; expected an object, null or none")
    return payload


def _id(message: Mapping[str, Any]) -> str | Malformed:
    operation_id = message.get("id")
    if not isinstance(operation_id, str):
        came = json_shown(operation_id) if "id" in message else "missing"
        return Malformed(f"id is {came}; expected a string")
    if not 1 <= len(operation_id) <= _MAX_ID:
        return Malformed(f"id has {len(operation_id)} characters; allowed: 1 to {_MAX_ID}")
    return operation_id


def _connection_init(message: Mapping[str, Any]) -> ClientMessage:
    payload = _payload(message)
    return payload if isinstance(payload, Malformed) else ConnectionInit(payload or {})


def _start(message: Mapping[str, Any]) -> Start | Malformed:
    operation_id = _id(message)
    if isinstance(operation_id, Malformed):
        return operation_id
    if "payload" not in message:
        return Malformed("payload is missing; expected an object with a query")
    try:
        return Start(operation_id, Parameters.of(message["payload"], "payload"))
    except BadUserInput as error:
        return Malformed(error.message)


def _stop(message: Mapping[str, Any]) -> Stop | Malformed:
    operation_id = _id(message)
    return operation_id if isinstance(operation_id, Malformed) else Stop(operation_id)


def _legacy_start(message: Mapping[str, Any]) -> Start | Unexecutable | Malformed:
    started = _start(message)
    operation_id = _id(message)
    if isinstance(started, Malformed) and isinstance(operation_id, str):
        # The legacy protocol knows no close codes: its client would reconnect and send the
        # same again.
        return Unexecutable(operation_id, response_error(BadUserInput(started.reason)))
    return started


def _ping(message: Mapping[str, Any]) -> Ping | Malformed:
    payload = _payload(message)
    return payload if isinstance(payload, Malformed) else Ping(payload)


def _pong(message: Mapping[str, Any]) -> Pong | Malformed:
    payload = _payload(message)
    return payload if isinstance(payload, Malformed) else Pong()
