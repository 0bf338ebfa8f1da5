"""The words of the query language."""

from enum import StrEnum

__all__ = ["AggregateFunction", "Operator", "SortOrder"]


class Operator(StrEnum):
    """How a comparison compares a field with its value."""

    EQ = "EQ"
    NEQ = "NEQ"
    GT = "GT"
    GTE = "GTE"
    LT = "LT"
    LTE = "LTE"
    IN = "IN"
    NOT_IN = "NOT_IN"
    CONTAINS = "CONTAINS"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    EXISTS = "EXISTS"


class SortOrder(StrEnum):
    """Smallest first or largest first."""

    ASC = "ASC"
    DESC = "DESC"


class AggregateFunction(StrEnum):
    """What the values of one field are brought to; a missing one and null are no values."""

    COUNT = "count"
    """How many values there are."""
    DISTINCT = "distinct"
    """How many different ones: 1 and 1.0 are one."""
    SUM = "sum"
    """Of the numbers among them."""
    AVG = "avg"
    """Of the numbers among them."""
    MIN = "min"
    """The smallest in jsonb's order."""
    MAX = "max"
    """The largest in jsonb's order."""
