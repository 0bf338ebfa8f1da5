"""Where a token stands in what a client sends."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unauthenticated, WidgetwireError
from app.transports.auth.bearer import bearer_token, connection_init_token

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("header", "token"),
    [(None, None), ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("BEARER abc", "abc")],
)
def test_a_bearer_header_carries_the_token(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize("header", ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer a b"])
def test_another_authorization_header_is_an_error(header: str) -> None:
    with pytest.raises(Unauthenticated, match="Bearer TOKEN"):
        bearer_token(header)


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"authToken": None}, None),
        ({"other": 7}, None),
        ({"authToken": "abc"}, "abc"),
        ({"AUTHTOKEN": "abc"}, "abc"),
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer abc", "authToken": "abc"}, "abc"),
    ],
)
def test_connection_init_carries_the_token(payload: object, token: str | None) -> None:
    assert connection_init_token(payload) == token


@pytest.mark.parametrize(
    "payload",
    [
        {"authToken": 7},
        {"Authorization": "abc"},
        {"Authorization": {}},
        {"authToken": "a", "Authorization": "Bearer b"},
    ],
)
def test_a_malformed_connection_init_token_is_an_error(payload: object) -> None:
    with pytest.raises(Unauthenticated):
        connection_init_token(payload)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(False, "a boolean"), (7, "a number"), (["eyJh"], "a list"), ({"eyJh": 1}, "an object")],
)
def test_of_a_malformed_token_only_its_kind_is_told(value: object, kind: str) -> None:
    """`authToken: false` was shown as Python's False, and a list with a piece of the token."""
    with pytest.raises(Unauthenticated) as refusal:
        connection_init_token({"authToken": value})
    assert refusal.value.message == f"authToken in connection_init is {kind}; allowed is a string"


@given(_json | st.dictionaries(st.sampled_from(["authToken", "Authorization"]), _json))
def test_whatever_connection_init_carries_only_our_errors_escape(payload: object) -> None:
    with contextlib.suppress(WidgetwireError):
        connection_init_token(payload)


@given(st.text())
def test_whatever_text_comes_only_our_errors_escape(text: str) -> None:
    for read in (bearer_token, lambda value: connection_init_token({"authToken": value})):
        with contextlib.suppress(WidgetwireError):
            read(text)
