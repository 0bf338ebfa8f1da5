"""What the table holds against what was acknowledged and what each subscriber heard."""

from array import array
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

import asyncpg

from benchmarks.wire import PROJECT

__all__ = ["Verdict", "judge", "stored"]

_NUMBERS: Final = (
    "SELECT substr(data #>> '{}', 1, 9)::int FROM messages WHERE channel = $1 ORDER BY sequence"
)


class Hearer(Protocol):
    """Somebody who listens to a channel."""

    @property
    def heard(self) -> "array[int]":
        """The numbers it heard, in order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many messages went wrong, and how; all 0 when all is well."""

    lost: int
    repeated: int
    out_of_order: int

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.lost or self.repeated or self.out_of_order)


async def stored(database_url: str, widget: str) -> list[int]:
    """The numbers in the table, in the channel's order."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(_NUMBERS, f"{PROJECT}/{widget}")
    finally:
        await connection.close()
    return [row[0] for row in rows]


def judge(table: list[int], acked: Collection[int], subscribers: Collection[Hearer]) -> Verdict:
    """Hold them against each other.

    Args:
        table: the numbers stored, in order.
        acked: the numbers acknowledged.
        subscribers: who all came before the first message, and should have heard each.
    """
    lost = len(set(acked) - set(table))
    repeated = len(table) - len(set(table))
    out_of_order = 0
    for subscriber in subscribers:
        heard = list(subscriber.heard)
        if heard == table:
            continue
        missing = len(set(table) - set(heard))
        twice = len(heard) - len(set(heard))
        lost += missing
        repeated += twice
        out_of_order += not (missing or twice)
    return Verdict(lost, repeated, out_of_order)
