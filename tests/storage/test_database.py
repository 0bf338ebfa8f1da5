"""The border where driver errors end."""

import asyncio
import contextlib
import traceback

import asyncpg
import pytest

from app.embedded.postgres import EmbeddedPostgres
from app.errors import Unavailable
from app.storage.database import Database, DatabaseBusy, DatabaseLost, DatabaseRefuses
from app.storage.incidents import Incidents
from app.telemetry.log_fields import facts_of
from tests.postgres_faults import frozen

pytestmark = pytest.mark.anyio

_RAISE = "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{sqlstate}'; END $$"


async def values(database: Database, sql: str) -> list[object]:
    return [row[0] for row in await database.fetch(sql)]


async def test_json_stays_text_from_one_end_to_the_other(database: Database) -> None:
    text = '{"a":[1.10,"é\U0001f600",null]}'.encode()
    ((back,),) = await database.fetch("SELECT $1::jsonb", text)
    assert back.replace(b" ", b"") == text
    assert await values(database, "SELECT NULL::jsonb") == [None]


async def test_no_database_is_lost_not_a_drivers_error() -> None:
    with pytest.raises(DatabaseLost, match="not reachable"):
        await Database.connect("postgresql://postgres@127.0.0.1:1/nothing")


async def test_a_statement_that_takes_too_long_is_cancelled(database_url: str) -> None:
    database = await Database.connect(database_url, statement_timeout_seconds=0.2)
    with pytest.raises(Unavailable, match=r"longer than 0\.2 s"):
        await database.fetch("SELECT pg_sleep(10)")
    assert await values(database, "SELECT 1") == [1]
    assert database.failures["cancelled"] == 1
    await database.close()


async def test_waiting_for_a_connection_is_bounded(database_url: str) -> None:
    database = await Database.connect(database_url, pool_size=1, statement_timeout_seconds=0.5)
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            *(database.fetch("SELECT pg_sleep(0.3)") for _ in range(5)), return_exceptions=True
        )
    assert not isinstance(results[0], BaseException)
    assert "overloaded" in str(results[-1])
    refused = sum(isinstance(result, BaseException) for result in results)
    assert database.failures == {**dict.fromkeys(database.failures, 0), "no_connection": refused}
    await database.close()


async def test_a_cut_connection_is_lost_and_the_next_statement_has_another(
    database: Database, database_url: str
) -> None:
    other = await Database.connect(database_url)
    sleeping = asyncio.create_task(database.fetch("SELECT pg_sleep(30)"))
    async with asyncio.timeout(20):
        while not await other.fetch(  # noqa: ASYNC110  Postgres tells nobody
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ):
            await asyncio.sleep(0.01)
    with pytest.raises(DatabaseLost):
        await sleeping
    assert await values(database, "SELECT 1") == [1]
    await other.close()


async def test_it_comes_back_with_the_server(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart, "immediate"))
    while not restarting.done():
        try:
            await database.fetch("SELECT 1")
        except Unavailable:
            await asyncio.sleep(0.02)  # anything else fails the test
    await restarting
    async with asyncio.timeout(10):
        while True:
            try:
                assert await values(database, "SELECT 1") == [1]
            except Unavailable:
                continue
            break


async def test_a_database_without_a_connection_left_is_lost_until_there_is_one(
    database_url: str,
) -> None:
    operator = await asyncpg.connect(database_url)
    await operator.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1")
    database = await Database.connect(database_url.replace("postgres@", "narrow@"))
    try:
        both = (values(database, "SELECT pg_sleep(0.1)") for _ in range(2))
        _, lost = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(lost, DatabaseLost)
        assert not lost.sent, "it did not happen"
        await operator.execute("ALTER ROLE narrow CONNECTION LIMIT 2")
        await asyncio.gather(*(values(database, "SELECT pg_sleep(0.1)") for _ in range(2)))
    finally:
        await database.close()
        await operator.execute("DROP ROLE narrow")
        await operator.close()


