"""Events on the bus: what goes in comes out, within what a notification may hold."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.events import (
    Deleted,
    Event,
    PresenceChanged,
    Stored,
    Transient,
    decode_event,
    encode_event,
    entries_of,
    message_of,
    stored_event,
    transient_event,
)
from app.domain.entry import Retraction, StoredEntry
from app.domain.json_value import encode_json
from app.domain.message import MESSAGE_COLUMNS, Message
from app.telemetry.traces import TRACES
from tests.delivery.recorded import CHANNEL, stored, transient

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def carried(event: Event) -> list[StoredEntry]:
    """Return the entries of an event that went over the bus."""
    came = decode_event(encode_event(event))
    assert came == event
    assert isinstance(came, Stored | Transient)
    return entries_of(came) if isinstance(came, Stored) else [message_of(came)]


@given(
    st.integers(1, 2**53),
    st.lists(st.tuples(TEXTS, TEXTS | st.none(), TEXTS | st.integers()), min_size=1, max_size=5),
)
def test_stored_messages_come_out_as_they_went_in(
    first: int, said: list[tuple[str, str | None, str | int]]
) -> None:
    messages = [
        Message(CHANNEL, sequence, f"id {sequence}", client, 1, name, encode_json(data))
        for sequence, (client, name, data) in enumerate(said, first)
    ]
    event = stored_event("process", messages)
    assert (event.first, event.last) == (first, first + len(said) - 1)
    assert carried(event) == messages


def test_a_retraction_comes_in_its_place_with_what_it_has_removed() -> None:
    gone = Message(CHANNEL, 3, "id 3", "c", 1, "Ann", b'{"secret":1.50}', "sub:1")
    retraction = Retraction(CHANNEL, 6, "id 6", 2, ("id 3",), "rude", (gone,))
    unknown = Retraction(CHANNEL, 7, "id 7", 2, ("id 1", "id 2"))
    entries: list[StoredEntry] = [stored(5), retraction, unknown, stored(8)]
    event = stored_event("process", entries)
    assert (event.first, event.last) == (5, 8)
    assert carried(event) == entries


def test_a_record_has_each_field_of_a_message_in_its_place() -> None:
    event = stored_event("process", [stored(1)])
    assert event.records[0].__struct_fields__ == MESSAGE_COLUMNS


def test_messages_too_large_for_an_event_are_named_only() -> None:
    """A notification of Postgres holds 8,000 bytes; readers take these from the table."""
    event = stored_event("process", [stored(7, 3_000), stored(8, 3_000)])
    assert (event.first, event.last, event.records) == (7, 8, ())
    assert carried(event) == []
    assert len(encode_event(event)) < 200


def test_what_was_retracted_is_carried_where_messages_alone_would_not_be() -> None:
    """It is in no table: live results of other processes would have to be read again."""
    votes: list[StoredEntry] = []
    for place in range(1, 201, 2):
        gone = Message(CHANNEL, place, f"id {place}", "c", 1, None, b'{"choice":"a"}')
        votes.append(
            Retraction(CHANNEL, 200 + place, f"id {200 + place}", 2, (gone.id,), None, (gone,))
        )
        votes.append(stored(201 + place))
    assert carried(stored_event("process", votes)) == votes
    large = stored(1, 300_000)
    retraction = Retraction(CHANNEL, 2, "id 2", 2, (large.id,), None, (large,))
    assert carried(stored_event("process", [retraction])) == []


def test_a_message_that_is_not_stored_is_carried_whatever_its_size() -> None:
    message = transient(60_000)
    assert carried(transient_event("process", message)) == [message]


@pytest.mark.parametrize("kind", [PresenceChanged, Deleted])
def test_what_happened_to_a_channel_names_it(kind: type[PresenceChanged | Deleted]) -> None:
    event = kind("process", CHANNEL.key)
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    "text", ["", "x", "{}", "[]", '["z","a","b"]', '["p","a"]', '["s",1,2,3,4]']
)
def test_what_is_no_event_is_refused(text: str) -> None:
    """Another version of the service, or another program, may write to the same topic."""
    with pytest.raises(msgspec.MsgspecError):
        decode_event(text)


class _Recorder:
    """Knows that some messages are of traced operations."""

    def traceparents(self, message_ids: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(message_ids, f"00-{'1' * 32}-{'2' * 16}-01")


def test_an_event_tells_which_spans_published_the_first_of_its_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder: Any = _Recorder()
    monkeypatch.setattr(TRACES, "recorder", recorder)
    messages = [stored(number) for number in range(1, 40)]
    for event in (stored_event("process", messages), transient_event("process", transient(1))):
        came = decode_event(encode_event(event))
        assert came == event
        assert isinstance(came, Stored | Transient)
        assert 1 <= len(came.traced) <= 16


def test_an_older_version_understands_an_event_of_this_one() -> None:
    """Processes of two versions share a bus while one replaces the other."""
    text = encode_event(stored_event("process", [stored(1)]))
    assert text.endswith(",{}]")
    assert isinstance(decode_event(text.removesuffix(",{}]") + "]"), Stored)
    assert isinstance(decode_event(text.removesuffix("]") + ",1]"), Stored)
