"""The words of the query language."""

from enum import StrEnum

__all__ = ["Operator", "SortOrder"]


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