async def test_a_bug_of_ours_is_not_called_unavailable(database: Database) -> None:
    for sql, parameters in (("SELECT nothing", ()), ("SELECT $1::bigint", ("one",))):
        with pytest.raises(Exception) as failure:  # noqa: PT011  whatever it is, it is not ours
            await database.fetch(sql, *parameters)
        assert not isinstance(failure.value, Unavailable)


async def test_what_clients_wrote_is_in_no_failure_and_in_no_log_of_the_server(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    """Postgres' details quote the row, and a defect is logged with its trace."""
    insert = (
        "INSERT INTO messages (channel, sequence, id, client_id, created, username, data) "
        "VALUES ('p/w', $1, gen_random_uuid(), 'Zaphod', 1, 'Zaphod', $2)"
    )
    await database.fetch(insert, 1, b'"Zaphod"')
    for sequence, data in ((1, b'"Zaphod"'), (None, b'"Zaphod"'), (2, b"Zaphod")):
        with pytest.raises(asyncpg.PostgresError) as failure:
            await database.fetch(insert, sequence, data)
        assert "Zaphod" not in "".join(traceback.format_exception(failure.value))
    log = (postgres.data_dir / "postgres.log").read_text()
    assert "violates not-null constraint" in log
    assert "Zaphod" not in log
    for setting in ("log_parameter_max_length", "log_parameter_max_length_on_error"):
        assert await values(database, f"SELECT current_setting('{setting}')") == ["0"]


async def test_a_statement_with_one_argument_too_few_is_our_bug(database: Database) -> None:
    """asyncpg's class for it is the one of a closed pool, and was once answered "retry later"."""
    with pytest.raises(asyncpg.InterfaceError, match="expects 2 arguments"):
        await database.fetch("SELECT $1::int + $2::int", 1)
    assert await values(database, "SELECT 1") == [1]


async def test_closing_does_not_wait_for_a_long_search(database_url: str) -> None:
    """A process that was to end was cut off while it waited: a trace in the log."""
    database = await Database.connect(database_url)
    searching = asyncio.create_task(database.fetch("SELECT pg_sleep(20)"))
    async with asyncio.timeout(10):
        while not await values(  # noqa: ASYNC110  the server tells nobody
            database, "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'"
        ):
            await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            await database.close()
        with pytest.raises(DatabaseLost):
            await searching


async def test_a_closed_pool_is_lost_and_no_bug(database_url: str) -> None:
    database = await Database.connect(database_url)
    sleeping = asyncio.create_task(database.fetch("SELECT pg_sleep(30)"))
    async with asyncio.timeout(20):
        while (database._pool.get_idle_size(), database._pool.get_size()) != (0, 1):  # noqa: ASYNC110  the pool tells nobody
            await asyncio.sleep(0)
        database._pool.terminate()
        with pytest.raises(DatabaseLost):
            await sleeping
    with pytest.raises(DatabaseLost) as lost:
        await database.fetch("SELECT 1")
    assert not lost.value.sent


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("53000", "out of resources"),
        ("53100", "disk full"),
        ("53200", "out of memory"),
        ("53400", "a configured limit is reached"),
        ("58030", "input/output error"),
    ],
)
async def test_a_database_that_cannot_work_refuses(
    database_url: str, sqlstate: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk was once an internal error, with a trace for each message."""
    incidents = Incidents()
    database = await Database.connect(database_url, incidents=incidents)
    for _ in range(5):
        with pytest.raises(DatabaseRefuses) as refused:
            await database.fetch(_RAISE.format(sqlstate=sqlstate))
        assert refused.value.reason == reason
    assert incidents.refusal == reason
    assert caplog.messages == [f"the database refuses to work: {reason}"]
    await database.close()


@pytest.mark.parametrize("sqlstate", ["40P01", "55P03"])
async def test_a_lock_that_was_not_given_is_worth_a_retry(
    database: Database, sqlstate: str
) -> None:
    with pytest.raises(DatabaseBusy):
        await database.fetch(_RAISE.format(sqlstate=sqlstate))


async def test_a_standby_is_lost_so_that_the_next_connection_may_find_the_primary(
    database_url: str,
) -> None:
    incidents = Incidents()
    database = await Database.connect(database_url, incidents=incidents)
    before = await values(database, "SELECT pg_backend_pid()")
    with pytest.raises(DatabaseLost) as lost:
        await database.fetch(_RAISE.format(sqlstate="25006"))
    assert not lost.value.sent
    assert incidents.refusal == "read-only"
    assert await values(database, "SELECT pg_backend_pid()") != before
    await database.close()


async def test_a_frozen_server_costs_no_more_than_the_time_one_has(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    """The wait for the cancelled statement once took 11 s."""
    await database.fetch("SELECT 1")
    with frozen(postgres):
        for sent in (True, False):  # first on the open connection, then there is none
            async with asyncio.timeout(2):
                with pytest.raises(DatabaseLost) as lost:
                    await database.fetch("SELECT 1", timeout_seconds=0.3)
            assert lost.value.sent is sent
    async with asyncio.timeout(10):
        assert await values(database, "SELECT 1") == [1]


async def test_an_outage_is_no_trace_in_the_log(
    database: Database, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncpg's pool restored its smallest size by itself, with a trace for each try."""
    await database.fetch("SELECT 1")
    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart, "immediate"))
    lost = 0
    while not restarting.done():
        try:
            await database.fetch("SELECT 1")
        except DatabaseLost:
            lost += 1
            await asyncio.sleep(0.01)
    await restarting
    assert lost
    assert [record for record in caplog.records if record.exc_info] == []
    await database.fetch("SELECT 1")
    events = [facts_of(record)["event"] for record in caplog.records]
    assert events == ["database.lost", "database.back"]


