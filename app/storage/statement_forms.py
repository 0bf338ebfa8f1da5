"""SQL kept by the form of what is asked: the same text for other values.

To build a statement and render it takes a millisecond, ten times what sending it does. Its
text depends on the form of a query (fields, operators, kinds of values), and the values go
to their places among the parameters. Where a value goes is not written down a second time: a
form that comes again is rendered with other values, and the places are those where each
value, or what is made of it, is found in both. A form that cannot be read that way, because
the text differs or a parameter is neither, is rendered each time.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import Select

from app.domain.channel import Channel
from app.domain.query import And, Comparison, Filter, MessageQuery, Not, Operator, Or
from app.storage.statements import rendered

__all__ = ["Build", "Rendered", "StatementForms"]

Rendered: TypeAlias = tuple[str, tuple[Any, ...]]
"""The SQL text with $1, $2 … and the values to bind, in order."""
Build: TypeAlias = Callable[..., Select[Any]]
"""Makes a statement: `app.storage.statements` and `grouped_statements` have them."""

_MAX_FORMS: Final = 1000
"""A form takes a few KiB; the least recently used goes."""
_MAX_CONSTANT_BYTES: Final = 256
"""Of a value that is part of the form, a list of `IN` say."""
_MAX_CHARACTERS: Final = 64
"""Of a string that may be any other: an index may treat a long one in another way."""
_LARGEST: Final = 2**53
_MARKER_CHANNEL: Final = Channel("marker-project", "marker-widget")
_SCALARS: Final = tuple(field.name for field in fields(MessageQuery) if field.name != "filters")


class _Form:
    """The text of a form; each parameter is a constant, or taken from what is asked."""

    __slots__ = ("_parameters", "_sql")

    def __init__(self, sql: str, parameters: Sequence[tuple[int | None, Any]]) -> None:
        self._sql = sql
        self._parameters = parameters

    def filled(self, values: Sequence[Any]) -> Rendered:
        return self._sql, tuple(
            constant if place is None else values[place] for place, constant in self._parameters
        )


class _TooLargeError(Exception):
    """A form holds more than is worth its memory."""


class StatementForms:
    """Renders statements, and remembers their forms."""

    def __init__(self) -> None:
        # None: it was seen once; True: its text depends on more than its form.
        self._forms: OrderedDict[Hashable, _Form | bool | None] = OrderedDict()

    def rendered(
        self, build: Build, channel: Channel, query: MessageQuery, *further: Any
    ) -> Rendered:
        """Return what `rendered(build(channel, query, *further))` does.

        Args:
            build: makes the statement, of nothing but its arguments.
            channel: where.
            query: what.
            further: whole numbers, lists of JSON texts, and what can be hashed.
        """
        try:
            key = (build, *_form(query, further))
        except _TooLargeError:
            return rendered(build(channel, query, *further))
        known = self._forms.get(key, False)
        if isinstance(known, _Form):
            self._forms.move_to_end(key)
            return known.filled(list(_values(channel, query, further)))
        statement = rendered(build(channel, query, *further))
        if known is None:
            self._forms[key] = _learned(statement, build, channel, query, further) or True
        elif key not in self._forms:
            # Most of those that come once never come again.
            self._forms[key] = None
            if len(self._forms) > _MAX_FORMS:
                self._forms.popitem(last=False)
        return statement


def _learned(
    statement: Rendered, build: Build, channel: Channel, query: MessageQuery, further: Sequence[Any]
) -> _Form | None:
    """Return the form of a statement; None where it has none that can be told."""
    markers = _Markers()
    other = markers.query(query), *(markers.argument(one) for one in further)
    sql, parameters = rendered(build(_MARKER_CHANNEL, *other))
    if sql != statement[0]:
        return None
    values = list(_values(channel, query, further))
    # Two that are alike could be taken for each other.
    marked = list(_values(_MARKER_CHANNEL, other[0], other[1:]))
    if len(set(map(repr, marked))) < len(marked):
        return None
    found: list[tuple[int | None, Any]] = []
    for one, another in zip(statement[1], parameters, strict=True):
        place = next(
            (
                place
                for place, (value, marker) in enumerate(zip(values, marked, strict=True))
                if _same(another, marker) and _same(one, value)
            ),
            None,
        )
        if place is None and not _same(one, another):
            return None
        found.append((place, one))
    return _Form(sql, found)


def _same(one: object, another: object) -> bool:
    return type(one) is type(another) and one == another


# The form: all that is not a value.


def _form(query: MessageQuery, further: Sequence[Any]) -> tuple[Hashable, ...]:
    return (
        *(_kind(getattr(query, name)) for name in _SCALARS),
        *map(_filter_form, query.filters),
        *map(_kind, further),
    )


def _kind(value: Any) -> Hashable:
    kind: Hashable = value
    if _is_any(value):
        kind = "whole number" if type(value) is int else "list"
    elif isinstance(value, str) and _is_uuid(value):
        kind = UUID
    return kind


def _filter_form(one: Filter) -> Hashable:
    match one:
        case Comparison(field=field, operator=operator):
            kind = _operand_kind(one)
            if kind is not None:
                return field, operator, kind
            if len(one.value_json) > _MAX_CONSTANT_BYTES:
                raise _TooLargeError
            return field, operator, one.value_json
        case Not(inner):
            return "not", _filter_form(inner)
        case And(inner):
            return ("and", *map(_filter_form, inner))
        case Or(inner):
            return ("or", *map(_filter_form, inner))


def _operand_kind(comparison: Comparison) -> Hashable:
    """Return the kind of values that a comparison's may be any of; None: it is as it is."""
    value = comparison.value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int if abs(value) < _LARGEST else None
    if isinstance(value, Decimal):
        return Decimal
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_CHARACTERS:
        return None
    if comparison.field.name == "id":
        return UUID if _is_uuid(value) else None
    return str


