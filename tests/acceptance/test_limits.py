"""Every limit is a setting, and holds on every transport: one service with small limits.

Each request comes from an address of its own, which a trusted proxy names, so that no case uses up
what another one needs.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from app.config import Settings
from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.carriers import HTTP, LEGACY, SOCKETS, STREAMS, Answer, Asker, Carrier, Socket
from tests.acceptance.conftest import SECRET
from tests.conftest import served_clone
from tests.served import Served

pytestmark = pytest.mark.anyio

SMALL: Final = {
    "max_header_bytes": "4096",
    "max_token_bytes": "600",
    "max_data_bytes": "1000",
    "max_anonymous_bytes": "5000",
    "max_request_bytes": "9000",
    "max_frame_bytes": "9000",
    "max_query_depth": "3",
    "max_query_tokens": "100",
    "max_query_aliases": "3",
    "max_connections_per_address": "2",
    "max_subscriptions_per_connection": "1",
    "max_filter_bytes_per_connection": "65536",
    "handshake_timeout_seconds": "1",
    "replay_max_messages": "5",
    # Of each rate, so many at once, and the next one minutes later.
    "rate_burst_seconds": "100",
    "publisher_publishes_per_second": "0.01",
    "address_publishes_per_second": "0.02",
    "project_publishes_per_second": "0.03",
    "publisher_searches_per_second": "0.01",
    "address_searches_per_second": "0.02",
    "project_searches_per_second": "0.03",
}
"""The settings of the service."""
AT_ONCE: Final = {"publisher": 1, "address": 2, "project": 3}
"""What the rates let through after a rest."""

ELSEWHERE: Final = {
    "max_connections": "tests/wire/test_http_connection.py",
    "max_streams": "tests/transports/graphql/test_streams.py",
    "max_operations_in_flight": "tests/transports/graphql/test_session.py",
    "max_outbound_bytes": "tests/wire/test_outbound.py",
    "max_filter_bytes": "tests/acceptance/test_filter_bounds.py",
    "max_live_result_bytes": "tests/services/live/test_results.py",
    "max_held_messages": "tests/services/test_held.py",
    "body_timeout_seconds": "tests/wire/test_http_connection.py",
    "header_timeout_seconds": "tests/wire/test_http_connection.py",
    "publish_timeout_seconds": "tests/storage/test_group_commit.py",
    "publish_queue_max": "tests/storage/test_group_commit.py",
    "publish_queue_max_bytes": "tests/storage/test_group_commit.py",
    "publish_batch_max": "tests/storage/test_group_commit.py",
    "search_max_scan": "tests/storage/test_search_lanes.py",
    "search_queue_max": "tests/storage/test_search_queue.py",
    "statement_timeout_seconds": "tests/storage/test_database.py",
    "ping_timeout_seconds": "tests/wire/test_keepalive.py",
}
"""Limits that are no matter of one request, and the tests that they have."""
_LIMITS: Final = re.compile(r"max_|_max|_per_second$|_timeout_seconds$")

ALL: Final = (*HTTP, *STREAMS, *SOCKETS, LEGACY)
GRAPHQL: Final = (*HTTP, *STREAMS, *SOCKETS)
PUBLISHING: Final = (HTTP[0], HTTP[1], *SOCKETS, LEGACY)
SEARCHING: Final = (*HTTP, *SOCKETS, LEGACY)
LISTENING: Final = (*STREAMS, *SOCKETS)

_IDS = "projectId: $project, widgetId: $widget"
_VARIABLES = "$project: ID!, $widget: ID!"
PUBLISH: Final = (
    f"mutation ({_VARIABLES}, $data: JSON!) {{ publish({_IDS}, data: $data) {{ id }} }}"
)
SEARCH: Final = f"query ({_VARIABLES}) {{ messages({_IDS}) {{ messages {{ id }} }} }}"
COUNT: Final = f"subscription ({_VARIABLES}) {{ connectionCount({_IDS}) {{ count }} }}"
LIVE: Final = f"subscription ({_VARIABLES}) {{ liveMessages({_IDS}) {{ totalCount }} }}"
LISTEN: Final = f"""subscription ({_VARIABLES}, $last: Int, $filters: [MessageFilter!]! = []) {{
  messages({_IDS}, last: $last, filters: $filters) {{ id }} }}"""

_INVALID: Final = "GRAPHQL_VALIDATION_FAILED"
_ROOT: Final = Path(__file__).parents[2]
_numbers = count(1)


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Served]:
    settings = {f"WIDGETWIRE_{name.upper()}": value for name, value in SMALL.items()}
    settings |= {"WIDGETWIRE_JWT_SECRET": SECRET, "WIDGETWIRE_TRUSTED_PROXIES": "127.0.0.1"}
    yield from served_clone(postgres, template_database, settings)


def named(carriers: tuple[Carrier, ...]) -> Any:
    return pytest.mark.parametrize("carrier", carriers, ids=lambda carrier: carrier.name)


def somebody(token: str | None = None) -> Asker:
    """Return who has never asked before."""
    number = next(_numbers)
    return Asker(f"203.0.{number >> 8}.{number & 255}", token)


def signed(subject: str | None = None, **claims: Any) -> str:
    subject = f"user{next(_numbers)}" if subject is None else subject
    return jwt.encode({"sub": subject, **claims}, SECRET, "HS256")


def channel() -> dict[str, str]:
    return {"project": f"project{next(_numbers)}", "widget": "poll"}


def publishing(carrier: Carrier) -> str:
    return "publish" if carrier is LEGACY else PUBLISH


async def published(
    served: Served, carrier: Carrier, asker: Asker, data: Any = 1, **where: str
) -> Answer:
    return await carrier.ask(served, asker, publishing(carrier), data=data, **(where or channel()))


async def searched(served: Served, carrier: Carrier, asker: Asker, **where: str) -> Answer:
    if carrier is LEGACY:
        return await carrier.ask(served, asker, "search", query={}, **where)
    return await carrier.ask(served, asker, SEARCH, **where)


async def followed(served: Served, carrier: Carrier, asker: Asker, **where: str) -> Answer:
    return await carrier.ask(served, asker, LIVE, **where)


def test_each_limit_is_shown_here_or_elsewhere() -> None:
    limits = {name for name in Settings.model_fields if _LIMITS.search(name)}
    assert limits == (SMALL.keys() - {"rate_burst_seconds"}) | ELSEWHERE.keys()
    for test in ELSEWHERE.values():
        assert (_ROOT / test).is_file(), test


# Sizes.


@named(ALL)
async def test_a_head_that_is_too_large_is_answered_431(served: Served, carrier: Carrier) -> None:
    asker = Asker(somebody().address, padding_bytes=5000)
    document = "publish" if carrier is LEGACY else "{ __typename }"
    assert (await carrier.ask(served, asker, document, **channel())).status == 431


@named(ALL)
async def test_a_token_that_is_too_long_is_refused(served: Served, carrier: Carrier) -> None:
    asker = somebody(signed(padding="x" * 600))
    document = "search" if carrier is LEGACY else "{ __typename }"
    answer = await carrier.ask(served, asker, document, **channel())
    assert (answer.status, answer.close) in {(401, None), (None, 4401)}


@named((*HTTP[:2], *STREAMS[::2], *SOCKETS, LEGACY))
async def test_without_a_token_a_request_may_be_smaller(served: Served, carrier: Carrier) -> None:
    document = "search" if carrier is LEGACY else "{ __typename }"

    async def asked(token: str | None, size: int) -> Answer:
        variables = {**channel(), "query": {}, "padding": "x" * size}
        return await carrier.ask(served, somebody(token), document, **variables)

    def too_large(answer: Answer) -> bool:
        return (answer.status, answer.close) in {(413, None), (None, 1009)}

    assert too_large(await asked(None, 5000))
    assert not too_large(await asked(signed(), 5000))
    assert too_large(await asked(signed(), 9000))


@named(PUBLISHING)
async def test_data_that_is_too_large_is_refused(served: Served, carrier: Carrier) -> None:
    answer = await published(served, carrier, somebody(), "x" * 999)
    assert answer.code == "PAYLOAD_TOO_LARGE"


@named(GRAPHQL)
async def test_a_document_has_bounds(served: Served, carrier: Carrier) -> None:
    for document, code in (
        ("{ " + "a: __typename " * 40 + "}", "GRAPHQL_PARSE_FAILED"),
        ("{ a: __typename b: __typename c: __typename d: __typename }", _INVALID),
        (
            '{ messages(projectId: "p", widgetId: "w", query: {groupBy: "data"}) '
            '{ groups { aggregate(field: "data") { count } } } }',
            _INVALID,
        ),
    ):
        assert (await carrier.ask(served, somebody(), document)).code == code


# Connections and subscriptions.


@named(LISTENING)
async def test_an_address_has_so_many_connections(served: Served, carrier: Carrier) -> None:
    asker, where = somebody(), channel()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            one = await stack.enter_async_context(carrier.asking(served, asker, COUNT, where))
            assert one.error is None
        assert (await carrier.ask(served, asker, COUNT, **where)).status == 429
        assert (await carrier.ask(served, somebody(), COUNT, **where)).error is None


async def test_an_address_has_so_many_legacy_sockets(served: Served) -> None:
    asker, where = somebody(), channel()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            fields = {"query": {}, **where}
            await stack.enter_async_context(LEGACY.asking(served, asker, "search", fields))
        assert (await LEGACY.ask(served, asker, "search", query={}, **where)).status == 429


@named(SOCKETS)
async def test_a_socket_has_so_many_subscriptions(served: Served, carrier: Socket) -> None:
    asker, where = somebody(), channel()
    async with carrier.opened(served, asker, where) as socket:
        assert not isinstance(socket, Answer)
        first, second = (carrier.request(key, COUNT, where) for key in ("1", "2"))
        answers = [
            await carrier.told(socket, carrier.begin(asker), first),
            await carrier.told(socket, second),
        ]
    assert [answer.code for answer in answers] == [None, "RATE_LIMITED"]


@named(LISTENING)
async def test_a_replay_has_a_bound(served: Served, carrier: Carrier) -> None:
    answer = await carrier.ask(served, somebody(), LISTEN, last=6, **channel())
    assert answer.code == "BAD_USER_INPUT"


@named((*STREAMS[::2], *SOCKETS))
async def test_the_filters_of_a_connection_have_a_bound(served: Served, carrier: Carrier) -> None:
    words = [f"{number:04}" for number in range(900)]
    filters = [{"field": "data", "operator": "IN", "value": words}]
    asker = somebody(signed())
    answer = await carrier.ask(served, asker, LISTEN, filters=filters, **channel())
    assert answer.code == "RATE_LIMITED", answer


async def test_a_socket_that_does_not_begin_is_closed(served: Served) -> None:
    async def silent(carrier: Socket) -> int | None:
        async with carrier.opened(served, somebody(), channel()) as socket:
            assert not isinstance(socket, Answer)
            return (await carrier.told(socket)).close

    assert await asyncio.gather(*map(silent, (*SOCKETS, LEGACY))) == [4408] * 3


# Rates.

_ASKED: Final[dict[str, tuple[tuple[Carrier, ...], Callable[..., Any]]]] = {
    "publishes": (PUBLISHING, published),
    "searches": (SEARCHING, searched),
    "live results": (LISTENING, followed),
}
_EACH: Final = [
    pytest.param(ask, carrier, id=f"{what} over {carrier.name}")
    for what, (carriers, ask) in _ASKED.items()
    for carrier in carriers
]
_ONE_OF_EACH_KIND: Final = [
    pytest.param(ask, carriers[0], id=what) for what, (carriers, ask) in _ASKED.items()
] + [pytest.param(published, LEGACY, id="legacy"), pytest.param(searched, SOCKETS[0], id="socket")]


def limited(answers: list[Answer], whose: str) -> None:
    """Assert that the last one, and no other, came too early."""
    *good, last = answers
    assert [answer.error for answer in good] == [None] * len(good)
    assert last.error is not None
    assert last.code == "RATE_LIMITED"
    assert whose in last.error["message"]
    assert 10_000 < last.error["retryAfterMs"] <= 100_000


@pytest.mark.parametrize(("ask", "carrier"), _EACH)
async def test_a_publisher_has_a_rate_wherever_it_comes_from(
    served: Served, ask: Callable[..., Any], carrier: Carrier
) -> None:
    token = signed()
    answers = [
        await ask(served, carrier, somebody(token), **channel())
        for _ in range(AT_ONCE["publisher"] + 1)
    ]
    limited(answers, "by this publisher")


@pytest.mark.parametrize(("ask", "carrier"), _EACH)
async def test_an_address_has_a_rate_for_all_without_a_subject(
    served: Served, ask: Callable[..., Any], carrier: Carrier
) -> None:
    asker = somebody()
    answers = [
        await ask(served, carrier, asker, **channel()) for _ in range(AT_ONCE["address"] + 1)
    ]
    limited(answers, "from this address")


@pytest.mark.parametrize(("ask", "carrier"), _ONE_OF_EACH_KIND)
async def test_a_project_has_a_rate_for_all(
    served: Served, ask: Callable[..., Any], carrier: Carrier
) -> None:
    where = channel()
    admin = signed(permissions=["admin", "publish", "search", "subscribe"])
    askers = [somebody(token) for token in (signed(), None, admin, signed())]
    limited([await ask(served, carrier, asker, **where) for asker in askers], "in this project")


async def test_each_alias_of_a_document_counts(served: Served) -> None:
    document = (
        f"mutation ({_VARIABLES}) {{ a: publish({_IDS}, data: 1) {{ id }} "
        f"b: publish({_IDS}, data: 2) {{ id }} c: publish({_IDS}, data: 3) {{ id }} }}"
    )
    for carrier in (HTTP[0], *SOCKETS):
        answer = await carrier.ask(served, somebody(signed()), document, **channel())
        assert answer.code == "RATE_LIMITED"


async def test_a_retraction_counts_as_a_publish(served: Served) -> None:
    document = f"mutation ({_VARIABLES}, $ids: [ID!]!) {{ retract({_IDS}, ids: $ids) }}"
    asker = somebody(signed())
    ids = ["01890000-0000-7000-8000-000000000000"]
    answers = [await HTTP[0].ask(served, asker, document, ids=ids, **channel()) for _ in range(2)]
    limited(answers, "by this publisher")


async def test_a_claimed_client_id_gives_no_rate_of_its_own(served: Served) -> None:
    asker = somebody()
    answers = await asyncio.gather(
        *(
            HTTP[0].ask(served, asker, PUBLISH, data=1, client=f"client{number}", **channel())
            for number in range(AT_ONCE["address"] + 1)
        )
    )
    assert sorted(answer.code or "" for answer in answers) == ["", "", "RATE_LIMITED"]
