"""What a channel should hold and say: the contract's rules on plain lists, no service."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = [
    "MODERATED",
    "Event",
    "Filters",
    "Room",
    "Said",
    "accepts_all",
    "large",
    "publication",
    "retraction",
]

MODERATED: Final = "moderated"
"""The reason of each retraction that a moderator makes; others give none."""

Event: TypeAlias = dict[str, Any]
"""One of `channelEvents`, as `Widget.events` selects it."""
Filters: TypeAlias = Callable[[Any], bool]
"""Whether a message's data passes."""


def accepts_all(_data: Any) -> bool:
    """No filters."""
    return True


def large(data: Any) -> bool:
    """`data.n > 50`: a message without the number does not pass."""
    return bool(data.get("n", 0) > 50)


@dataclass(frozen=True)
class Said:
    """A message as it was acknowledged, who said it under which key, and what it does there."""

    id: str
    data: Any
    publisher: str
    key: str | None
    replaces: bool = False


@dataclass
class Room:
    """One channel: what is stored, in order, and all that ever happened."""

    stored: list[Said] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    """As a listener who missed nothing was told it."""
    acknowledged: dict[str, Said] = field(default_factory=dict)
    """Each message by its id; it is stored from when the log says so."""
    waiting: list[Said] = field(default_factory=list)
    """Held messages, in the order in which they came."""
    spent: set[tuple[str, str]] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    """Cursors that are none any more."""

    # What is predicted.

    def under(self, publisher: str, key: str | None) -> Said | None:
        """What the publisher has stored under a key."""
        return _under(self.stored, publisher, key)

    def waiting_under(self, publisher: str, key: str | None) -> Said | None:
        """What the publisher has waiting under a key."""
        return _under(self.waiting, publisher, key)

    def holds(self, ids: Iterable[str]) -> list[Said]:
        """Those of some messages that are stored."""
        wanted = set(ids)
        return [message for message in self.stored if message.id in wanted]

    def approval(self, ids: Sequence[str]) -> tuple[int, list[Event]]:
        """How many of some messages are published when they are approved, and what is told."""
        published, events = 0, list[Event]()
        for said in (one for name in ids for one in self.waiting if one.id == name):
            earlier = self.under(said.publisher, said.key)
            if (said.publisher, said.key) in self.spent or (earlier and not said.replaces):
                continue  # dropped: the key was used meanwhile
            published += 1
            events += [*retraction([earlier] if earlier else [], None), publication(said)]
        return published, events

    def leaves(self, ids: Iterable[str], publisher: str | None = None) -> int:
        """Take note that held messages, or one publisher's, wait no more; return how many."""
        before, gone = len(self.waiting), set(ids)
        self.waiting = [
            one
            for one in self.waiting
            if one.id not in gone or publisher not in (None, one.publisher)
        ]
        return before - len(self.waiting)

    def remains(self, since: int = 0) -> list[Event]:
        """What comes to whoever is told of the log from a place in it on: what is there now."""
        there = {message.id for message in self.stored}
        return [
            event
            for event in self.log[since:]
            if event["cursor"] in there or ("ids" in event and event["cursor"] not in self.deleted)
        ]

    @property
    def places(self) -> dict[str, int]:
        """Where each cursor is in the log."""
        return {event["cursor"]: place for place, event in enumerate(self.log)}

    # What happens.

    def happens(self, event: Event) -> None:
        """Take the next event of the log, if the rules allow for it.

        Raises:
            AssertionError: they do not.
        """
        assert event["cursor"] not in self.places, f"{event} came twice"
        self.log.append(event)
        if event["kind"] == "MessagePublished":
            self._published(event["message"])
        else:
            self._retracted(event["ids"], event["reason"])

    def _published(self, message: dict[str, Any]) -> None:
        said = self.acknowledged[message["id"]]
        assert said.data == message["data"]
        if said.key is not None:
            assert (said.publisher, said.key) not in self.spent, f"{said} is under a spent key"
            assert self.under(said.publisher, said.key) is None, f"{said} is one too many"
        self.stored.append(said)

    def _retracted(self, ids: Sequence[str], reason: str | None) -> None:
        for said in self.holds(ids):
            self.stored.remove(said)
            if reason == MODERATED and said.key is not None and said.publisher != "mia":
                self.spent.add((said.publisher, said.key))

    def deletes(self, messages: Sequence[Said], *, all_of_it: bool) -> None:
        """Take note that messages were deleted; with the whole channel all cursors go."""
        gone = {message.id for message in messages}
        self.stored = [message for message in self.stored if message.id not in gone]
        self.deleted |= gone
        if all_of_it:
            self.deleted |= {event["cursor"] for event in self.log}
            self.waiting.clear()
            self.spent.clear()

    # What searches and live results show.

    def result(self) -> dict[str, Any]:
        """The answer to `QUERIES`."""
        messages = self.stored
        loud = [m.data["n"] for m in messages if large(m.data)]
        newest = messages[::-1]
        # Equals keep their publish order; whoever has no number comes last.
        ranked = sorted(messages, key=lambda m: -m.data.get("n", float("-inf")))
        choices = Counter(m.data["choice"] for m in messages)
        best = {
            choice: max((m.data["n"] for m in messages if m.data["choice"] == choice and
                         "n" in m.data), default=None)
            for choice in choices
        }  # fmt: skip
        return {
            "newest": {
                "totalCount": len(messages),
                "messages": [{"id": m.id, "data": m.data} for m in newest[:5]],
                "pageInfo": {"hasNextPage": len(messages) > 5},
            },
            "ranking": {"messages": [{"id": m.id} for m in ranked[1:4]]},
            "choices": {
                "totalCount": len(choices),
                "groups": [
                    {"key": choice, "count": count, "aggregate": {"max": best[choice]}}
                    for choice, count in sorted(choices.items())
                ],
            },
            "loud": {
                "totalCount": len(loud),
                "aggregate": {
                    "count": len(loud),
                    "distinct": len(set(loud)),
                    "min": min(loud, default=None),
                    "max": max(loud, default=None),
                    "sum": sum(loud) if loud else None,
                },
            },
        }


def _under(messages: Sequence[Said], publisher: str, key: str | None) -> Said | None:
    if key is None:
        return None
    return next((one for one in messages if (one.publisher, one.key) == (publisher, key)), None)


def publication(said: Said) -> Event:
    """What is told of a message that is stored."""
    message = {"id": said.id, "data": said.data}
    return {"kind": "MessagePublished", "cursor": said.id, "message": message}


def retraction(messages: Sequence[Said], reason: str | None) -> list[Event]:
    """What is told when these are retracted; its cursor is told to nobody before."""
    ids = [message.id for message in messages]
    return [{"kind": "MessagesRetracted", "ids": ids, "reason": reason}] if ids else []
