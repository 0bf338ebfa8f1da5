"""What a legacy client says: one JSON object a text frame, checked field by field.

A frame that cannot be told apart from noise is `Unreadable`; one that is known but wrong
is `Refused`, with its `ref`, so that the client learns which of its calls failed.
The frames that the server sends are in `replies`; `docs/PROTOCOL.md` describes both.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from app.domain.json_bounds import decode_request
from app.domain.json_value import JsonValue, json_kind
from app.domain.message import OnRepeat
from app.errors import BadUserInput, Unauthenticated
from app.transports.client_tokens import checked_client_token

__all__ = [
    "MAX_REF_BYTES",
    "Auth",
    "Call",
    "ClientFrame",
    "Open",
    "Publish",
    "Ref",
    "Refused",
    "Retract",
    "Search",
    "Unreadable",
    "parse_frame",
]

MAX_REF_BYTES: Final = 256
"""The longest `ref`, in bytes of its JSON text."""

Ref: TypeAlias = bytes
"""The JSON text of a `ref`, as it came: echoed byte for byte."""


class Open(msgspec.Struct, frozen=True):
    """The first frame: who speaks, and from where to listen."""

    client_id: str | None
    persistent: bool
    token: str | None
    after: str | None
    """A cursor; the empty one is before the first message. None: live messages only."""
    client_token: str | None = None
    """Proves a signed client id; the empty one asks for one from now on. None: neither."""


class Publish(msgspec.Struct, frozen=True):
    """Publish one message."""

    ref: Ref | None
    data: JsonValue
    id: str | None
    """The idempotency key."""
    on_repeat: OnRepeat = OnRepeat.KEEP
    """What a key that was used before means."""
    size: int = 0
    """Of `data`, in bytes as it came."""


class Retract(msgspec.Struct, frozen=True):
    """Take messages back: one's own, or with the permission `moderate` any."""

    ref: Ref | None
    ids: Sequence[str]
    """How many there may be is the service's to say."""
    reason: str | None
    size: int = 0
    """Of `ids`, in bytes as they came."""


class Search(msgspec.Struct, frozen=True):
    """Search the channel's stored messages."""

    ref: Ref
    query: Mapping[str, JsonValue]


class Auth(msgspec.Struct, frozen=True):
    """Go on with a new token."""

    ref: Ref | None
    token: str


class Refused(msgspec.Struct, frozen=True):
    """A known frame with a bad field. The socket lives on, unless it was an `open`."""

    type: str
    ref: Ref | None
    error: BadUserInput | Unauthenticated


class Unreadable(msgspec.Struct, frozen=True):
    """Not a frame of this protocol: nobody knows what it was meant to do."""

    reason: str


Call: TypeAlias = Publish | Retract | Search | Auth
"""What is answered under its `ref`."""

ClientFrame: TypeAlias = Open | Call | Refused | Unreadable

_NOTHING: Final = msgspec.Raw(b"")


class _Envelope(msgspec.Struct):
    """The fields of all frames, still as JSON text: one pass, and a bad one names its frame."""

    type: msgspec.Raw = _NOTHING
    ref: msgspec.Raw = _NOTHING
    client_id: msgspec.Raw = _NOTHING
    persistent: msgspec.Raw = _NOTHING
    token: msgspec.Raw = _NOTHING
    client_token: msgspec.Raw = _NOTHING
    after: msgspec.Raw = _NOTHING
    data: msgspec.Raw = _NOTHING
    id: msgspec.Raw = _NOTHING
    on_repeat: msgspec.Raw = _NOTHING
    ids: msgspec.Raw = _NOTHING
    reason: msgspec.Raw = _NOTHING
    query: msgspec.Raw = _NOTHING


_envelopes: Final = msgspec.json.Decoder(_Envelope)
_TYPES: Final = ("open", "publish", "retract", "search", "auth")


