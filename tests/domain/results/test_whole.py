"""The number of messages, and what a field comes to over all of them."""

from app.domain.query import FieldPath
from app.domain.results import Effect, KeptAggregate, KeptCount, Tally
from tests.storage.stored import published


def test_a_count_goes_up_and_down() -> None:
    count = KeptCount(5)
    (message,) = published([1])
    assert (count.add(message), count.number) == (Effect.CHANGED, 6)
    assert (count.remove(message), count.number) == (Effect.CHANGED, 5)


def test_a_field_is_tallied_where_it_is() -> None:
    aggregate = KeptAggregate(FieldPath("data", ("n",)), Tally())
    one, two, without = published([{"n": 1}, {"n": 2}, {}])
    assert [aggregate.add(message) for message in (one, two)] == [Effect.CHANGED] * 2
    assert aggregate.add(without) is Effect.NOTHING
    assert (aggregate.tally.row.sum, aggregate.size) == (3.0, Tally().size)
    assert aggregate.remove(two) is Effect.LOST
