"""Arguments that many root fields have."""

from strawberry import UNSET

from app.schema.arguments import given


def test_an_argument_that_was_not_sent_and_null_mean_the_same() -> None:
    assert given(UNSET) is None
    assert given(None) is None
    assert given("") == ""