def parse_frame(text: str | bytes) -> ClientFrame:
    """Return the frame that `text` is. Never raises.

    Args:
        text: one whole text message; bounded in size by the socket.
    """
    try:
        envelope = _envelopes.decode(text)
    except msgspec.ValidationError:
        return Unreadable("a frame must be a JSON object")
    except RecursionError:
        return _damaged(_without_nested(text), "the frame is nested too deeply")
    except (msgspec.DecodeError, UnicodeError):
        return _damaged(
            _without_lone_surrogates(text), "the frame has a string with a lone surrogate"
        )
    return _typed(envelope)


def _typed(envelope: _Envelope) -> ClientFrame:
    kind = _decoded(envelope.type) if bytes(envelope.type).startswith(b'"') else None
    if not isinstance(kind, str) or kind not in _TYPES:
        came = _shown(envelope.type) if envelope.type != _NOTHING else "missing"
        return Unreadable(f"type is {came}; allowed are {', '.join(_TYPES)}")
    ref: Ref | None = None
    try:
        ref = _ref(kind, envelope.ref)
        return _open(envelope) if kind == "open" else _call(kind, ref, envelope)
    except (BadUserInput, Unauthenticated) as error:
        return Refused(kind, ref, error)


def _open(envelope: _Envelope) -> Open:
    return Open(
        _text("open.client_id", envelope.client_id),
        _boolean("open.persistent", envelope.persistent),
        _token("open.token", envelope.token),
        _text("open.after", envelope.after),
        _client_token(envelope.client_token),
    )


def _call(kind: str, ref: Ref | None, envelope: _Envelope) -> Call:
    if kind == "publish":
        return _publish(ref, envelope)
    if kind == "retract":
        return _retract(ref, envelope)
    if kind == "search":
        return _search(ref, envelope.query)
    return Auth(ref, _new_token(envelope.token))


def _publish(ref: Ref | None, envelope: _Envelope) -> Publish:
    return Publish(
        ref,
        _data(envelope.data),
        _text("publish.id", envelope.id),
        _on_repeat(envelope.on_repeat),
        size=len(memoryview(envelope.data)),
    )


def _on_repeat(raw: msgspec.Raw) -> OnRepeat:
    value = _decoded(raw)
    if value is None:
        return OnRepeat.KEEP
    if isinstance(value, str) and value.upper() in OnRepeat.__members__:
        return OnRepeat(value.upper())
    raise BadUserInput(f"publish.on_repeat is {_shown(raw)}; allowed are {', '.join(OnRepeat)}")


def _retract(ref: Ref | None, envelope: _Envelope) -> Retract:
    return Retract(
        ref,
        _ids(envelope.ids),
        _text("retract.reason", envelope.reason),
        size=len(memoryview(envelope.ids)),
    )


def _ids(raw: msgspec.Raw) -> Sequence[str]:
    value = _decoded(raw)
    if value is None:
        raise BadUserInput("retract.ids is missing; allowed is a list of message ids")
    if not isinstance(value, list):
        raise BadUserInput(f"retract.ids is {_shown(raw)}; allowed is a list of message ids")
    ids = [one for one in value if isinstance(one, str)]
    if len(ids) < len(value):
        at, wrong = next((at, one) for at, one in enumerate(value) if not isinstance(one, str))
        raise BadUserInput(
            f"retract.ids[{at}] is {json_kind(wrong)}; allowed is a string, the id of a message"
        )
    return ids


def _search(ref: Ref | None, raw: msgspec.Raw) -> Search:
    if ref is None:  # Without it no result could find its way back.
        raise BadUserInput("search.ref is missing; allowed are strings and numbers")
    query = _decoded(raw)
    if query is None:
        query = {}
    if not isinstance(query, Mapping):
        raise BadUserInput(f"search.query is {_shown(raw)}; allowed is an object")
    return Search(ref, query)


def _decoded(raw: msgspec.Raw) -> JsonValue:
    """Return the value of a field; a missing one is as good as null."""
    return decode_request(bytes(raw)) if raw != _NOTHING else None


def _shown(raw: msgspec.Raw, most: int = 60) -> str:
    """Return a field's JSON text as an error may show it; never decoded, so that it may be deep."""
    text = bytes(memoryview(raw)[: 4 * most]).decode(errors="ignore")
    return text if len(text) <= most else text[: most - 1] + "…"


