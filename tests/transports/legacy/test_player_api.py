from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from app.transports.legacy.player_api import player_api_routes
from app.transports.origins import OriginPolicy

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(
        routes=player_api_routes(),
        middleware=[OriginPolicy(["https://videos.example"]).cors()],
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_the_script_is_served_as_javascript_and_small(client: httpx.AsyncClient) -> None:
    response = await client.get("/c8/player-api.js")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "c8PlayerApi" in response.text
    assert len(response.content) < 14_000


async def test_the_types_lie_beside_it(client: httpx.AsyncClient) -> None:
    response = await client.get("/c8/player-api.d.ts")
    assert response.headers["content-type"].startswith("application/typescript")
    assert "declare var c8PlayerApi" in response.text


async def test_a_known_etag_is_answered_without_the_content(client: httpx.AsyncClient) -> None:
    first = await client.get("/c8/player-api.js")
    assert "max-age=" in first.headers["cache-control"]
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await client.get("/c8/player-api.js", headers={"If-None-Match": known})
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["etag"] == etag
    other = await client.get("/c8/player-api.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_head_has_the_headers_alone(client: httpx.AsyncClient) -> None:
    response = await client.head("/c8/player-api.js")
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) > 1000


async def test_another_origin_may_run_it_and_an_allowed_one_may_read_it(
    client: httpx.AsyncClient,
) -> None:
    allowed = await client.get("/c8/player-api.js", headers={"Origin": "https://videos.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://videos.example"
    assert allowed.headers["cross-origin-resource-policy"] == "cross-origin"
    foreign = await client.get("/c8/player-api.js", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 200
    assert "access-control-allow-origin" not in foreign.headers


async def test_nothing_else_is_served(client: httpx.AsyncClient) -> None:
    assert (await client.post("/c8/player-api.js")).status_code == 405
    assert (await client.get("/c8/player-api.css")).status_code == 404
