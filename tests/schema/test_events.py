"""Each thing that a channel gives is one kind of event."""

from typing import Any

from app.domain.channel import Channel
from app.domain.entry import CaughtUp, Retraction
from app.domain.message import Message
from app.schema.events import channel_event

CHANNEL = Channel("p", "w")


def test_each_event_has_its_cursor() -> None:
    message = Message(CHANNEL, 1, "first", "client", 5, None, b"1")
    published: Any = channel_event(message)
    assert (published.cursor, published.message) == ("first", message)
    retracted: Any = channel_event(Retraction(CHANNEL, 2, "second", 6, ("first",), "why"))
    assert (retracted.cursor, retracted.ids, retracted.reason) == ("second", ["first"], "why")
    for cursor in ("second", None):
        caught_up: Any = channel_event(CaughtUp(cursor))
        assert caught_up.cursor == cursor