def _is_any(value: Any) -> bool:
    """Whether an argument is a value, whatever it is: a number, or a list of JSON texts."""
    return type(value) in (int, list, tuple)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


# The values, and what statements make of them.


def _values(channel: Channel, query: MessageQuery, further: Sequence[Any]) -> Iterator[Any]:
    yield channel.key
    yield query.offset + query.limit
    for name in _SCALARS:
        yield from _of_argument(getattr(query, name))
    for argument in further:
        yield from _of_argument(argument)
    for one in query.filters:
        yield from _of_filter(one)


def _of_argument(value: Any) -> Iterator[Any]:
    if type(value) in (list, tuple):
        yield list(value)
    elif _is_any(value):
        yield value
    elif isinstance(value, str) and _is_uuid(value):
        yield value
        yield UUID(value)


def _of_filter(one: Filter) -> Iterator[Any]:
    match one:
        case Comparison(operator=operator, value=value, value_json=text):
            if _operand_kind(one) is None:
                return
            yield value
            yield text
            if isinstance(value, str) and operator is Operator.ENDS_WITH:
                yield len(value)
            elif isinstance(value, int):
                yield Decimal(value)
        case Not(inner):
            yield from _of_filter(inner)
        case And(inner) | Or(inner):
            for each in inner:
                yield from _of_filter(each)


class _Markers:
    """Values that are in no request, each different from all others."""

    def __init__(self) -> None:
        self._number = 1_000_003
        self._length = 12

    def query(self, query: MessageQuery) -> MessageQuery:
        scalars = {name: self.argument(getattr(query, name)) for name in _SCALARS}
        return replace(query, **scalars, filters=tuple(map(self._filter, query.filters)))

    def argument(self, value: Any) -> Any:
        number = self._next()
        if type(value) in (list, tuple):
            return [b"%d" % number]
        if _is_any(value):
            return number
        return str(UUID(int=number)) if isinstance(value, str) and _is_uuid(value) else value

    def _filter(self, one: Filter) -> Filter:
        match one:
            case Comparison(field=field, operator=operator):
                return Comparison(field, operator, self._operand(one))
            case Not(inner):
                return Not(self._filter(inner))
            case And(inner):
                return And(tuple(map(self._filter, inner)))
            case Or(inner):
                return Or(tuple(map(self._filter, inner)))

    def _operand(self, one: Comparison) -> Any:
        number = self._next()
        kind = _operand_kind(one)
        if kind is int:
            return number
        if kind is Decimal:
            return Decimal(number) + Decimal("0.25")
        if kind is UUID:
            return str(UUID(int=number))
        if kind is str:
            self._length = self._length % _MAX_CHARACTERS + 1
            return f"{number}".ljust(self._length, "x")
        return one.value

    def _next(self) -> int:
        self._number += 2_000_005
        return self._number
