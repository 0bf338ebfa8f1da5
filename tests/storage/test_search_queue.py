"""Whose search runs next, and what those are told whose does not."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from hypothesis import given, strategies

from app.errors import Unavailable
from app.storage.search_queue import SearchQueue, SearchRequest

pytestmark = pytest.mark.anyio


class Searches:
    """Searches that run until they are told to end, and the order in which they began."""

    def __init__(self, queue: SearchQueue) -> None:
        self.queue = queue
        self.began: list[str] = []
        self.requests: dict[str, SearchRequest] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[str]] = {}

    async def ask(self, name: str, channel: str = "p/w", asker: Hashable = None) -> None:
        """Ask for a search; return when it runs, waits or is refused."""
        self._ends[name] = asyncio.Event()

        async def search() -> str:
            self.began.append(name)
            await self._ends[name].wait()
            return name

        request = self.requests.setdefault(name.partition("/")[0], SearchRequest(asker))
        self._tasks[name] = asyncio.create_task(self.queue.run(channel, request, search))
        await settled()

    async def end(self, name: str) -> None:
        """End a search that runs."""
        self._ends[name].set()
        assert await self._tasks[name] == name
        await settled()

    async def cancel(self, *names: str) -> None:
        """Give searches up, all at once."""
        for name in names:
            self._tasks[name].cancel()
        await settled()
        assert all(self._tasks[name].cancelled() for name in names)

    def refused(self, name: str) -> Unavailable | None:
        """Return how a search was refused; None: it was not."""
        task = self._tasks[name]
        error = task.exception() if task.done() else None
        assert error is None or isinstance(error, Unavailable)
        return error

    async def end_all(self) -> list[str]:
        """End each search as it comes to run; return the order in which they began."""
        while not all(task.done() for task in self._tasks.values()):
            for name in self.began:
                self._ends[name].set()
            await settled()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        return self.began


async def settled() -> None:
    """Let every task go on until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


def queue(running_max: int = 1, **bounds: Any) -> Searches:
    return Searches(SearchQueue(running_max, **bounds))


async def test_as_many_run_as_there_are_places() -> None:
    searches = queue(2)
    for name in "abc":
        await searches.ask(name)
    assert (searches.began, searches.queue.running, searches.queue.waiting) == (["a", "b"], 2, 1)
    await searches.end("b")
    assert searches.began == ["a", "b", "c"]
    await searches.end_all()
    assert (searches.queue.running, searches.queue.waiting) == (0, 0)


async def test_one_who_asks_for_fifty_does_not_keep_a_neighbour_waiting() -> None:
    searches = queue()
    for number in range(50):
        await searches.ask(f"many {number}", asker="many")
    await searches.ask("single", asker="single")
    order = await searches.end_all()
    assert order[:3] == ["many 0", "many 1", "single"]
    assert order[3:] == [f"many {number}" for number in range(2, 50)]


async def test_a_channel_of_many_askers_does_not_keep_another_waiting() -> None:
    searches = queue()
    for number in range(20):
        await searches.ask(f"crowd {number}", "p/crowd", number)
    for number in range(2):
        await searches.ask(f"calm {number}", "p/calm", "one")
    order = await searches.end_all()
    assert order[:6] == ["crowd 0", "crowd 1", "calm 0", "crowd 2", "calm 1", "crowd 3"]


async def test_whoever_nobody_knows_shares_the_line_of_the_channel() -> None:
    searches = queue()
    for number in range(4):
        await searches.ask(f"unknown {number}")
    await searches.ask("known", asker="known")
    assert (await searches.end_all())[:3] == ["unknown 0", "unknown 1", "known"]


async def test_beyond_the_bound_the_newest_of_the_longest_line_is_refused() -> None:
    """With one queue for all, a client with fifty searches had pushed everybody else out."""
    searches = queue(waiting_max=3)
    await searches.ask("runs")
    for number in range(3):
        await searches.ask(f"many {number}", asker="many")
    await searches.ask("single", asker="single")
    assert searches.refused("single") is None
    refused = searches.refused("many 2")
    assert refused is not None
    assert (
        "too many searches: the queue is full (3 waiting, 1 running); retry after"
        in refused.message
    )
    # Of the longest line itself, whoever comes last.
    await searches.ask("many 3", asker="many")
    assert searches.refused("many 3") is not None
    assert searches.queue.waiting == 3
    assert await searches.end_all() == ["runs", "many 0", "single", "many 1"]


