"""Where a channel goes on that has begun to count anew, found in a few reads."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.delivery.recount import known_up_to
from app.domain.message import Message
from tests.delivery.recorded import CHANNEL


class Rows:
    """The rows of a channel, some deleted; up to one place they are known."""

    def __init__(self, sequences: set[int], known: int) -> None:
        self._rows = [
            Message(CHANNEL, n, str(n), "client", 100 if n <= known else 101, None, b"1")
            for n in sorted(sequences)
        ]
        self.reads = 0

    async def __call__(self, after: int, up_to: int, limit: int) -> list[Message]:
        self.reads += 1
        return [one for one in self._rows if one.sequence and after < one.sequence <= up_to][:limit]


@given(st.sets(st.integers(1, 40)), st.integers(0, 40), st.integers(0, 40))
def test_nothing_new_is_passed_over_and_nothing_known_follows(
    sequences: set[int], known: int, up_to: int
) -> None:
    rows = Rows(sequences, known)
    found = asyncio.run(known_up_to(rows, 100, up_to))
    looked_at = {one for one in sequences if one <= up_to}
    assert all(one > found for one in looked_at if one > known)
    assert all(one <= found for one in looked_at if one <= known)
    assert 0 <= found <= up_to


def test_a_new_count_costs_one_read_and_a_long_channel_few() -> None:
    new = Rows(set(range(1, 1_001)), 0)
    assert asyncio.run(known_up_to(new, 100, 1_000)) == 0
    assert new.reads == 1
    long = Rows(set(range(1, 100_001)), 99_990)
    assert asyncio.run(known_up_to(long, 100, 100_000)) == 99_990
    assert long.reads < 25
