"""Which of the indexes that are there serves a search."""

from app.domain.query import FieldPath, parse_field
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.definitions import BUILT_IN, IndexDefinition
from tests.storage.indexes.conftest import index_on

_A, _AB, _A_SCORE, _SCORE = index_on("a"), index_on("a", "b"), index_on("a", "s"), index_on("s")


def _fields(*names: str) -> set[FieldPath]:
    return {parse_field("field", name) for name in names}


def _known(*indexes: IndexDefinition) -> SearchIndexes:
    known = SearchIndexes()
    known.refresh(indexes, strings_in_order=True)
    return known


def test_there_are_those_of_every_channel_from_the_start() -> None:
    assert SearchIndexes().ready == BUILT_IN
    assert not SearchIndexes().strings_in_order
    assert _known(_A).ready == (*BUILT_IN, _A)


def test_messages_of_equal_values_come_from_the_index_of_most_of_them() -> None:
    known = _known(_A, _AB, _A_SCORE)
    assert known.within(_fields("data.a", "data.b", "data.c")) == _AB
    assert known.within(_fields("data.a", "data.c")) == _A
    assert known.within(_fields("data.b")) is None
    assert known.within(_fields("clientId")) == BUILT_IN[0]


def test_an_order_comes_from_the_index_that_ends_with_it() -> None:
    known = _known(_A, _A_SCORE, _SCORE)
    (score,) = _fields("data.s")
    assert known.ending_with(_fields("data.a"), score) == _A_SCORE
    assert known.ending_with(_fields("data.b"), score) == _SCORE
    assert _known(_AB).ending_with(_fields("data.a"), score) is None


def test_a_scan_is_narrowed_by_most_of_its_first_fields() -> None:
    known = _known(_AB, _A_SCORE, _SCORE)
    (score,) = _fields("data.s")
    assert known.narrowing(_fields("data.a", "data.b"), score) == _AB
    assert known.narrowing(_fields("data.a"), score) == _A_SCORE
    assert known.narrowing((), score) == _SCORE
    assert known.narrowing(_fields("data.b"), None) is None
    assert known.narrowing((), None) is None
