"""Reading filters: every mistake is named, every size has a bound."""

import gc
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.fields import FieldPath
from app.domain.query.filter_parser import parse_filter, parse_filters
from app.domain.query.filters import And, Comparison, Not, Or
from app.domain.query.operators import Operator
from app.errors import BadUserInput
from tests.domain.test_json_value import anything, refusal

_SCORE = {"field": "data.score", "operator": "GT", "value": 55}
_PARSED = Comparison(FieldPath("data", ("score",)), Operator.GT, 55)
_SHAPE = "; expected field, operator and value together, or one of and, or, not"


def _nested(levels: int) -> dict[str, Any]:
    wire: dict[str, Any] = _SCORE
    for _ in range(levels - 1):
        wire = {"not": wire}
    return wire


def test_a_comparison_is_a_field_an_operator_and_a_value() -> None:
    assert parse_filter(_SCORE) == _PARSED
    assert parse_filter({**_SCORE, "operator": Operator.GT}) == _PARSED
    assert parse_filter({**_SCORE, "and": None, "or": None, "not": None}) == _PARSED


def test_combinators_hold_filters() -> None:
    wire = {"or": [_SCORE, {"and": [_SCORE, {"not": _SCORE}]}, {"and": []}, {"or": ()}]}
    assert parse_filter({**wire, "field": None, "operator": None, "value": None}) == Or(
        (_PARSED, And((_PARSED, Not(_PARSED))), And(()), Or(()))
    )


def test_null_is_a_value() -> None:
    wire = {"field": "username", "operator": "EQ", "value": None}
    assert parse_filter(wire) == Comparison(FieldPath("username"), Operator.EQ, None)


def test_a_float_means_the_decimal_that_it_is_written_as() -> None:
    parsed = parse_filter({**_SCORE, "value": 0.1})
    assert isinstance(parsed, Comparison)
    assert parsed.value == Decimal("0.1")


def test_comparisons_of_values_that_only_python_takes_for_equal_differ() -> None:
    one, true = ({**_SCORE, "operator": "EQ", "value": value} for value in (1, True))
    assert parse_filter(one) != parse_filter(true)
    assert len({parse_filter(one), parse_filter(true)}) == 2
    assert hash(parse_filter({**_SCORE, "operator": "EQ", "value": [{"a": []}]}))


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({}, "f is an empty filter" + _SHAPE),
        ({"and": None, "value": None}, "f is an empty filter" + _SHAPE),
        ({**_SCORE, "not": _SCORE}, "f has field and operator and value and not in one filter"),
        ({"and": [], "or": []}, "f has and and or in one filter" + _SHAPE),
        ({"value": 1}, "f.field is missing" + _SHAPE),
        ({"operator": "EQ", "value": 1}, "f.field is missing" + _SHAPE),
        ({"field": "data", "value": 1}, "f.operator is missing" + _SHAPE),
        ({"field": "data", "operator": "EQ"}, "f.value is missing; EQ needs a JSON value"),
        ({"field": "data", "operator": "EXISTS"}, "f.value is missing; EXISTS needs true or false"),
        ({**_SCORE, "field": "score"}, "f.field is 'score'; allowed: id,"),
        ({**_SCORE, "operator": "gt"}, "f.operator is 'gt'; allowed: EQ, NEQ, GT, GTE, LT, LTE"),
        ({**_SCORE, "operator": ["GT"]}, "f.operator is a list of 1; allowed: EQ,"),
        ({**_SCORE, "filed": 1}, "f has the key 'filed'" + _SHAPE),
        ({"and": _SCORE}, "f.and is an object; expected a list of filters"),
        ({"or": [_SCORE, {}]}, "f.or[1] is an empty filter" + _SHAPE),
        ({"or": [_SCORE, None]}, "f.or[1] is null; expected a filter object"),
        ({"not": [_SCORE]}, "f.not is a list of 1; expected a filter object"),
        ({"not": {"not": {"and": [{}]}}}, "f.not.not.and[0] is an empty filter"),
        ({**_SCORE, "value": "\0"}, "f.value has a string with the character U+0000"),
        ({**_SCORE, "value": "\ud800"}, "f.value has a string with a lone surrogate"),
        ({**_SCORE, "value": Decimal("1e400")}, "f.value has a number out of bounds"),
        ({**_SCORE, "value": float("nan")}, "f.value has a number out of bounds"),
        ({**_SCORE, "value": "x" * 65536}, "f.value has 65538 bytes, at most 65536 are allowed"),
        ({**_SCORE, "value": "x" * 65537}, "f.value has strings of at least 65537 characters; at"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(wire: dict[str, object], message: str) -> None:
    with pytest.raises(BadUserInput, match="^" + re.escape(message)):
        parse_filter(wire, "f")


@pytest.mark.parametrize(
    ("operators", "refused", "needed"),
    [
        (["GT", "GTE", "LT", "LTE"], [None, [1], {}], "a number, a string or a boolean"),
        (["IN", "NOT_IN"], [None, "a", 1, {"a": 1}], "a list of at most 1000 values"),
        (["STARTS_WITH", "ENDS_WITH"], [None, 1, True, ["a"]], "a string"),
        (["EXISTS"], [None, "true", 1, 0, []], "true or false"),
    ],
)
def test_an_operator_takes_only_its_own_type(
    operators: list[str], refused: list[object], needed: str
) -> None:
    for operator in operators:
        for value in refused:
            wire = {"field": "data", "operator": operator, "value": value}
            message = f"^filters\\[0\\].value is .*; {operator} needs {needed}$"
            with pytest.raises(BadUserInput, match=message):
                parse_filter(wire)


def test_nesting_is_bounded() -> None:
    parse_filter(_nested(8))
    message = r"is nested too deeply, at most 8 levels of filters are allowed$"
    with pytest.raises(BadUserInput, match=message):
        parse_filter(_nested(9))
    with pytest.raises(BadUserInput, match=message):
        parse_filter(_nested(100_000))


def test_comparisons_are_bounded_over_the_whole_request() -> None:
    parse_filters([{"and": [_SCORE] * 32}, {"or": [_SCORE] * 32}])
    message = r"^filters\[1\]\.or\[32\] exceeds the limit of 64 comparisons$"
    with pytest.raises(BadUserInput, match=message):
        parse_filters([{"and": [_SCORE] * 32}, {"or": [_SCORE] * 33}])
    with pytest.raises(
        BadUserInput, match=r"^filters\[64\].and exceeds the limit of 64 comparisons"
    ):
        parse_filters([{"and": []}] * 65)


def test_a_list_of_values_is_bounded() -> None:
    wire = {"field": "data", "operator": "IN", "value": [1] * 1000}
    parse_filter(wire)
    with pytest.raises(
        BadUserInput, match=r"value has 1001 items; IN needs a list of at most 1000"
    ):
        parse_filter({**wire, "value": [1] * 1001})


def _in(values: list[Any]) -> dict[str, Any]:
    return {"field": "data", "operator": "NOT_IN", "value": values}


def test_values_are_bounded_over_the_whole_request() -> None:
    """A hundred lists of a thousand numbers, each within its bound, once took 17 MiB."""
    parse_filters([_in([1] * 1000), {"or": [_in([2] * 999), _SCORE]}])
    message = (
        r"^filters\[1\]\.or\[1\]\.value raises the number of filter values to at least 2001, "
        r"including the contents of arrays and objects; at most 2000 are allowed per request$"
    )
    with pytest.raises(BadUserInput, match=message):
        parse_filters([_in([1] * 1000), {"or": [_in([2] * 1000), _SCORE]}])


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ([[1] * 999], True),  # the inner list is a value too
        ([[1] * 1999], True),
        ([[1] * 2000], False),
        ([{"k": [1] * 1997}], True),
        ([{"k": [1] * 1998, "l": 1}], False),
        ([[[] for _ in range(1999)]], True),
        ([[[] for _ in range(2000)]], False),
    ],
)
def test_values_in_arrays_and_objects_count(value: list[Any], allowed: bool) -> None:
    assert (refusal(parse_filters, [_in(value)]) is None) == allowed