def _ref(kind: str, raw: msgspec.Raw) -> Ref | None:
    text = bytes(raw)
    if not text or text == b"null":
        return None
    if len(text) > MAX_REF_BYTES:
        raise BadUserInput(f"{kind}.ref has {len(text)} bytes, at most {MAX_REF_BYTES} are allowed")
    if text[:1] not in b'"-0123456789':
        raise BadUserInput(f"{kind}.ref is {_shown(raw)}; allowed are strings and numbers")
    return text


def _data(raw: msgspec.Raw) -> JsonValue:
    if raw == _NOTHING:
        raise BadUserInput("publish.data is missing; allowed is any JSON value")
    return _decoded(raw)


def _text(field: str, raw: msgspec.Raw) -> str | None:
    value = _decoded(raw)
    if value is None or isinstance(value, str):
        return value
    raise BadUserInput(f"{field} is {_shown(raw)}; allowed is a string")


def _token(field: str, raw: msgspec.Raw) -> str | None:
    value = _decoded(raw)
    if value is None or isinstance(value, str):
        return value
    # Its type and nothing of it: half a token is still a secret.
    raise BadUserInput(f"{field} is {json_kind(value)}; allowed is a string")


def _new_token(raw: msgspec.Raw) -> str:
    token = _token("auth.token", raw)
    if token is None:
        raise BadUserInput("auth.token is missing; allowed is a string")
    return token


def _client_token(raw: msgspec.Raw) -> str | None:
    value = _decoded(raw)
    return None if value is None else checked_client_token("open.client_token", value)


def _boolean(field: str, raw: msgspec.Raw) -> bool:
    value = _decoded(raw)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise BadUserInput(f"{field} is {_shown(raw)}; allowed are true and false")


# RFC 8259 allows both of the following in a document, and no message may hold them: a
# widget that cuts an emoji in half must learn that its publish failed, and keep its socket.

_HEAD: Final = re.compile(r'\s*\{(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
"""A frame up to the first array or object in it."""
_LONE: Final = re.compile(
    r"(\\(?<!\\\\)(?:\\\\)*+)u[dD]"  # an odd number of backslashes: the last one escapes
    r"(?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
"""An escaped surrogate without its other half."""
_MAX_REPAIRS: Final = 10_000
"""A frame with more of them is noise."""


def _damaged(repaired: str | None, reason: str) -> ClientFrame:
    """Refuse a frame that was readable only once it was repaired, by its type and `ref`."""
    if repaired is None:
        return Unreadable("a frame must be JSON")
    try:
        envelope = _envelopes.decode(repaired)
    except (msgspec.DecodeError, UnicodeError):
        return Unreadable("a frame must be a JSON object")
    frame = _typed(envelope)
    match frame:
        case Unreadable():
            return frame
        case Refused(type=kind, ref=ref):
            pass  # What it lacks, the repair took.
        case Open():
            kind, ref = "open", None
        case Publish(ref=ref):
            kind = "publish"
        case Retract(ref=ref):
            kind = "retract"
        case Search(ref=ref):
            kind = "search"
        case Auth(ref=ref):
            kind = "auth"
    return Refused(kind, ref, BadUserInput(reason))


def _without_nested(text: str | bytes) -> str | None:
    """Return the text with null for all from its first array or object to the last.

    What stands between two of them is lost: a frame has one, its `data`, `ids` or `query`.
    """
    text = text if isinstance(text, str) else text.decode(errors="replace")
    head = _HEAD.match(text)
    end = text.rstrip().rfind("}")
    last = max(text.rfind("]", 0, max(end, 0)), text.rfind("}", 0, max(end, 0)))
    return f"{head[0]}null{text[last + 1 :]}" if head and head.end() <= last else None


def _without_lone_surrogates(text: str | bytes) -> str | None:
    """Return the text with U+FFFD for each lone surrogate, or None if it has none."""
    text = text if isinstance(text, str) else text.decode(errors="replace")
    repaired, count = _LONE.subn(r"\1ufffd", text, _MAX_REPAIRS)
    return repaired if count else None
