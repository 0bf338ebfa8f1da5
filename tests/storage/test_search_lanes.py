"""What reads little never waits behind what reads much, and what reads too much is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.query import FieldPath, MessageQuery, parse_query
from app.errors import BadUserInput, Unavailable
from app.storage.database import Database, DatabaseTookTooLong
from app.storage.pools import Pools
from app.storage.search import MessageSearch
from app.storage.search_lanes import QUICK_MESSAGES, SearchLanes
from app.storage.search_queue import SearchRequest
from app.telemetry import slow
from app.telemetry.log_fields import facts_of
from app.telemetry.logs import LogThrottle
from tests.domain.query.strategies import CHANNEL

pytestmark = pytest.mark.anyio

LARGE = 2 * QUICK_MESSAGES
GROUPED = parse_query({"groupBy": "data.liked"})


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[Pools]:
    """The pools of a process, and a channel that says it is large."""
    async with AsyncExitStack() as stack:
        opened = await Pools.open(stack, database_url)
        head = "INSERT INTO channels (channel, head) VALUES ($1, $2)"
        await opened.writing.fetch(head, CHANNEL.key, LARGE)
        yield opened


@pytest.fixture
async def watcher(database_url: str) -> AsyncIterator[Database]:
    """A connection to see what the others do."""
    database = await Database.connect(database_url, pool_size=1)
    yield database
    await database.close()


class Grouping:
    """A search of the slow lane that runs until it is told to end."""

    _LOCK = 424242

    def __init__(self, lanes: SearchLanes, watcher: Database) -> None:
        self._lanes = lanes
        self._watcher = watcher
        self._task: asyncio.Task[Any]

    async def __aenter__(self) -> "Grouping":
        await self._watcher.fetch("SELECT pg_advisory_lock($1)", self._LOCK)
        waiting = f"SELECT pg_advisory_lock({self._LOCK})"
        request = SearchRequest("hog")
        self._task = asyncio.create_task(self._lanes.fetch(request, CHANNEL, GROUPED, waiting))
        async with asyncio.timeout(10):
            while not await self._watcher.fetch(  # noqa: ASYNC110  Postgres tells nobody
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._watcher.fetch("SELECT pg_advisory_unlock($1)", self._LOCK)
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_a_page_goes_past_a_grouping(pools: Pools, watcher: Database) -> None:
    lanes = SearchLanes(pools.quick_searching, pools.searching, wait_seconds=0.1)
    search = MessageSearch(lanes)
    async with Grouping(lanes, watcher), asyncio.timeout(5):
        assert await search.messages(CHANNEL, MessageQuery()) == []
        by_id = parse_query({"filters": [{"field": "id", "operator": "EQ", "value": "x"}]})
        assert await search.total_count(CHANNEL, by_id) == 0
        assert await search.groups(Channel("p", "small"), GROUPED) == []
        # What reads much waits, and is told when to come back.
        with pytest.raises(Unavailable, match=r"it waited for 0\.(1|09)") as refused:
            await search.groups(CHANNEL, GROUPED)
        assert refused.value.retry_after_ms is not None


async def test_fifty_of_one_client_and_one_of_another(pools: Pools, watcher: Database) -> None:
    lanes = SearchLanes(pools.quick_searching, pools.searching, queue_max=10)
    search = MessageSearch(lanes)
    ended: list[str] = []

    async def ask(name: str, asked: Awaitable[object]) -> None:
        try:
            await asked
        except Unavailable as error:
            ended.append("refused" if error.retry_after_ms else "lost")
        else:
            ended.append(name)

    async with Grouping(lanes, watcher):
        many = [
            asyncio.create_task(ask("many", search.asked_by("many").groups(CHANNEL, GROUPED)))
            for _ in range(50)
        ]
        await asyncio.sleep(0)
        single = search.asked_by("single").total_count(CHANNEL, GROUPED)
        one = asyncio.create_task(ask("single", single))
        async with asyncio.timeout(5):
            while len(ended) < 41:  # noqa: ASYNC110  of fifty-one, ten may wait
                await asyncio.sleep(0.005)
        assert ended == ["refused"] * 41
    async with asyncio.timeout(20):
        await asyncio.gather(*many, one)
    assert ended[41:] == ["many", "single", *["many"] * 8]


async def test_what_would_read_too_much_is_refused_and_told_what_would_help(
    pools: Pools,
) -> None:
    search = MessageSearch(SearchLanes(pools.quick_searching, pools.searching, max_scan=LARGE - 1))
    field = FieldPath("data", ("score",))
    for refused in (
        search.groups(CHANNEL, GROUPED),
        search.total_count(CHANNEL, GROUPED),
        search.aggregate(CHANNEL, MessageQuery(), field),
        search.group_messages(CHANNEL, GROUPED, [b"1"], 1),
        search.group_aggregates(CHANNEL, GROUPED, [b"1"], field),
        search.messages(CHANNEL, MessageQuery(sort_field=field)),
    ):
        with pytest.raises(BadUserInput) as error:
            await refused
        assert error.value.message == (
            f"this search would read {LARGE} messages, at most {LARGE - 1} are allowed; narrow it "
            "by created or by an indexed field, or have the operator index the field (widgetwire "
            "indexes add PATH) or raise WIDGETWIRE_SEARCH_MAX_SCAN"
        )
    # What it says helps.
    narrowed = parse_query(
        {"filters": [{"field": "created", "operator": "GT", "value": 0}], "groupBy": "data"}
    )
    assert await search.groups(CHANNEL, narrowed) == []
    assert await search.messages(CHANNEL, MessageQuery()) == []
    assert await search.total_count(CHANNEL, MessageQuery()) == LARGE
    unlimited = SearchLanes(pools.quick_searching, pools.searching, max_scan=0)
    assert await MessageSearch(unlimited).groups(CHANNEL, GROUPED) == []


async def test_what_turns_out_to_read_much_begins_again_among_those(
    pools: Pools, database_url: str
) -> None:
    quick = await Database.connect(database_url, pool_size=1, statement_timeout_seconds=0.1)
    lanes = SearchLanes(quick, pools.searching)
    sleeping = "SELECT pg_sleep(0.2), current_setting('statement_timeout')"
    rows = await lanes.fetch(SearchRequest(), CHANNEL, MessageQuery(), sleeping, whole=False)
    assert rows[0]["current_setting"] == "10s"
    await quick.close()


async def test_one_that_took_long_is_a_line_in_the_log(
    pools: Pools, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "_throttle", LogThrottle(others="others"))
    for slow_seconds in (0, 10, 0.01):
        lanes = SearchLanes(pools.quick_searching, pools.searching, slow_seconds=slow_seconds)
        await lanes.fetch(SearchRequest(), CHANNEL, GROUPED, "SELECT pg_sleep(0.02)")
    (record,) = caplog.records
    expected = {"event": "search.slow", "channel": CHANNEL.key, "messages": LARGE}
    assert facts_of(record).items() >= expected.items()
    assert "pg_sleep" not in caplog.text


async def test_one_that_takes_too_long_in_the_slow_lane_ends(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        pools = await Pools.open(stack, database_url, search_timeout_seconds=0.1)
        lanes = SearchLanes(pools.quick_searching, pools.searching)
        with pytest.raises(DatabaseTookTooLong, match="narrow it by created"):
            await lanes.fetch(SearchRequest(), CHANNEL, GROUPED, "SELECT pg_sleep(30)")


async def test_who_leaves_leaves_nothing_running(pools: Pools, watcher: Database) -> None:
    lanes = SearchLanes(pools.quick_searching, pools.searching)
    request = SearchRequest()
    tasks = [
        asyncio.create_task(
            lanes.fetch(request, channel, GROUPED, f"SELECT pg_sleep(30), {number}")
        )
        for number in range(5)
        for channel in (CHANNEL, Channel("p", "small"))
    ]
    running = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    )
    async with asyncio.timeout(10):
        while (await watcher.fetch(running))[0][0] < 3:  # noqa: ASYNC110  two quick, one slow
            await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        while (await watcher.fetch(running))[0][0]:  # noqa: ASYNC110  Postgres tells nobody
            await asyncio.sleep(0.005)
        for queue in (lanes.quick.queue, lanes.slow.queue):
            assert (queue.running, queue.waiting) == (0, 0)
        assert await MessageSearch(lanes).groups(CHANNEL, GROUPED) == []
