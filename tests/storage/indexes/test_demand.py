"""What is noted of searches, and what is not."""

import pytest

from app.domain.channel import Channel
from app.domain.query import parse_query
from app.storage.indexes import demand as module
from app.storage.indexes.definitions import BUILT_IN
from app.storage.indexes.demand import SLOW_SECONDS, Demand
from app.storage.indexes.shapes import Shape, page_shape
from tests.storage.indexes.conftest import index_on

_CHANNEL = Channel("project", "widget")


def _shape(*fields: str) -> Shape:
    filters = [{"field": f"data.{field}", "operator": "EQ", "value": 1} for field in fields]
    return page_shape(parse_query({"filters": filters}), strings_in_order=True)


def _note(demand: Demand, shape: Shape, *, seconds: float = 0.5, matched: int = 3) -> None:
    demand.note(_CHANNEL, shape, None, seconds=seconds, matched=matched)


def test_slow_searches_without_an_index_add_up() -> None:
    demand = Demand()
    _note(demand, _shape("a"), matched=7)
    _note(demand, _shape("a"), matched=5)
    _note(demand, _shape("a", "b"))
    first, second = demand.take()
    assert (first.index, first.channel, first.uses) == (index_on("a"), _CHANNEL.key, 2)
    assert (first.seconds, first.matched) == (1.0, 5)
    assert second.index == index_on("a", "b")
    assert demand.take() == []


def test_what_is_quick_or_needs_no_index_is_not_noted() -> None:
    demand = Demand()
    _note(demand, _shape("a"), seconds=SLOW_SECONDS / 2)
    _note(demand, page_shape(parse_query({}), strings_in_order=True))
    demand.note(_CHANNEL, _shape("a"), BUILT_IN[0], seconds=0.001, matched=0)
    assert demand.take() == []


def test_the_use_of_an_index_is_noted_and_what_it_leaves_to_wish_for() -> None:
    demand = Demand()
    demand.note(_CHANNEL, _shape("a"), index_on("a"), seconds=0.5, matched=0)
    demand.note(_CHANNEL, _shape("a", "b"), index_on("a"), seconds=0.001, matched=0)
    (used,) = demand.take()
    assert (used.index, used.channel, used.uses, used.seconds) == (index_on("a"), None, 2, 0.0)
    demand.note(_CHANNEL, _shape("a", "b"), index_on("a"), seconds=0.5, matched=0)
    assert [one.index for one in demand.take()] == [index_on("a"), index_on("a", "b")]


def test_what_is_kept_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NOTED", 2)
    demand = Demand()
    for name in "abcda":
        _note(demand, _shape(name))
    assert [(one.index, one.uses) for one in demand.take()] == [
        (index_on("a"), 2),
        (index_on("b"), 1),
    ]
