"""The errors: the tree in the docstring is the tree, and each code is told."""

import re

import pytest

from app import errors
from app.errors import (
    ErrorCode,
    ShuttingDown,
    SubscriberTooSlow,
    WidgetwireError,
    shown,
)


def classes(above: type[WidgetwireError] = WidgetwireError) -> list[type[WidgetwireError]]:
    """Return every refusal of the catalogue."""
    below = [one for one in above.__subclasses__() if one.__module__ == errors.__name__]
    return [each for one in below for each in (one, *classes(one))]


def test_the_docstring_names_each_refusal_with_its_code() -> None:
    assert errors.__doc__ is not None
    told = dict(re.findall(r"── (\w+) +([A-Z_]+) ", errors.__doc__))
    assert told == {one.__name__: one.code.value for one in classes()}


def test_each_is_exported() -> None:
    assert {one.__name__ for one in classes()} < set(errors.__all__)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ShuttingDown(), "the server is restarting; reconnect"),
        (
            SubscriberTooSlow("9 wait"),
            "reading too slowly: 9 wait; resume after the last message received",
        ),
    ],
)
def test_its_text_says_what_to_do(error: WidgetwireError, text: str) -> None:
    assert (str(error), error.message) == (text, text)


def test_what_has_no_code_of_its_own_is_internal() -> None:
    assert WidgetwireError("x").code is ErrorCode.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "'a'"), ("a\nb", r"'a\nb'"), (12, "12"), ("x" * 58, f"'{'x' * 58}'")],
)
def test_a_value_is_shown_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("value", ["x" * 59, "x" * 10_000_000, b"x" * 100, list(range(100))])
def test_a_long_value_is_cut(value: object) -> None:
    text = shown(value)
    assert len(text) == 60
    assert text.endswith("…")
    assert len(shown(value, 10)) == 10