async def test_a_kept_connection_is_used_again_and_replaced_where_it_was_cut(
    database: Database, database_url: str
) -> None:
    keeping = await Database.connect(database_url, pool_size=1, keep_idle=True)
    (first,) = await values(keeping, "SELECT pg_backend_pid()")
    assert await values(keeping, "SELECT pg_backend_pid()") == [first]
    await database.fetch("SELECT pg_terminate_backend($1)", first)
    async with asyncio.timeout(20):
        while await database.fetch(  # noqa: ASYNC110  Postgres tells nobody
            "SELECT 1 FROM pg_stat_activity WHERE pid = $1", first
        ):
            await asyncio.sleep(0.02)
    with contextlib.suppress(DatabaseLost):
        # Whether the end has reached us by now is the network's business.
        await values(keeping, "SELECT pg_backend_pid()")
    assert await values(keeping, "SELECT pg_backend_pid()") != [first]
    await keeping.close()


async def test_who_waits_for_a_kept_connection_gets_it(database_url: str) -> None:
    keeping = await Database.connect(
        database_url, pool_size=1, keep_idle=True, statement_timeout_seconds=5
    )
    for _ in range(2):
        async with asyncio.timeout(20):
            await asyncio.gather(*(keeping.fetch("SELECT 1") for _ in range(20)))
    assert (keeping.size, keeping.connections, keeping.used, keeping.waiting) == (1, 1, 0, 0)
    cancelled = asyncio.create_task(keeping.fetch("SELECT pg_sleep(30)"))
    waiting = asyncio.create_task(keeping.fetch("SELECT 1"))
    await asyncio.sleep(0.1)
    assert (keeping.connections, keeping.used, keeping.waiting) == (1, 1, 1)
    cancelled.cancel()
    await waiting
    assert await values(keeping, "SELECT 1") == [1]
    await keeping.close()
    with pytest.raises(DatabaseLost):
        await keeping.fetch("SELECT 1")
