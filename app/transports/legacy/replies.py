"""What the server says to a legacy client: each frame as UTF-8 JSON text.

What goes to every socket of a channel is encoded once: they are one group.
`docs/PROTOCOL.md` describes the frames.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import msgspec

from app.domain.entry import Entry, PolicyChange, Retraction
from app.domain.message import MESSAGE_FIELDS, Message
from app.errors import ErrorCode, cut
from app.telemetry.counters import COUNTED
from app.transports.legacy.frames import Ref

__all__ = [
    "ack_frame",
    "active_connections_frame",
    "authenticated_frame",
    "count_frame",
    "entry_frame",
    "error_frame",
    "groups_frame",
    "message_frame",
    "open_frame",
    "policy_frame",
    "record_json",
    "result_frame",
    "retract_frame",
]

_MAX_MESSAGE: Final = 500
"""Characters of an error's text."""

_encoder: Final = msgspec.json.Encoder()
_encode: Final = _encoder.encode

_TOLD: Final = [(field.legacy, field.value) for field in MESSAGE_FIELDS if field.legacy]
_Record: Final = msgspec.defstruct("_Record", [name for name, _ in _TOLD], gc=False)
"""A record on its way into JSON: cheaper to make and to encode than a dict."""
_values: Final = attrgetter(*(value for _, value in _TOLD))


def record_json(message: Message) -> bytes:
    """Return the record of a message: the fields that have a legacy name, in their order."""
    return _encode(_Record(*_values(message)))


def message_frame(message: Message) -> bytes:
    """Return the frame that brings a message to every socket of its channel."""
    # What is not stored is no cursor: the client must know, or its resume would fail.
    mark = b"" if message.persistent else b',"persistent":false'
    return b'{"type":"message","message":' + record_json(message) + mark + b"}"


def retract_frame(retraction: Retraction) -> bytes:
    """Return the frame that tells every socket of a channel which messages were retracted."""
    fields: dict[str, object] = {
        "type": "retract",
        "id": retraction.id,
        "ids": retraction.ids,
    }
    if retraction.reason is not None:
        fields["reason"] = retraction.reason
    return _encode(fields)


def policy_frame(policy_json: bytes) -> bytes:
    """Return the frame of a channel's policy.

    Args:
        policy_json: as GraphQL's `ChannelPolicy`, with all its fields.
    """
    return b'{"type":"policy","policy":%b}' % policy_json


def entry_frame(entry: Entry) -> bytes:
    """Return the frame of what a channel gives, the same for all its sockets."""
    match entry:
        case Message():
            return message_frame(entry)
        case Retraction():
            return retract_frame(entry)
        case PolicyChange(policy_json=policy_json):
            return policy_frame(policy_json)


def open_frame(
    client_id: str,
    username: str | None,
    connections: int,
    after: str,
    client_token: str | None = None,
) -> bytes:
    """Return the reply to `open`.

    Args:
        client_id: the client's, or the one made up for it.
        username: from the token; None: anonymous.
        connections: the channel's count, this socket included.
        after: the cursor of where this socket starts; `@0`: before the first message.
        client_token: for the next `open`; None: a token names the client already.
    """
    fields: dict[str, object] = {
        "type": "open",
        "client_id": client_id,
        "username": username,
        "connections": connections,
        "after": after,
    }
    if client_token is not None:
        fields["client_token"] = client_token
    return _encode(fields)


def ack_frame(ref: Ref | None, message: Message) -> bytes:
    """Return the frame that says a publish is done, with the record it became."""
    return b'{"type":"ack","ref":' + (ref or b"null") + b',"message":' + record_json(message) + b"}"


def count_frame(ref: Ref | None, count: int) -> bytes:
    """Return the frame that says how many messages a `retract` has taken back."""
    return b'{"type":"ack","ref":%b,"count":%d}' % (ref or b"null", count)


def authenticated_frame(ref: Ref | None, username: str | None) -> bytes:
    """Return the frame that says who goes on, by the token of an `auth`."""
    return b'{"type":"ack","ref":%b,"username":%b}' % (ref or b"null", _encode(username))


def active_connections_frame(count: int) -> bytes:
    """Return the frame of a new count of connections."""
    return b'{"type":"activeConnections","data":%d}' % count


def result_frame(ref: Ref, total: int, messages: Iterable[Message]) -> bytes:
    """Return the frame of a search's result; `total` counts all that match, not the page."""
    return _result(ref, total, map(record_json, messages))


def groups_frame(ref: Ref, total: int, groups: Iterable[tuple[bytes, int]]) -> bytes:
    """Return the frame of a grouped search's result.

    Args:
        ref: the search's.
        total: the number of groups, not of this page.
        groups: each group's key as JSON text, and how many messages it has.
    """
    return _result(ref, total, (b'{"key":%b,"count":%d}' % group for group in groups))


def _result(ref: Ref, total: int, rows: Iterable[bytes]) -> bytes:
    return b'{"type":"result","ref":%b,"totalRecords":%d,"resultSet":[%b]}' % (
        ref,
        total,
        b",".join(rows),
    )


def error_frame(
    code: ErrorCode, message: str, ref: Ref | None = None, retry_after_ms: int | None = None
) -> bytes:
    """Return the frame of a refusal.

    Args:
        code: the same as in GraphQL.
        message: what was wrong, what came, what is allowed; cut after 500 characters.
        ref: of the call that failed; None: it had none, or the connection as a whole fails.
        retry_after_ms: when the same call may succeed; None: not known.
    """
    COUNTED.errors[code.value] += 1
    fields: dict[str, object] = {
        "type": "error",
        "code": str(code),
        "message": cut(message, _MAX_MESSAGE),
    }
    if ref is not None:
        fields["ref"] = msgspec.Raw(ref)
    if retry_after_ms is not None:
        fields["retryAfterMs"] = retry_after_ms
    return _encode(fields)
