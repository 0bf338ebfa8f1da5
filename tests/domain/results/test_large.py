"""What is too large to be compared for every result."""

from typing import Any

import pytest

from app.domain.json_value import encode_json
from app.domain.query import FieldPath, MessageQuery
from app.domain.query.matching import MISSING
from app.domain.results import Effect, KeptGroups, KeptPage, Tally
from app.domain.results.large import is_large
from tests.storage.stored import published

DATA = FieldPath("data")


@pytest.mark.parametrize(
    ("value", "large"),
    [
        *(("x" * 60_000, False), (MISSING, False), (None, False), ([], False)),
        *(([0] * 199, False), ([0] * 200, True), ({"a": [0] * 200}, True)),
    ],
)
def test_a_value_is_large_by_the_number_of_values_in_it(value: Any, large: bool) -> None:
    assert is_large(value) is large


def test_no_state_compares_it() -> None:
    """64 KiB of brackets would hold the loop once for each result that groups by them."""
    (message,) = published([[[]] * 10_000])
    assert len(encode_json(message.data)) < 64 * 1024
    groups = KeptGroups(MessageQuery(group_by=DATA), {})
    tallied = KeptGroups(MessageQuery(group_by=FieldPath("id")), {DATA: True})
    page = KeptPage(MessageQuery(sort_field=DATA))
    tally = Tally(counts_distinct=True)
    for change in ("add", "remove"):
        assert getattr(groups, change)(message) is Effect.TOO_LARGE
        assert getattr(tallied, change)(message) is Effect.TOO_LARGE
        assert getattr(tally, change)(message.data) is Effect.TOO_LARGE
    assert page.add(message) is Effect.TOO_LARGE
    assert (len(groups), len(tallied), tally.count, page.first(9)) == (0, 0, 0, [])
