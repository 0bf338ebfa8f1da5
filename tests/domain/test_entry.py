"""What a channel gives: each kind knows its place and its size."""

from app.domain.channel import Channel
from app.domain.entry import PolicyChange, Retraction
from app.domain.message import Message

CHANNEL = Channel("p", "w")
MESSAGE = Message(CHANNEL, 1, "id", "client", 5, None, b'{"score":1}')


def test_a_queue_counts_what_an_entry_holds() -> None:
    without = Retraction(CHANNEL, 2, "other", 6, ("id",))
    assert Retraction(CHANNEL, 2, "other", 6, ("id",), removed=(MESSAGE,)).size == (
        without.size + len(MESSAGE.data_json)
    )
    assert Retraction(CHANNEL, 2, "other", 6, ("id",) * 1_000).size > 36_000


def test_a_change_of_the_policy_has_no_place() -> None:
    change = PolicyChange(CHANNEL, b"{}")
    assert (change.sequence, change.size) == (None, 2)
