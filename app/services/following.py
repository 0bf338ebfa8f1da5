"""Rules that every publish is checked against: in memory, and followed by their version.

A rule is a row: a channel's policy, a ban. Every process keeps all of them in memory, so that no
publish waits for the table. Whoever changes one takes the next version in the same transaction
(`app.storage.rules`) and writes it on the row; a row that is gone stays as a mark. So one number
tells whether anything has changed, and the rows above it tell what.

While the database is away, the rules that are known go on holding.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from app.delivery.supervision import keep_running
from app.errors import Unavailable

__all__ = ["Change", "Followed", "RuleFollower"]

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Rule = TypeVar("Rule")

INTERVAL_SECONDS: Final = 0.5
"""Between two looks at the version: a change holds everywhere within a second."""
_START_SECONDS: Final = 60.0
"""For so long the first read waits for the database; then the process does not start."""
_NOTHING: Final = -1
"""A version before the first: all rows are above it."""


@dataclass(frozen=True, slots=True)
class Change(Generic[Key, Rule]):
    """One row, as it is since a version."""

    key: Key
    rule: Rule | None
    """None: the row is gone."""
    version: int
    """Given out in the order of the commits, from 1; the same for all rows of a transaction."""


class Followed(Generic[Key, Rule]):
    """The rules of one kind, as this process knows them."""

    def __init__(
        self, name: str, read: Callable[[int], Awaitable[Sequence[Change[Key, Rule]]]]
    ) -> None:
        """Take what reads them.

        Args:
            name: of the kind, for the log.
            read: returns the rows above a version, those that are gone included.
        """
        self._name = name
        self._read = read
        self._rules: dict[Key, Rule] = {}
        self.rules: Mapping[Key, Rule] = MappingProxyType(self._rules)
        """Those in force: a view that follows every change."""
        self._known = _NOTHING
        """Up to this version all rows were read."""
        self._ahead: dict[Key, int] = {}
        """Versions above it that have come in: what is read or applied after them may be older."""
        self._listeners: list[Callable[[Key, Rule | None], None]] = []

    def listen(self, listener: Callable[[Key, Rule | None], None]) -> None:
        """Have a listener told of every change from now on, those of the first load included.

        Args:
            listener: called with the key and the rule that holds now (None: none does), after
                `rules` has it; must not wait.
        """
        self._listeners.append(listener)

    def apply(self, change: Change[Key, Rule]) -> None:
        """Let a change of this process, just committed, hold at once."""
        if change.version > self._known:
            self._take(change)

    async def catch_up(self, known: int, version: int) -> None:
        """Read the rows above the known version.

        Args:
            known: the version up to which they have been read; below 0: read all of them.
            version: the newest, as it was read before this call.

        Raises:
            Unavailable: the database is away; nothing has changed.
        """
        anew = known <= _NOTHING
        if anew:
            # Of the database before; the versions of this one begin anew.
            self._known = _NOTHING
            self._ahead.clear()
        changes = await self._read(known)
        if anew:
            for key in self._rules.keys() - self._ahead.keys() - {one.key for one in changes}:
                self._set(key, None)
        for change in changes:
            self._take(change)
        self._known = version
        self._ahead = {key: ahead for key, ahead in self._ahead.items() if ahead > version}

    def _take(self, change: Change[Key, Rule]) -> None:
        if change.version >= self._ahead.get(change.key, _NOTHING):
            self._ahead[change.key] = change.version
            self._set(change.key, change.rule)

    def _set(self, key: Key, rule: Rule | None) -> None:
        before = self._rules.get(key)
        if before == rule:
            return
        if rule is None:
            del self._rules[key]
        else:
            self._rules[key] = rule
        for listener in self._listeners:
            try:
                listener(key, rule)
            except Exception:
                logger.exception("a listener to %s failed", self._name)


class RuleFollower:
    """Keeps all kinds of rules as the table has them: one poll for all."""

    def __init__(
        self,
        version: Callable[[], Awaitable[int]],
        followed: Sequence[Followed[Any, Any]],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        """Take what is followed.

        Args:
            version: reads the newest version: one small statement.
            followed: the kinds of rules.
            interval_seconds: between two looks.
        """
        self._version = version
        self._followed = followed
        self._interval = interval_seconds
        self._known = _NOTHING
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read all rules, and follow them from then on.

        Nothing may be published before: while the database is away, this waits for it.

        Raises:
            Unavailable: it has been away for a minute.
        """
        loop = asyncio.get_running_loop()
        last = loop.time() + _START_SECONDS
        while True:
            try:
                await self._look()
                break
            except Unavailable:
                if loop.time() >= last:
                    raise
                # The pool has logged the outage.
                await asyncio.sleep(self._interval)
        self._task = asyncio.create_task(
            keep_running("poll of the rules", self._follow), name="poll of the rules"
        )

    async def stop(self) -> None:
        """Follow no more; what is known stays. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._look()
            except Unavailable:
                # The pool has logged the outage. What is known holds until it is over.
                logger.debug("cannot read changed policies and bans: the database is unavailable")

    async def _look(self) -> None:
        # Read before the rows are: what they have beyond it is read again, and changes nothing.
        version = await self._version()
        if version == self._known:
            return
        # Versions that run backwards are those of another database.
        known = self._known if version > self._known else _NOTHING
        for followed in self._followed:
            await followed.catch_up(known, version)
        self._known = version
