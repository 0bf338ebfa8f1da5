"""The whole application in this process, asked as a client asks it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.composition import create_app
from app.config import Settings

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
async def ask(database_url: str) -> AsyncIterator[Ask]:
    """Send a document with variables over HTTP, and return the answer's JSON.

    `ask(document, score=1)`; nothing but the socket is missing.
    """
    app = create_app(Settings(database_url=database_url, broadcast_url="memory://"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):

        async def send(document: str, **variables: object) -> Any:
            body = {"query": document, "variables": variables}
            return (await client.post("/graphql", json=body)).json()

        yield send
