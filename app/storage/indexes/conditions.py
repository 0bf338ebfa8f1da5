"""Comparisons written so that an index serves them, and exact all the same.

`search_key` never puts a value before a lesser one, and the key of most values is no other
value's (`keys.py`). So most comparisons may compare the keys instead; the few whose value is
not exact compare the keys, which narrows them down, and the values as well.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, and_, any_, literal, literal_column, null
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.query import Comparison, Operator
from app.storage.indexes.definitions import key_of
from app.storage.indexes.indexed_query import IndexedFields
from app.storage.indexes.keys import is_exact, key_json

__all__ = ["keyed"]

_ORDERINGS: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}
_UPWARDS: Final = (Operator.GT, Operator.GTE)
# null < strings < numbers < booleans: a range is within one type.
_NULL: Final = literal_column("'null'::jsonb", JSONB)
_LEAST_NUMBER: Final = literal_column("'-1e400'::jsonb", JSONB)
_LEAST_BOOLEAN: Final = literal_column("'false'::jsonb", JSONB)


def keyed(
    comparison: Comparison, exact: ColumnElement[bool], indexed: IndexedFields
) -> ColumnElement[bool]:
    """Return the condition of a comparison below `data`, by keys where the field is indexed.

    Args:
        comparison: with any operator but the negated ones.
        exact: its condition by values.
        indexed: the statement's fields with keys.
    """
    if comparison.field not in indexed.fields:
        return exact
    key, value = key_of(comparison.field), comparison.value
    match comparison.operator:
        case Operator.EXISTS:
            return key.is_not(null()) if value else key.is_(null())
        case Operator.EQ:
            narrowed = key == literal(key_json(value), JSONB)
            return narrowed if is_exact(value) else and_(narrowed, exact)
        case Operator.IN:
            assert isinstance(value, list)
            keys = list(dict.fromkeys(map(key_json, value)))
            # That there is a key is what the index is for, and a list does not say so.
            narrowed = and_(key.is_not(null()), key == any_(literal(keys, ARRAY(JSONB))))
            return narrowed if all(map(is_exact, value)) else and_(narrowed, exact)
        case ordering if ordering in _ORDERINGS:
            return _in_range(comparison, key, exact, indexed.strings_in_order)
    return exact


def _in_range(
    comparison: Comparison, key: ColumnElement[Any], exact: ColumnElement[bool], strings: bool
) -> ColumnElement[bool]:
    bound, value = literal(key_json(comparison.value), JSONB), comparison.value
    upwards = comparison.operator in _UPWARDS
    if isinstance(value, bool) or (isinstance(value, str) and not strings):
        return exact
    if isinstance(value, str):
        of_type = key < _LEAST_NUMBER if upwards else key > _NULL
        if not is_exact(value):
            nearby = key >= bound if upwards else key <= bound
            return and_(nearby, of_type, exact)
    else:
        of_type = key < _LEAST_BOOLEAN if upwards else key >= _LEAST_NUMBER
    return and_(_ORDERINGS[comparison.operator](key, bound), of_type)
