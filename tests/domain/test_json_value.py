"""Strict JSON: what is taken is kept exactly, what is not is refused in our words."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_value import (
    MAX_DEPTH,
    checked_data,
    decode_json,
    encode_json,
    json_kind,
    json_shown,
)
from app.errors import BadUserInput, PayloadTooLarge

_MANY_BYTES = 1 << 20

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.just(10**4000)
    | st.just(object()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
)


def refusal(function: Callable[..., object], *arguments: object) -> str | None:
    """Return what a client is told, or None where nothing is refused; no other error passes."""
    try:
        function(*arguments)
    except (BadUserInput, PayloadTooLarge) as error:
        error.message.encode()
        return error.message
    return None


def _nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "text",
    [
        "0.1",
        "0.10000000000000000555",
        "123456789012345678901234567890",
        "1.7976931348623157E+308",
        "-0.0",
        '{"b":1,"a":[true,null]}',
        '"\U0001f600e\u0301"',
    ],
)
def test_a_value_is_kept_to_the_last_digit(text: str) -> None:
    assert encode_json(decode_json(text)).decode() == text
    assert checked_data(decode_json(text), _MANY_BYTES).decode() == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end"),
        ("[1", "unexpected end"),
        ("NaN", "invalid character (byte 0)"),
        ("[Infinity]", "invalid character (byte 1)"),
        ("[1,]", "trailing comma in array (byte 3)"),
        ("1 2", "trailing characters (byte 3)"),
        ("01", "invalid number (byte 1)"),
        ("{1:2}", "object keys must be strings (byte 1)"),
        ("\ufeff1", "invalid character (byte 0)"),
        ("1" * 5000, "a number has too many digits"),
        ("[" * 100_000, "nested too deeply"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('"\ud800"', "not UTF-8"),
        # Half an emoji, as a widget cuts it: near the end the decoder says "truncated".
        (r'"\ud83d"', "a string has a lone surrogate"),
        (r'{"a":"\ud83d\n"}', "a string has a lone surrogate"),
        (r'["\ud83d","and more"]', "a string has a lone surrogate"),
        (r'"\ude00"', "a string has a lone surrogate"),
        (r'"\\\ud83d"', "a string has a lone surrogate"),
        (r'"\ud83d', "unexpected end"),
        (r'"\ud83d\ude', "unexpected end"),
        (r'"\\ud83d', "unexpected end"),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(BadUserInput, match=f"^not valid JSON: {re.escape(reason)}$"):
        decode_json(text)


@given(st.text() | st.binary() | st.text('[]{}:,"\\ud8eE+-.0123456789truefalsn ', max_size=20))
def test_decoding_agrees_with_the_standard_library_or_refuses(text: str | bytes) -> None:
    refused = refusal(decode_json, text)
    if refused:
        assert refused.startswith("not valid JSON: ")
    else:
        assert decode_json(text) == json.loads(text, parse_float=Decimal)


@given(anything)
def test_data_is_taken_or_refused_and_what_is_taken_can_be_read_back(value: Any) -> None:
    refused = refusal(checked_data, value, 1000)
    if refused:
        assert refused.startswith("data ")
    else:
        read = decode_json(checked_data(value, 1000))
        assert decode_json(encode_json(read)) == read


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": "\0"}, "data has a string with the character U+0000, which is not allowed"),
        ({"\0": 1}, "data has a string with the character U+0000, which is not allowed"),
        (["\ud800"], "data has a string with a lone surrogate, not allowed"),
        ({"\udfff": 1}, "data has a string with a lone surrogate, not allowed"),
        ({1: 2}, "data has an object key that is not a string"),
        (b"bytes", "data must be a JSON value"),
        (_nested(65), "data is nested too deeply, at most 64 levels are allowed"),
    ],
)
def test_data_that_no_jsonb_holds_is_refused(value: object, message: str) -> None:
    with pytest.raises(BadUserInput, match=f"^{re.escape(message)}$"):
        checked_data(value, _MANY_BYTES)


@pytest.mark.parametrize(
    "number",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Decimal("1e309"),
        Decimal("1e100000"),
        Decimal("1.8e308"),
        Decimal("1e-401"),
        Decimal("0." + "1" * 401),
        10**309,
        pytest.param(-(10**5000), id="5001 digits"),
    ],
)
def test_a_number_out_of_bounds_is_refused(number: object) -> None:
    with pytest.raises(BadUserInput, match=r"^data has a number out of bounds: at most"):
        checked_data([number], _MANY_BYTES)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_taken(number: float) -> None:
    assert float(checked_data(number, 100)) == number
    assert checked_data(Decimal(repr(number)), 400)


def test_the_bounds_themselves_are_taken() -> None:
    checked_data(_nested(MAX_DEPTH), _MANY_BYTES)
    checked_data("x" * 98, 100)
    with pytest.raises(PayloadTooLarge, match=r"^data has 101 bytes, at most 100 are allowed$"):
        checked_data("x" * 99, 100)


def test_a_refusal_calls_the_value_by_its_name() -> None:
    with pytest.raises(BadUserInput, match=r"^filters\[0\]\.value must be a JSON value$"):
        checked_data(b"", 10, "filters[0].value")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("it's", '"it\'s"'),
        (-5, "-5"),
        (Decimal("1.50"), "1.50"),
        (0.1, "0.1"),
        pytest.param(10**5000, "a very large number", id="5001 digits"),
        ([1, 2], "a list of 2"),
        ({}, "an object"),
        (b"", "not a JSON value"),
    ],
)
def test_errors_show_json_and_not_python(value: object, text: str) -> None:
    assert json_shown(value) == text


@given(anything)
def test_what_errors_show_is_short_and_on_one_line(value: object) -> None:
    text = json_shown(value)
    assert len(text) <= 80
    assert "\n" not in text
    text.encode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (False, "a boolean"),
        (1, "a number"),
        (Decimal("1.5"), "a number"),
        ("secret", "a string"),
        (["secret"], "a list"),
        ({"secret": 1}, "an object"),
    ],
)
def test_a_kind_says_nothing_of_the_value(value: object, kind: str) -> None:
    assert json_kind(value) == kind


def test_data_is_measured_before_it_is_looked_through() -> None:
    """To look through 100,000 fractions that are refused anyway took a tenth of a second."""
    with pytest.raises(PayloadTooLarge, match="data has 503 bytes, at most 4 are allowed"):
        checked_data([10**500], 4)
