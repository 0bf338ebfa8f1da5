"""The members of a group: one that breaks costs the others nothing."""

from collections.abc import Sequence

from app.delivery.members import TALLIES, Members
from app.errors import DeliveryFailed, SubscriberTooSlow


class Client:
    """A member that keeps what it is given, or breaks."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.payloads: list[bytes] = []
        self.errors: list[Exception] = []
        self._breaks = breaks

    def receive(self, payloads: Sequence[bytes]) -> None:
        if self._breaks:
            raise ZeroDivisionError
        self.payloads.extend(payloads)

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        if self._breaks:
            raise ZeroDivisionError

    async def drained(self) -> None:
        return


def test_each_member_is_given_each_payload_until_it_is_removed() -> None:
    members, first, second = Members(), Client(), Client()
    members.add(first)
    members.add(second)
    members.give([b"1", b"2"])
    assert members.remove(first)
    assert not members.remove(first)
    members.give([b"3"])
    assert (first.payloads, second.payloads) == ([b"1", b"2"], [b"1", b"2", b"3"])
    assert len(members) == 1


def test_one_that_breaks_is_told_and_gone_and_the_others_lose_nothing() -> None:
    members, broken, whole = Members(), Client(breaks=True), Client()
    members.add(broken)
    members.add(whole)
    members.give([b"1"])
    members.give([b"2"])
    assert [type(error) for error in broken.errors] == [DeliveryFailed]
    assert whole.payloads == [b"1", b"2"]
    assert len(members) == 1


def test_a_late_dispatch_is_not_for_those_who_joined_after_it() -> None:
    members, early, late = Members(), Client(), Client()
    members.add(early, joined_at=6)
    members.add(late, joined_at=7)
    members.give([b"dispatch 7"], 7)
    assert (early.payloads, late.payloads) == ([b"dispatch 7"], [])


def test_all_are_dropped_with_the_reason() -> None:
    members, clients = Members(), [Client(), Client(breaks=True), Client()]
    for client in clients:
        members.add(client)
    error = SubscriberTooSlow("9 messages are waiting")
    members.drop(error)
    assert [client.errors for client in clients] == [[error]] * 3
    assert not members


def test_members_and_what_they_are_given_are_counted_by_kind() -> None:
    tally = TALLIES["heldMessages"]
    before = tally.members, tally.deliveries
    members, clients = Members("heldMessages"), [Client(), Client(), Client(breaks=True)]
    for client in clients:
        members.add(client, joined_at=1)
    members.add(clients[0], joined_at=5)
    assert tally.members - before[0] == 3
    members.give([b"1", b"2"])
    assert tally.members - before[0] == 2
    members.give([b"3"], 3)
    assert tally.deliveries - before[1] == 2 * 3 + 1
    members.drop(DeliveryFailed())
    assert tally.members == before[0]
