"""Members: whoever is given a group's bytes, and the guard around each."""

import logging
from collections.abc import Sequence
from typing import Protocol

from app.errors import DeliveryFailed

__all__ = ["Member", "Members"]

logger = logging.getLogger(__name__)


class Member(Protocol):
    """A client's end: an operation on a GraphQL socket, an event stream, a legacy socket."""

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Take the next ones, in order. Must not block. One that raises is dropped."""

    def fail(self, error: Exception) -> None:
        """Take note that nothing more is given, and let the client know.

        After `DeliveryFailed` something is missing: its client must come back and resume.
        """

    async def drained(self) -> None:
        """Wait while the client's connection is busy with what it was given."""


class Members:
    """The members of one group. One that breaks costs the others nothing."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> None:
        """Give it what comes from now on."""
        self._members[member] = None

    def remove(self, member: Member) -> bool:
        """Give it nothing more; return whether it was there."""
        return self._members.pop(member, self) is None

    def give(self, payloads: Sequence[bytes]) -> None:
        """Give each member the payloads; drop those that break."""
        broken: dict[Member, Exception] = {}
        for member in tuple(self._members):  # one that falls behind may leave meanwhile
            try:
                member.receive(payloads)
            except Exception as error:
                broken[member] = error
        if broken:
            # They may be thousands, with one cause.
            example = next(iter(broken.values()))
            logger.error("%d members of a group failed", len(broken), exc_info=example)
            self._drop(tuple(broken))

    def drop(self) -> None:
        """Let all go: they miss something from here on."""
        self._drop(tuple(self._members))

    def _drop(self, members: Sequence[Member]) -> None:
        there = [member for member in members if self.remove(member)]
        for member in there:
            try:
                member.fail(DeliveryFailed())
            except Exception:
                logger.exception("a member of a group could not be dropped")
