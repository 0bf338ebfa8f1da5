"""Where client tokens stand; what is wrong there is never taken for nothing."""

import pytest
from starlette.datastructures import Headers

from app.errors import Unauthenticated
from app.transports.client_tokens import (
    checked_client_token,
    client_header_token,
    connection_init_client_token,
)


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ([], None),
        ([b"t"], "t"),
        ([b" t "], "t"),
        # Neither is a token: whoever verifies it refuses it.
        ([b""], ""),
        ([b"a", b"b"], "a, b"),
    ],
)
def test_the_header_says_all_that_came(fields: list[bytes], token: str | None) -> None:
    headers = Headers(raw=[(b"widgetwire-client", field) for field in fields])
    assert client_header_token(headers) == token


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        ({}, None),
        ({"authToken": "a"}, None),
        ({"clientToken": None}, None),
        ({"clientToken": ""}, ""),
        ({"clientToken": "t"}, "t"),
        ({"CLIENTTOKEN": "t", "clientToken": "t"}, "t"),
    ],
)
def test_connection_init_names_it(payload: dict[str, object], token: str | None) -> None:
    assert connection_init_client_token(payload) == token


@pytest.mark.parametrize("value", [7, True, [], {}, ["secret"]])
def test_what_is_no_string_is_refused_without_a_word_of_it(value: object) -> None:
    with pytest.raises(Unauthenticated, match="clientToken in connection_init is a") as raised:
        connection_init_client_token({"clientToken": value})
    assert "secret" not in str(raised.value)
    with pytest.raises(Unauthenticated, match=r"open\.client_token is a"):
        checked_client_token("open.client_token", value)


def test_two_that_differ_are_refused() -> None:
    with pytest.raises(Unauthenticated, match="two different client tokens"):
        connection_init_client_token({"clientToken": "a", "clienttoken": "b"})
