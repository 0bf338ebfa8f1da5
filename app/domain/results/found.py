"""What a search finds besides messages, wherever it looks."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, TypeVar

__all__ = ["AggregateRow", "GroupRow", "Page", "sum_and_average"]

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


def sum_and_average(total: int | Decimal, numbers: int) -> tuple[float | None, float | None]:
    """Return the sum of some numbers and their average; None: none, or too large for a double.

    Exact until the end: to divide decimals rounds, and then a double rounds again.

    Args:
        total: of the numbers, exact.
        numbers: how many there are.
    """
    if not numbers:
        return None, None
    exact = Fraction(total)
    return _double(exact), _double(exact / numbers)


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None
