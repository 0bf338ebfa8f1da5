"""Members: whoever is given a group's bytes, and the guard around each."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from app.errors import DeliveryFailed, Forbidden, SubscriberTooSlow

__all__ = ["TALLIES", "Member", "Members", "Tally"]

logger = logging.getLogger(__name__)

_TURN: Final = 100
"""Members given at once: a millisecond or two. A publish takes some turns of the loop, and waits
for one of these in each."""


class Member(Protocol):
    """A client's end: an operation on a GraphQL socket, an event stream, a legacy socket."""

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Take the next ones, in order. Must not block. One that raises is dropped."""

    def fail(self, error: SubscriberTooSlow | Forbidden) -> None:
        """Take note that nothing more is given.

        Args:
            error: something was left out: closes what is behind it, so that its client comes
                back and resumes. Or the right was withdrawn: ends it for good.
        """

    async def drained(self) -> None:
        """Wait while the client's connection is busy with what it was given."""


class Tally:
    """How many are members of groups of one kind, and what they were given."""

    __slots__ = ("deliveries", "members")

    def __init__(self) -> None:
        self.members = 0
        """Now."""
        self.deliveries = 0
        """Payloads, each counted for each member that was given it, since the beginning."""


TALLIES: Final = {
    kind: Tally()
    for kind in ("messages", "channelEvents", "liveMessages", "connectionCount", "heldMessages")
}
"""Of this process, by the subscription that the members are of. A legacy socket is a member of
`channelEvents` and of `connectionCount`."""


class Members:
    """The members of one group. One that breaks costs the others nothing.

    Args:
        kind: of the group, in `TALLIES`.
    """

    __slots__ = ("_joined_at", "_tally")

    def __init__(self, kind: str = "messages") -> None:
        self._joined_at: dict[Member, int] = {}
        self._tally = TALLIES[kind]

    def __len__(self) -> int:
        return len(self._joined_at)

    def __contains__(self, member: Member) -> bool:
        return member in self._joined_at

    def add(self, member: Member, joined_at: int = 0) -> None:
        """Give it what comes from now on.

        Args:
            member: a new one.
            joined_at: the number of the last dispatch that is not for it.
        """
        self._tally.members += member not in self._joined_at
        self._joined_at[member] = joined_at

    def remove(self, member: Member) -> bool:
        """Give it nothing more; return whether it was there."""
        if self._joined_at.pop(member, None) is None:
            return False
        self._tally.members -= 1
        return True

    def give(self, payloads: Sequence[bytes], dispatch: int | None = None) -> None:
        """Give the payloads to the members; drop those that break.

        Args:
            payloads: what they are given.
            dispatch: its number, where it is late: whoever has joined since then has had
                it before, or did not ask for it.
        """
        # One that falls behind may leave meanwhile.
        self._give(tuple(self._joined_at), payloads, dispatch)

    async def give_in_turns(self, payloads: Sequence[bytes], dispatch: int) -> None:
        """Do what `give` does, in turns of 100 members: a publish waits for one of them.

        Args:
            payloads: what they are given.
            dispatch: its number; whoever joins meanwhile has a higher one, and had it before.
        """
        members = tuple(self._joined_at)
        for first in range(0, len(members), _TURN):
            if first:
                await asyncio.sleep(0)
            there = [one for one in members[first : first + _TURN] if one in self._joined_at]
            self._give(there, payloads, dispatch)

    def _give(
        self, members: Sequence[Member], payloads: Sequence[bytes], dispatch: int | None
    ) -> None:
        broken: dict[Member, Exception] = {}
        self._tally.deliveries += len(members) * len(payloads)
        for member in members:
            if dispatch is not None and self._joined_at.get(member, dispatch) >= dispatch:
                self._tally.deliveries -= len(payloads)
                continue
            try:
                member.receive(payloads)
            except Exception as error:
                broken[member] = error
        if broken:
            # They may be thousands, with one cause.
            example = next(iter(broken.values()))
            logger.error("%d members of a group failed", len(broken), exc_info=example)
            self._drop(tuple(broken), DeliveryFailed())

    def drop(self, error: SubscriberTooSlow) -> None:
        """Let all go: they miss something from here on."""
        self._drop(tuple(self._joined_at), error)

    def _drop(self, members: Sequence[Member], error: SubscriberTooSlow) -> None:
        there = [member for member in members if self.remove(member)]
        for member in there:
            try:
                member.fail(error)
            except Exception:
                logger.exception("a member of a group could not be dropped")
