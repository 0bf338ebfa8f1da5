"""What a search finds besides messages, wherever it looks."""

from dataclasses import dataclass

__all__ = ["AggregateRow", "GroupRow"]


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
