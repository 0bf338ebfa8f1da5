"""The keys of messages that are not stored: remembered for a while and within a bound."""

from collections.abc import Iterator
from itertools import count

import pytest

from app.domain.channel import Channel
from app.domain.message import Draft, Message
from app.services.recent_messages import RecentMessages

CHANNEL = Channel("project", "widget")
MIB = 1024 * 1024


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def drafts() -> Iterator[Draft]:
    """Drafts with a key each, of 60,000 bytes."""
    return (
        Draft(CHANNEL, f"id {n}", "client", None, b'"' + b"x" * 59_998 + b'"', f"key {n}")
        for n in count()
    )


def message_of(draft: Draft) -> Message:
    return Message(CHANNEL, None, draft.id, draft.client_id, 1, None, draft.data_json)


def test_what_is_remembered_is_bounded_in_bytes(drafts: Iterator[Draft]) -> None:
    """10,000 were kept, whatever their size: 640 MB of the largest."""
    recent = RecentMessages()
    published = [next(drafts) for _ in range(1_000)]
    for draft in published:
        recent.add(draft, message_of(draft))
    known = [draft for draft in published if recent.first(draft) is not None]
    assert known == published[-len(known) :], "the oldest is forgotten first"
    assert 7 * MIB < sum(len(draft.data_json) for draft in known) <= 8 * MIB


def test_what_is_remembered_is_forgotten_after_five_minutes(drafts: Iterator[Draft]) -> None:
    clock = Clock()
    recent = RecentMessages(clock)
    early, late = next(drafts), next(drafts)
    recent.add(early, message_of(early))
    clock.seconds = 200
    recent.add(late, message_of(late))
    assert recent.first(early) == message_of(early)
    clock.seconds = 301
    assert recent.first(early) is None
    assert recent.first(late) == message_of(late)
    assert len(recent._messages) == 1


def test_the_decoded_data_of_a_delivered_message_is_not_kept(drafts: Iterator[Draft]) -> None:
    recent = RecentMessages()
    draft = next(drafts)
    delivered = message_of(draft)
    recent.add(draft, delivered)
    assert delivered.data
    remembered = recent.first(draft)
    assert remembered == delivered
    assert "data" not in vars(remembered)
