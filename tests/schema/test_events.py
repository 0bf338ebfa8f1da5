"""Each thing that a channel gives is one kind of event."""

from typing import Any

from app.domain.channel import Channel
from app.domain.entry import CaughtUp, PolicyChange, Retraction
from app.domain.message import Message
from app.domain.policy import DEFAULT_POLICY
from app.schema.events import channel_event
from app.schema.policies import policy_type

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


def test_a_new_policy_is_an_event_without_a_cursor() -> None:
    policy = DEFAULT_POLICY.changed({"slowModeSeconds": 5, "dataSchema": {"maximum": 1}})
    changed: Any = channel_event(PolicyChange(CHANNEL, policy.json()))
    assert changed.policy == policy_type(policy)
    assert not hasattr(changed, "cursor")
