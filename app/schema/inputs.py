"""The inputs, and their way into the query language's wire form."""

from enum import Enum
from typing import Annotated

import strawberry
from strawberry import UNSET

from app.domain.query import Operator, SortOrder
from app.domain.query.fields import FIELD_NAMES
from app.schema.scalars import JSON

__all__ = ["MessageFilterInput", "MessageQueryInput", "OnRepeatInput", "wire_filters", "wire_query"]


@strawberry.enum(
    name="OnRepeat",
    description="What happens where the publisher has used the id before in the channel.",
)
class OnRepeatInput(Enum):
    """As `app.domain.message.OnRepeat`."""

    KEEP = strawberry.enum_value(
        "KEEP", description="The first message stays and is returned; nothing is published."
    )
    REPLACE = strawberry.enum_value(
        "REPLACE", description="The earlier message is retracted, and the new one published."
    )


@strawberry.enum(description="How a field is compared with a value.")
class FilterOperator(Enum):
    """The operators, by the names the query language has for them."""

    EQ = strawberry.enum_value(
        Operator.EQ.value,
        description="Equal, by JSON value: 1 equals 1.0.",
    )
    NEQ = strawberry.enum_value(
        Operator.NEQ.value,
        description="Not equal; a missing path matches.",
    )
    GT = strawberry.enum_value(
        Operator.GT.value,
        description="Greater, within the JSON type of the value: 55 compares with numbers only.",
    )
    GTE = strawberry.enum_value(
        Operator.GTE.value,
        description="Greater or equal, within the JSON type of the value.",
    )
    LT = strawberry.enum_value(
        Operator.LT.value,
        description="Less, within the JSON type of the value.",
    )
    LTE = strawberry.enum_value(
        Operator.LTE.value,
        description="Less or equal, within the JSON type of the value.",
    )
    IN = strawberry.enum_value(
        Operator.IN.value,
        description="Equal to one item of the list.",
    )
    NOT_IN = strawberry.enum_value(
        Operator.NOT_IN.value,
        description="Equal to no item of the list; a missing path matches.",
    )
    CONTAINS = strawberry.enum_value(
        Operator.CONTAINS.value,
        description="A string that holds the value, or an array that has it as an item.",
    )
    STARTS_WITH = strawberry.enum_value(
        Operator.STARTS_WITH.value,
        description="A string that starts with the value.",
    )
    ENDS_WITH = strawberry.enum_value(
        Operator.ENDS_WITH.value,
        description="A string that ends with the value.",
    )
    EXISTS = strawberry.enum_value(
        Operator.EXISTS.value,
        description="Whether the path exists: the value is true or false.",
    )


@strawberry.enum(name="SortOrder", description="Smallest or oldest first, or last.")
class SortOrderEnum(Enum):
    """The directions."""

    ASC = strawberry.enum_value(
        SortOrder.ASC.value, description="Smallest or oldest first; a missing path last."
    )
    DESC = strawberry.enum_value(
        SortOrder.DESC.value, description="Largest or newest first; a missing path last."
    )


@strawberry.input(
    name="MessageFilter",
    description="Either a comparison (field + operator + value) or exactly one of and / or / not.",
)
class MessageFilterInput:
    """Either a comparison or a combination."""

    field: str | None = strawberry.field(
        default=UNSET,
        description=f"{FIELD_NAMES}, or a path below data such as data.score, data.user.name or "
        "data.tags.0.",
    )
    operator: FilterOperator | None = strawberry.field(
        default=UNSET, description="How the field is compared with the value."
    )
    value: JSON | None = strawberry.field(
        default=UNSET,
        description="What the field is compared with: a list for IN and NOT_IN, a boolean for "
        "EXISTS.",
    )
    and_: list["MessageFilterInput"] | None = strawberry.field(
        default=UNSET, name="and", description="All of these must hold."
    )
    or_: list["MessageFilterInput"] | None = strawberry.field(
        default=UNSET, name="or", description="At least one of these must hold."
    )
    not_: Annotated["MessageFilterInput", strawberry.lazy("app.schema.inputs")] | None = (
        strawberry.field(default=UNSET, name="not", description="This must not hold.")
    )


@strawberry.input(name="MessageQuery", description="Which messages, in which order, which page.")
class MessageQueryInput:
    """A query."""

    sort_field: str | None = strawberry.field(
        default=UNSET,
        description='The field to sort by; null: "created", or with groupBy "count". '
        'With groupBy it is "count", "key", or one of count, distinct, sum, avg, min and max of '
        'a field: "max(data.score)".',
    )
    sort_order: SortOrderEnum | None = strawberry.field(
        default=UNSET,
        description="null: ASC, or DESC for groups that are not sorted by key.",
    )
    offset: int = strawberry.field(
        default=0, description="Messages or groups to skip, 0 to 100000."
    )
    limit: int = strawberry.field(
        default=50, description="Messages or groups of a page, 0 to 1000."
    )
    filters: list[MessageFilterInput] = strawberry.field(
        default_factory=list, description="All of these must hold."
    )
    group_by: str | None = strawberry.field(
        default=UNSET, description='The field whose equal values make a group, e.g. "data.liked".'
    )
    after: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The id of a message: only what was stored after it. In publish order only: "
        "sortField is null or created, and there is no groupBy.",
    )
    before: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The id of a message: only what was stored before it. In publish order only. "
        "With sortOrder DESC it pages back, without a repeat while others publish.",
    )


def wire_filters(filters: list[MessageFilterInput]) -> list[dict[str, object]]:
    """Return filters in the query language's wire form: what was not sent is absent."""
    return [_wire_filter(one) for one in filters]


def wire_query(query: MessageQueryInput) -> dict[str, object]:
    """Return a query in the query language's wire form."""
    return _present(
        sortField=query.sort_field,
        sortOrder=_enum_value(query.sort_order),
        offset=query.offset,
        limit=query.limit,
        filters=wire_filters(query.filters),
        groupBy=query.group_by,
        after=query.after,
        before=query.before,
    )


def _wire_filter(one: MessageFilterInput) -> dict[str, object]:
    wire = _present(field=one.field, operator=_enum_value(one.operator), value=one.value)
    for key, inner in (("and", one.and_), ("or", one.or_)):
        if inner is not UNSET:
            wire[key] = None if inner is None else wire_filters(inner)
    if one.not_ is not UNSET:
        wire["not"] = None if one.not_ is None else _wire_filter(one.not_)
    return wire


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not UNSET}


def _enum_value(member: Enum | None) -> object:
    # UNSET passes through: it is no member.
    return member.value if isinstance(member, Enum) else member
