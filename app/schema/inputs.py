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
    description="What to do if the publisher has already used the id in this channel.",
)
class OnRepeatInput(Enum):
    """As `app.domain.message.OnRepeat`."""

    KEEP = strawberry.enum_value(
        "KEEP", description="Keep and return the first message; publish nothing."
    )
    REPLACE = strawberry.enum_value(
        "REPLACE", description="Retract the earlier message and publish the new one."
    )


@strawberry.enum(description="How to compare a field with a value.")
class FilterOperator(Enum):
    """The operators, by the names the query language has for them."""

    EQ = strawberry.enum_value(
        Operator.EQ.value,
        description="Equal as JSON values: 1 equals 1.0.",
    )
    NEQ = strawberry.enum_value(
        Operator.NEQ.value,
        description="Not equal. A missing path matches.",
    )
    GT = strawberry.enum_value(
        Operator.GT.value,
        description="Greater, among values of the same JSON type: 55 is compared with numbers "
        "only.",
    )
    GTE = strawberry.enum_value(
        Operator.GTE.value,
        description="Greater or equal, among values of the same JSON type.",
    )
    LT = strawberry.enum_value(
        Operator.LT.value,
        description="Less, among values of the same JSON type.",
    )
    LTE = strawberry.enum_value(
        Operator.LTE.value,
        description="Less or equal, among values of the same JSON type.",
    )
    IN = strawberry.enum_value(
        Operator.IN.value,
        description="Equal to an item of the list.",
    )
    NOT_IN = strawberry.enum_value(
        Operator.NOT_IN.value,
        description="Not equal to any item of the list. A missing path matches.",
    )
    CONTAINS = strawberry.enum_value(
        Operator.CONTAINS.value,
        description="A string that contains the value, or an array with the value as an item.",
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
        description="Whether the path exists. The value is true or false.",
    )


@strawberry.enum(name="SortOrder", description="The sort direction.")
class SortOrderEnum(Enum):
    """The directions."""

    ASC = strawberry.enum_value(
        SortOrder.ASC.value,
        description="Ascending: smallest or oldest first. Missing paths come last.",
    )
    DESC = strawberry.enum_value(
        SortOrder.DESC.value,
        description="Descending: largest or newest first. Missing paths come last.",
    )


@strawberry.input(
    name="MessageFilter",
    description="Either a comparison (field, operator and value) or exactly one of and, or, not.",
)
class MessageFilterInput:
    """Either a comparison or a combination."""

    field: str | None = strawberry.field(
        default=UNSET,
        description=f"{FIELD_NAMES}, or a path below data such as data.score, data.user.name or "
        "data.tags.0.",
    )
    operator: FilterOperator | None = strawberry.field(default=UNSET, description="The comparison.")
    value: JSON | None = strawberry.field(
        default=UNSET,
        description="The value to compare with: a list for IN and NOT_IN, a boolean for EXISTS.",
    )
    and_: list["MessageFilterInput"] | None = strawberry.field(
        default=UNSET, name="and", description="All of these must match."
    )
    or_: list["MessageFilterInput"] | None = strawberry.field(
        default=UNSET, name="or", description="At least one of these must match."
    )
    not_: Annotated["MessageFilterInput", strawberry.lazy("app.schema.inputs")] | None = (
        strawberry.field(default=UNSET, name="not", description="This must not match.")
    )


@strawberry.input(name="MessageQuery", description="Filters, order and page of a search.")
class MessageQueryInput:
    """A query."""

    sort_field: str | None = strawberry.field(
        default=UNSET,
        description='The field to sort by; null: "created", or "count" with groupBy. With '
        'groupBy: "count", "key", or count, distinct, sum, avg, min or max of a '
        'field, for example "max(data.score)".',
    )
    sort_order: SortOrderEnum | None = strawberry.field(
        default=UNSET,
        description="null: ASC; DESC for groups not sorted by key.",
    )
    offset: int = strawberry.field(
        default=0, description="The number of messages or groups to skip, 0 to 100000."
    )
    limit: int = strawberry.field(
        default=50, description="The maximum number of messages or groups, 0 to 1000."
    )
    filters: list[MessageFilterInput] = strawberry.field(
        default_factory=list, description="All of these must match."
    )
    group_by: str | None = strawberry.field(
        default=UNSET,
        description='Group the messages by the value of this field, for example "data.liked".',
    )
    after: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The id of a message: return only messages stored after it. Requires "
        "publish order: sortField null or created, no groupBy.",
    )
    before: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The id of a message: return only messages stored before it. Requires "
        "publish order. With sortOrder DESC it loads older pages, without repeats "
        "while others publish.",
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
