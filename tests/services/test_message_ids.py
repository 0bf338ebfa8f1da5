"""Ids as clients send them."""

from uuid import uuid4

import pytest

from app.errors import BadUserInput
from app.services.message_ids import checked_ids


def test_each_id_comes_once_in_its_usual_form() -> None:
    one, two = str(uuid4()), str(uuid4())
    assert checked_ids([two, one.upper(), f"{{{one}}}", two]) == [two, one]
    assert len(checked_ids([str(uuid4()) for _ in range(1_000)])) == 1_000


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "ids has 0 items; allowed: 1 to 1000"),
        ([str(uuid4())] * 1_001, "ids has 1001 items; allowed: 1 to 1000"),
        ([str(uuid4()), "x"], "ids[1] is 'x'; expected the id of a message"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(ids: list[str], words: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        checked_ids(ids)
    assert refused.value.message == words
