"""The `viewer` query: who is asking, and a client id with its token for whoever has none."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest

from app.composition import create_app
from app.config import Settings

pytestmark = pytest.mark.anyio

SECRET = "a secret of more than thirty-two bytes"
VIEWER = "{ viewer { sub username clientId clientToken projects permissions } }"


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        Settings(database_url=database_url, broadcast_url="memory://", jwt_secret=SECRET)
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def asked(
    client: httpx.AsyncClient, query: str = VIEWER, /, token: str | None = None, **claims: Any
) -> Any:
    """Return the data of the answer, asked with a client token and with a token of these claims."""
    headers = {} if token is None else {"widgetwire-client": token}
    if claims:
        headers["authorization"] = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    response = await client.post("/graphql", json={"query": query}, headers=headers)
    return response.json()["data"]


async def test_whoever_is_anonymous_gets_an_id_and_keeps_it(client: httpx.AsyncClient) -> None:
    first = (await asked(client))["viewer"]
    assert first["clientId"].startswith("signed-")
    assert [first[one] for one in ("sub", "username", "projects")] == [None, None, None]
    assert first["permissions"] == ["publish", "subscribe", "search"]
    again = (await asked(client, token=first["clientToken"]))["viewer"]
    assert again["clientId"] == first["clientId"]
    assert (await asked(client, token=again["clientToken"]))["viewer"]["clientId"] == (
        first["clientId"]
    )
    assert (await asked(client))["viewer"]["clientId"] != first["clientId"]


async def test_within_one_request_it_is_one_id(client: httpx.AsyncClient) -> None:
    data = await asked(client, "{ a: viewer { clientId } b: viewer { clientId clientToken } }")
    assert data["a"]["clientId"] == data["b"]["clientId"]


async def test_a_token_is_told_as_the_server_understands_it(client: httpx.AsyncClient) -> None:
    claims: dict[str, Any] = {"projects": ["b", "a"], "permissions": ["admin"]}
    assert (await asked(client, sub="u1", username="anna", **claims))["viewer"] == {
        "sub": "u1",
        "username": "anna",
        "clientId": None,
        "clientToken": None,
        "projects": ["a", "b"],
        "permissions": ["moderate", "admin"],
    }


async def test_a_token_and_a_client_token_go_together(client: httpx.AsyncClient) -> None:
    client_token = (await asked(client))["viewer"]["clientToken"]
    both = (await asked(client, token=client_token, sub="u1"))["viewer"]
    assert (both["sub"], both["clientToken"] is None) == ("u1", False)
    without_sub = (await asked(client, username="anna"))["viewer"]
    assert without_sub["clientId"].startswith("signed-")


async def test_the_answer_is_kept_nowhere(client: httpx.AsyncClient) -> None:
    for query in (
        VIEWER,
        "{ ...f } fragment f on Query { x: viewer { permissions } }",
        '{ messages(projectId: "p", widgetId: "w") { totalCount } viewer { clientId } }',
    ):
        params = {"query": query}
        for accept in ("application/json", "application/graphql-response+json"):
            asking = {"accept": accept, "if-none-match": "*"}
            response = await client.get("/graphql", params=params, headers=asking)
            assert response.status_code == 200
            assert '"data"' in response.text
            assert response.headers["cache-control"] == "no-store"
            assert "etag" not in response.headers
        streamed = await client.get(
            "/graphql", params=params, headers={"accept": "text/event-stream"}
        )
        posted = await client.post("/graphql", json={"query": query})
        for response in (streamed, posted):
            assert response.headers["cache-control"] == "no-store"


async def test_equal_questions_get_answers_of_their_own(client: httpx.AsyncClient) -> None:
    found = [(await asked(client))["viewer"]["clientId"] for _ in range(5)]
    assert len(set(found)) == 5