async def test_a_full_queue_of_single_searches_refuses_the_newcomer() -> None:
    searches = queue(waiting_max=2)
    for name in ("runs", "a", "b", "c"):
        await searches.ask(name, f"p/{name}", name)
    assert [searches.refused(name) is not None for name in "abc"] == [False, False, True]
    assert searches.queue.refused == 1
    await searches.end_all()


async def test_nobody_waits_for_longer_than_the_bound() -> None:
    searches = queue(wait_seconds=0.05, spread=lambda: 0.0)
    await searches.ask("runs")
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match=r"it waited for 0\.05 s") as refused:
            await searches.queue.run("p/w", SearchRequest(), never)
    assert refused.value.retry_after_ms is not None
    assert (searches.queue.running, searches.queue.waiting) == (1, 0)
    await searches.end_all()


async def never() -> None:
    raise AssertionError("it was refused")


async def test_who_would_wait_too_long_is_told_at_once_and_when_to_come_back(
    clock: Callable[[float], None],
) -> None:
    """The time that searches took lately, and how many are in line, decide."""
    searches = queue(wait_seconds=5, spread=lambda: 0.5)
    await searches.ask("first")
    clock(2.0)
    await searches.end("first")
    await searches.ask("second")
    clock(1.0)  # its second half
    await searches.ask("third", asker="a")  # 1 s from now
    await searches.ask("fourth", asker="a")  # 3 s from now
    await searches.ask("fifth", asker="a")  # 5 s from now
    await searches.ask("sixth", asker="a")  # would be 7 s
    refused = searches.refused("sixth")
    assert refused is not None
    assert "it would wait too long (3 waiting, 1 running)" in refused.message
    # Four of 2 s each, but after 5 s and one more none of them waits; once to twice that long.
    assert refused.retry_after_ms == 7000 * 1.5 + 250 * 0.5
    # Another's first one comes after the third only.
    await searches.ask("other", asker="b")
    assert searches.refused("other") is None
    assert await searches.end_all() == ["first", "second", "third", "other", "fourth", "fifth"]


async def test_before_any_search_has_ended_its_own_time_so_far_counts(
    clock: Callable[[float], None],
) -> None:
    searches = queue(wait_seconds=5, spread=lambda: 0.0)
    await searches.ask("first")
    clock(3.0)
    await searches.ask("second", asker="a")  # any moment
    await searches.ask("third", asker="b")  # 3 s from now
    await searches.ask("fourth", asker="c")  # would be 6 s
    refused = searches.refused("fourth")
    assert refused is not None
    assert refused.retry_after_ms == 8000
    assert await searches.end_all() == ["first", "second", "third"]


async def test_a_crowd_at_the_start_is_not_refused_for_the_time_it_takes_to_enter() -> None:
    # Long: the loop itself may be slow, on a machine that does other things too.
    searches = queue(2, wait_seconds=120)

    async def search() -> None:
        await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(
            *(searches.queue.run("p/w", SearchRequest(number), search) for number in range(1000))
        )


async def test_those_who_are_refused_together_do_not_come_back_together(
    clock: Callable[[float], None],
) -> None:
    searches = queue(waiting_max=1)
    await searches.ask("first")
    clock(4.0)
    await searches.end("first")
    for name in ("runs", "waits", *map(str, range(50))):
        await searches.ask(name)
    again = [searches.refused(str(number)) for number in range(50)]
    times = {refused.retry_after_ms or 0 for refused in again if refused}
    assert len(times) > 25
    assert min(times) >= 8_000
    assert max(times) <= 16_250
    await searches.end_all()


async def test_who_comes_back_is_told_a_time_within_a_minute(
    clock: Callable[[float], None],
) -> None:
    searches = queue(waiting_max=1)
    for seconds, least, most in ((0.0, 250, 250), (300.0, 60_000, 60_000)):
        await searches.ask("first")
        clock(seconds)
        await searches.end("first")
        for name in ("runs", "waits", "refused"):
            await searches.ask(name)
        refused = searches.refused("refused")
        if refused is None:  # more than it may wait: told so at once
            refused = searches.refused("waits")
        assert refused is not None
        assert least <= (refused.retry_after_ms or 0) <= most
        await searches.end_all()


async def test_whoever_leaves_leaves_nothing_behind() -> None:
    searches = queue(waiting_max=100)
    await searches.ask("runs")
    names = [f"{number}" for number in range(50)]
    for number, name in enumerate(names):
        await searches.ask(name, f"p/{number % 5}", number % 3)
    await searches.cancel(*names)
    assert (searches.queue.running, searches.queue.waiting) == (1, 0)
    assert not searches.queue._channels
    await searches.cancel("runs")
    assert searches.queue.running == 0
    await searches.ask("next")
    assert searches.began == ["runs", "next"]
    await searches.end_all()


