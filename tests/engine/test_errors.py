"""Errors do not grow with what they are about: ten of them, 500 characters each."""

from graphql import GraphQLError, Source

from app.engine.errors import response_error, response_errors
from app.errors import Unavailable


def test_a_response_has_ten_errors_at_most() -> None:
    """A thousand fields that fail are a thousand errors, and as many traces in the log."""
    told = response_errors(GraphQLError(str(number)) for number in range(1_000))
    assert [error["message"] for error in told] == [str(number) for number in range(10)]


def test_a_message_ends_after_500_characters() -> None:
    assert response_error(GraphQLError("a" * 500))["message"] == "a" * 500
    assert response_error(GraphQLError("a" * 501))["message"] == "a" * 499 + "…"


def test_an_error_has_ten_places_at_most() -> None:
    error = GraphQLError("again", source=Source("a" * 100), positions=list(range(50)))
    assert len(response_error(error)["locations"]) == 10


def test_a_refusal_says_when_to_come_back_where_that_is_known() -> None:
    busy = GraphQLError("busy", original_error=Unavailable("busy", 1500))
    assert response_error(busy)["extensions"] == {"code": "UNAVAILABLE", "retryAfterMs": 1500}
    assert response_error(Unavailable("away"))["extensions"] == {"code": "UNAVAILABLE"}
