"""What a client's JSON may hold is judged by its bytes, before anything is made of them."""

import contextlib
import gc
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_bounds import (
    MAX_LEVELS,
    MAX_VALUES,
    BeyondBounds,
    check_json_bounds,
    decode_request,
)
from app.errors import BadUserInput

_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text('[]{},:"\\ \n', max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{},"\\', max_size=4), inner),
)


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, inner))


def _levels(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_levels, value.values() if isinstance(value, dict) else value), default=0)


@given(_json, st.sampled_from([None, 1]), st.booleans())
def test_values_and_levels_are_counted_exactly(
    value: Any, indent: int | None, escaped: bool
) -> None:
    """Strings full of brackets, commas, quotation marks and backslashes count as one value."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped).encode()
    values, levels = _values(value), _levels(value)
    check_json_bounds(text, values, levels)
    with pytest.raises(BeyondBounds, match=f"has .* values, at most {values - 1} are allowed"):
        check_json_bounds(text, values - 1, levels)
    if levels:
        with pytest.raises(BeyondBounds, match=f": {levels} levels, at most {levels - 1} are"):
            check_json_bounds(text, values, levels - 1)


@given(st.binary() | st.text().map(str.encode))
def test_what_is_no_json_is_left_to_the_decoder_or_refused(text: bytes) -> None:
    for bounds in ((1, 1), (MAX_VALUES, MAX_LEVELS)):
        with contextlib.suppress(BadUserInput):
            check_json_bounds(text, *bounds)


@pytest.mark.parametrize("text", ['"\ud800"', b'"\xff"'])
def test_what_is_not_utf_8_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadUserInput, match=r"^not valid JSON: not UTF-8$"):
        decode_request(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" + b"{}," * 349_000 + b"{}]", "the JSON has 349002 values, at most 100000"),
        (b"[" + b'"",' * 200_001 + b'""]', "the JSON has 100001 values, at most 100000"),
        (b"[" * 101 + b"]" * 101, "nested too deeply: 101 levels, at most 100"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested too deeply: 500 levels, at most 100"),
    ],
    ids=["values", "strings", "lists", "objects"],
)
def test_what_is_beyond_the_bounds_is_refused(text: bytes, message: str) -> None:
    for form in (text, text.decode()):
        with pytest.raises(BeyondBounds, match=message):
            decode_request(form)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"1," * 99_998 + b"1]",
        b"[" * 100 + b"]" * 100,
        b'"' + b"[{,}]" * 100_000 + b'"',
        rb'"' + rb"\"[\\" * 100_000 + b'"',
    ],
    ids=["values", "levels", "a string", "a string of escapes"],
)
def test_what_is_within_the_bounds_is_decoded(text: bytes) -> None:
    assert decode_request(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b'"' * (1 << 20),
        b"\\" * (1 << 20),
        b'\\"' * (1 << 19),
        b"[" * (1 << 20),
        b"]" * 101 + b"[" * 101 + b"]" * (1 << 20),
        b"[" * 101 + b"]" * (1 << 20),
        b'"",' * (1 << 18),
        b"," * (1 << 20),
    ],
    ids=["quotes", "backslashes", "escaped", "opening", "both", "closing", "strings", "commas"],
)
def test_counting_1_mib_of_noise_takes_a_moment(text: bytes) -> None:
    gc.collect()  # not while it is measured
    began = time.thread_time()
    with pytest.raises(BadUserInput):
        decode_request(text)
    # 30 ms at most where nothing else runs.
    assert time.thread_time() - began < 0.1
