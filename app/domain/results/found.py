"""What a search finds besides messages, wherever it looks."""

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["AggregateRow", "GroupRow", "Page"]

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page of messages or of groups, and whether there is more on either side of it."""

    rows: list[Row]
    has_next: bool
    """Whether more of what the query is about comes after it, in the query's order."""
    has_previous: bool
    """Whether something that matches comes before it: skipped, or on the far side of the cursor."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The messages that have one value in the field they are grouped by."""

    key_json: bytes
    """The value, as its first message writes it; `null` also for a missing one."""
    count: int


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """What the values of one field come to."""

    count: int = 0
    """Values that are present and not null."""
    min_json: bytes | None = None
    """The smallest of them in jsonb's order; None: there is none."""
    max_json: bytes | None = None
    sum: float | None = None
    """Of the numbers among them; None: there is none, or it does not fit a double."""
    avg: float | None = None
    distinct: int = 0
    """Different ones among the values: 1 and 1.0 are one."""