def test_the_text_of_all_values_is_bounded() -> None:
    half = {"field": "data.text", "operator": "EQ", "value": "x" * 32766}
    parse_filters([half, half])
    with pytest.raises(
        BadUserInput,
        match=r"^filters\[2\]\.value has 1 bytes of JSON, 65537 with the values before it; "
        r"at most 65536 are allowed per request$",
    ):
        parse_filters([half, half, {**_SCORE, "value": 1}])


@pytest.mark.parametrize(
    "value",
    [
        [[0] * 500_000],
        [{str(n): n for n in range(300_000)}],
        [["x" * 100 for _ in range(1_900)]],
        ["\x01" * 40_000],
        [10**300 + n for n in range(1_000)],
        [Decimal(1) / 3 + n for n in range(1_000)],
        [(2**61 - 1) * n for n in range(1_000)],
    ],
)
def test_a_bound_is_found_out_quickly(value: list[Any]) -> None:
    gc.collect()  # not while it is measured
    began = time.process_time()
    refusal(parse_filters, [_in(value)])
    assert time.process_time() - began < 0.05


def test_filters_are_a_list_or_absent() -> None:
    assert parse_filters(None) == ()
    assert parse_filters([_SCORE]) == (_PARSED,)
    for wire, shown in (({}, "an object"), ("x", "'x'"), (1, "1")):
        with pytest.raises(BadUserInput, match=f"^filters is {shown}; expected a list of filters$"):
            parse_filters(wire)


keys = st.sampled_from(["field", "operator", "value", "and", "or", "not"])
almost_filters: st.SearchStrategy[Any] = st.recursive(
    anything
    | st.fixed_dictionaries(
        {
            "field": st.sampled_from(["id", "data", "data.a"]) | anything,
            "operator": st.sampled_from(Operator) | anything,
            "value": anything,
        }
    ),
    lambda inner: (
        st.dictionaries(keys, inner | st.lists(inner, max_size=3), max_size=2)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


@given(almost_filters)
def test_whatever_comes_is_parsed_or_refused(wire: Any) -> None:
    refused = refusal(parse_filter, wire)
    if refused:
        assert refused.startswith("filters[0]")
        assert len(refused) < 400
