"""The whole application in this process, asked as a client asks it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest

from app.composition import create_app
from app.config import Settings

Ask = Callable[..., Awaitable[Any]]
SECRET = "a secret of thirty-two bytes, at least"


@pytest.fixture
async def ask(database_url: str) -> AsyncIterator[Ask]:
    """Send a document with variables over HTTP, and return the answer's JSON.

    `ask(document, score=1)`; nothing but the socket is missing.
    """
    async with asking(database_url, {}) as send:
        yield send


@pytest.fixture
async def administer(database_url: str) -> AsyncIterator[Ask]:
    """Ask with a token that grants everything."""
    permissions = ["publish", "subscribe", "search", "admin"]
    token = jwt.encode({"sub": "ada", "permissions": permissions}, SECRET)
    async with asking(database_url, {"authorization": f"Bearer {token}"}) as send:
        yield send


@asynccontextmanager
async def asking(database_url: str, headers: dict[str, str]) -> AsyncIterator[Ask]:
    """Run the application, and ask it with these headers."""
    settings = {"database_url": database_url, "broadcast_url": "memory://", "jwt_secret": SECRET}
    app = create_app(Settings.model_validate(settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", headers=headers
        ) as client,
    ):

        async def send(document: str, **variables: object) -> Any:
            body = {"query": document, "variables": variables}
            return (await client.post("/graphql", json=body)).json()

        yield send
