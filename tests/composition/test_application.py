"""The composition root: what one process offers, and what keeps it from starting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.composition import create_app
from app.config import Settings
from app.errors import ConfigurationError
from app.storage.database import Database

pytestmark = pytest.mark.anyio

STRONG = "Zr8tQy0mVJx3nE5uKc7wHd2bLf9gSa4p"


@asynccontextmanager
async def running(database_url: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application, without a server in front of it."""
    app = create_app(
        Settings(database_url=database_url, **({"broadcast_url": "memory://"} | settings))
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def test_everything_is_where_the_documents_say(database_url: str) -> None:
    async with running(database_url) as client:
        for path in ("/", "/docs/", "/c8/player-api.js", "/healthz/live", "/healthz/ready"):
            assert (await client.get(path)).status_code == 200, path
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
        assert answer.json() == {"data": {"__typename": "Query"}}
        assert (await client.get("/graphql?query={__typename}")).status_code == 200


async def test_the_pages_can_be_switched_off_and_the_rest_stays(database_url: str) -> None:
    async with running(database_url, graphiql=False) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/healthz/ready")).status_code == 200


async def test_production_offers_no_more_than_the_public_needs(database_url: str) -> None:
    search = '(projectId: "p", widgetId: "w", query: $query) { messages { id } }'
    async with running(database_url, env="production", jwt_secret=STRONG) as client:

        async def refused(query: str, given: object = None) -> tuple[str, str]:
            body = {"query": query, "variables": {"query": given}}
            answer = await client.post("/graphql", json=body)
            error = answer.json()["errors"][0]
            return error["extensions"]["code"], error["message"]

        for path in ("/", "/docs/", "/graphql"):
            answer = await client.get(path, headers={"accept": "text/html"})
            assert answer.status_code in {404, 400, 406}, path
        code, message = await refused("{ __schema { queryType { name } } }")
        assert (code, "disabled" in message) == ("GRAPHQL_VALIDATION_FAILED", True)
        publish = 'mutation { publish(projectId: "p", widgetId: "w", data: 1) { id } }'
        assert (await refused(publish))[0] == "UNAUTHENTICATED"
        asked = f"query ($query: MessageQuery! = {{}}) {{ messages{search} }}"
        for query, given in (
            ("{ mesages }", None),
            (asked.replace("{}", "{sortOrder: ASCC}"), {}),
            (asked, {"sortOrder": "ASCC"}),
            (asked, {"limitt": 1}),
        ):
            assert "Did you mean" not in (await refused(query, given))[1]
        answer = await client.post("/graphql", json={"query": asked})
        assert answer.json() == {"data": {"messages": {"messages": []}}}


async def test_production_does_not_start_with_what_is_unsafe(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="repeats itself"):
        create_app(Settings(database_url=database_url, env="production", jwt_secret="a" * 32))


async def test_an_origin_that_is_allowed_may_read_the_answer(database_url: str) -> None:
    """Requests with an Origin take the long way, with CORS; those without need none."""
    async with running(database_url, allowed_origins="https://a.example") as client:
        for origin, allowed in (
            ("https://a.example", "https://a.example"),
            ("https://b.example", None),
        ):
            answer = await client.post(
                "/graphql", json={"query": "{ __typename }"}, headers={"Origin": origin}
            )
            assert answer.headers.get("access-control-allow-origin") == allowed


async def test_no_answer_is_older_than_what_another_process_has_acknowledged(
    database_url: str, database: Database
) -> None:
    """Each asks often enough to be answered from memory, and each publish is the other's."""
    count = '{ messages(projectId: "p", widgetId: "w") { totalCount messages { id } } }'
    publish = 'mutation { publish(projectId: "p", widgetId: "w", data: 1) { id } }'
    async with (
        running(database_url, broadcast_url="postgres") as one,
        running(database_url, broadcast_url="postgres") as other,
    ):

        async def told(client: httpx.AsyncClient) -> set[tuple[int, int]]:
            answers = [await client.post("/graphql", json={"query": count}) for _ in range(3)]
            found = [answer.json()["data"]["messages"] for answer in answers]
            return {(result["totalCount"], len(result["messages"])) for result in found}

        for number in range(1, 9):
            publisher, reader = (one, other) if number % 2 else (other, one)
            assert (await publisher.post("/graphql", json={"query": publish})).status_code == 200
            assert await told(reader) == await told(publisher) == {(number, number)}
        await database.fetch("DELETE FROM messages WHERE sequence <= 3")
        assert await told(one) == await told(other) == {(5, 5)}


async def test_a_process_that_drains_is_ready_no_more(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url, broadcast_url="memory://"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        app.state.leave()
        ready = await client.get("/healthz/ready")
        assert ready.status_code == 503
        assert "shutting down" in ready.text
        assert (await client.get("/healthz/live")).status_code == 200
        await app.state.drain()


def test_without_a_database_the_command_to_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIDGETWIRE_DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL: .* `widgetwire serve` starts"):
        create_app(Settings())


def test_a_key_that_cannot_verify_anything_is_told_before_the_start() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"
    settings = Settings(database_url="postgresql://127.0.0.1:1/none", jwt_public_key=pem)
    with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY"):
        create_app(settings)