_STEPS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["ask", "ask", "ask", "end", "cancel"]),
        strategies.integers(0, 2),  # which channel
        strategies.integers(0, 3),  # who asks, or which of those under way
    ),
    max_size=40,
)


@given(steps=_STEPS, running_max=strategies.integers(1, 3))
def test_whatever_comes_and_goes_the_bounds_hold_and_everybody_is_answered(
    steps: list[tuple[str, int, int]], running_max: int
) -> None:
    async def carry_out() -> None:
        searches = queue(running_max, waiting_max=4, wait_seconds=60)
        for number, (step, channel, which) in enumerate(steps):
            under_way = [n for n, task in searches._tasks.items() if not task.done()]
            running = [name for name in under_way if name in searches.began]
            if step == "ask":
                await searches.ask(f"{which}/{number}", f"p/{channel}", which)
            elif step == "end" and running:
                await searches.end(running[which % len(running)])
            elif step == "cancel" and under_way:
                await searches.cancel(under_way[which % len(under_way)])
            assert searches.queue.running <= running_max
            assert searches.queue.waiting <= 4
            # Nobody waits while there is a place.
            assert not searches.queue.waiting or searches.queue.running == running_max
        await searches.end_all()
        assert (searches.queue.running, searches.queue.waiting) == (0, 0)
        assert not searches.queue._channels
        assert not searches.queue._begun

    asyncio.run(carry_out())


@pytest.mark.parametrize("first", ["the place", "the cancellation"])
async def test_a_place_that_comes_with_a_cancellation_goes_to_the_next(first: str) -> None:
    searches = queue()
    for name in "abc":
        await searches.ask(name)
    steps: list[Callable[[], object]] = [
        searches._ends["a"].set,
        searches._tasks["b"].cancel,
    ]
    if first == "the place":
        steps[0]()
        while searches.queue.waiting == 2:  # noqa: ASYNC110  a turn of the loop at a time
            await asyncio.sleep(0)
        steps[1]()
    else:
        steps[1]()
        steps[0]()
    await settled()
    assert searches.began == ["a", "c"]
    await searches.end("c")
    assert (searches.queue.running, searches.queue.waiting) == (0, 0)


async def test_a_search_that_fails_gives_its_place_and_its_own_error() -> None:
    async def fail() -> None:
        raise ValueError("its own")

    searches = queue()
    with pytest.raises(ValueError, match="its own"):
        await searches.queue.run("p/w", SearchRequest(), fail)
    await searches.ask("next")
    assert searches.began == ["next"]
    await searches.end_all()


async def test_a_request_that_has_begun_goes_first(clock: Callable[[float], None]) -> None:
    """Its second statement stood behind all first ones: of 727 requests none came to its end."""
    searches = queue(wait_seconds=10)
    await searches.ask("begun/1")
    await searches.ask("other/1", asker="other")
    await searches.ask("third/1", asker="third")
    clock(6.0)
    await searches.end("begun/1")
    assert searches.began == ["begun/1", "other/1"]
    # Six seconds and six seconds are more than anybody may wait who has not begun.
    await searches.ask("late/1", asker="late")
    assert searches.refused("late/1") is not None
    await searches.ask("begun/2")
    assert searches.refused("begun/2") is None
    assert (await searches.end_all())[2:] == ["begun/2", "third/1"]


async def test_a_request_goes_first_only_as_long_as_one_statement_may_run(
    clock: Callable[[float], None],
) -> None:
    searches = queue(wait_seconds=100, request_seconds=10)
    await searches.ask("greedy/1")
    await searches.ask("other/1", asker="other")
    clock(4.0)
    await searches.end("greedy/1")
    for number in (2, 3, 4):
        await searches.ask(f"greedy/{number}")
    await searches.ask("third/1", asker="third")
    await searches.end("other/1")
    clock(7.0)
    await searches.end("greedy/2")
    assert (await searches.end_all())[3:] == ["third/1", "greedy/3", "greedy/4"]


async def test_one_that_has_begun_may_give_up(clock: Callable[[float], None]) -> None:
    searches = queue()
    await searches.ask("begun/1")
    await searches.ask("other/1", asker="other")
    clock(1.0)
    await searches.end("begun/1")
    await searches.ask("begun/2")
    await searches.cancel("begun/2")
    assert (searches.queue.running, searches.queue.waiting) == (1, 0)
    assert not searches.queue._begun
    await searches.end_all()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock of the loop that goes on only when it is told to."""
    loop = asyncio.get_running_loop()
    now = [loop.time()]
    monkeypatch.setattr(loop, "time", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by
