"""What processes tell each other over the bus.

Text, so that every backend carries it (NOTIFY payloads are text). The table is the truth
about stored messages: an event may go missing, come twice or be too large to carry its
messages, and nothing is lost.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import astuple

from app.domain.channel import Channel
from app.domain.entry import Retraction, StoredEntry
from app.domain.message import MESSAGE_COLUMNS, MESSAGE_FIELDS, Message
from app.telemetry.traces import TRACES

__all__ = [
    "Deleted",
    "Echo",
    "Event",
    "Held",
    "PresenceChanged",
    "Stored",
    "Transient",
    "decode_event",
    "encode_event",
    "entries_of",
    "message_of",
    "stored_event",
    "transient_event",
]

_MAX_INLINE_BYTES: Final = 6_000
"""More than this and an event names the range only: readers take it from the table."""
_MAX_WITH_RETRACTIONS_BYTES: Final = 256 * 1024
"""The same where there are retractions: what was retracted is in no table any more, and live
results that are not told of it are read again, whole."""


_MAX_TRACED: Final = 16
"""Messages of one event whose spans come along."""


class _Record(msgspec.Struct, frozen=True, array_like=True):
    """A message without its channel: the same fields in the same order.

    Processes of two versions share a bus while one replaces the other: a new field goes to the
    end and has a default.
    """

    sequence: int | None
    id: str
    client_id: str
    created: int
    username: str | None
    data: msgspec.Raw
    publisher: str | None = None


class _Retracted(msgspec.Struct, frozen=True, array_like=True):
    """A retraction without its channel."""

    sequence: int
    id: str
    created: int
    ids: tuple[str, ...]
    reason: str | None
    removed: tuple[_Record, ...] | None


_DATA: Final = _Record.__struct_fields__.index("data")
_VALUES: Final = {name: name for name in MESSAGE_COLUMNS} | {
    field.name: field.value for field in MESSAGE_FIELDS
}
_values: Final = attrgetter(*(_VALUES[name] for name in _Record.__struct_fields__))


class Stored(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Messages and retractions `first` to `last` of a channel are committed."""

    origin: str
    channel: str
    first: int
    last: int
    records: tuple[_Record, ...] = ()
    """All messages of them in order, or none when all are too large to carry."""
    created: int = 0
    """Of the first; 0: an older version has sent this."""
    retractions: tuple[_Retracted, ...] = ()
    """All retractions of them, as `records`."""
    traced: Mapping[str, str] = {}
    """Which spans published them, by their ids: of the few that are recorded."""


class Transient(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """A message that is not stored: this event is all there is of it."""

    origin: str
    channel: str
    record: _Record
    traced: Mapping[str, str] = {}
    """As of `Stored`."""


class PresenceChanged(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """The connections of a channel changed: whoever watches the count reads it again."""

    origin: str
    channel: str


class Deleted(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Stored messages of a channel were deleted: what is kept of it is out of date."""

    origin: str
    channel: str


class Held(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Messages of a channel wait for a moderator: whoever lists them reads the new ones."""

    origin: str
    channel: str


class Echo(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """What a process sends to itself, round through the broker."""

    origin: str
    number: int


Event: TypeAlias = Stored | Transient | PresenceChanged | Deleted | Held
"""What is about a channel."""

_Carried: TypeAlias = Event | Echo

_decoder: Final[msgspec.json.Decoder[_Carried]] = msgspec.json.Decoder(_Carried)
_encoder: Final = msgspec.json.Encoder()


def encode_event(event: _Carried) -> str:
    """Return the event's text."""
    return _encoder.encode(event).decode()


def decode_event(text: str) -> _Carried:
    """Return the event of a text.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: another version or program wrote it.
    """
    return _decoder.decode(text)


def stored_event(origin: str, entries: Sequence[StoredEntry]) -> Stored:
    """Return the event of consecutive messages and retractions of one channel.

    Args:
        origin: the publishing process.
        entries: at least one, in order of their sequences, without a gap.
    """
    first, last = entries[0].sequence, entries[-1].sequence
    assert first is not None
    assert last is not None
    records: tuple[_Record, ...] = ()
    retractions: tuple[_Retracted, ...] = ()
    retracted = [one for one in entries if isinstance(one, Retraction)]
    most = _MAX_WITH_RETRACTIONS_BYTES if retracted else _MAX_INLINE_BYTES
    if sum(entry.size + 200 for entry in entries) <= most:
        records = tuple(_record(one) for one in entries if isinstance(one, Message))
        retractions = tuple(map(_retracted, retracted))
    channel, created = entries[0].channel.key, entries[0].created
    traced = {} if TRACES.recorder is None else _traced([one.id for one in entries])
    return Stored(origin, channel, first, last, records, created, retractions, traced)


def transient_event(origin: str, message: Message) -> Transient:
    """Return the event that carries a message which is not stored."""
    traced = _traced([message.id])
    return Transient(origin, message.channel.key, _record(message), traced)


def _traced(ids: Sequence[str]) -> Mapping[str, str]:
    recorder = TRACES.recorder
    if recorder is None:
        return {}
    return dict(islice(recorder.traceparents(ids).items(), _MAX_TRACED))


def entries_of(event: Stored) -> list[StoredEntry]:
    """Return the messages and retractions an event carries; empty where they were too large."""
    channel = Channel.from_key(event.channel)
    entries: list[StoredEntry] = [_message(channel, record) for record in event.records]
    if event.retractions:
        entries += (_retraction(channel, one) for one in event.retractions)
        entries.sort(key=lambda entry: entry.sequence or 0)
    return entries


def message_of(event: Transient) -> Message:
    """Return the message an event carries."""
    return _message(Channel.from_key(event.channel), event.record)


def _record(message: Message) -> _Record:
    return _Record(*_values(message))


def _message(channel: Channel, record: _Record) -> Message:
    values = [*astuple(record)]
    values[_DATA] = bytes(record.data)
    return Message(channel, *values)


def _retracted(retraction: Retraction) -> _Retracted:
    removed = retraction.removed
    return _Retracted(
        retraction.sequence,
        retraction.id,
        retraction.created,
        retraction.ids,
        retraction.reason,
        None if removed is None else tuple(map(_record, removed)),
    )


def _retraction(channel: Channel, one: _Retracted) -> Retraction:
    removed = one.removed
    return Retraction(
        channel,
        one.sequence,
        one.id,
        one.created,
        one.ids,
        one.reason,
        None if removed is None else tuple(_message(channel, record) for record in removed),
    )
