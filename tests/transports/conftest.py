"""A running service, for tests of what it refuses."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import jwt
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import cloned
from tests.hosted import hosted
from tests.transports.refusing import SECRET, Service


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # What was refused is told once a minute, whatever it was.
        refusal = record.name in {"app.transports.refusals", "app.wire.closings"}
        if record.levelno >= logging.ERROR or not refusal:
            self.texts.append(self.format(record))


@pytest.fixture(scope="module")
def service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Service]:
    log = _Complaints()
    logging.getLogger().addHandler(log)
    for url in cloned(postgres, template_database):
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            host = runner.run(stack.enter_async_context(hosted(url, jwt_secret=SECRET)))
            claims = {
                "sub": "moderator",
                "permissions": ["publish", "subscribe", "search", "admin"],
            }
            token = jwt.encode(claims, SECRET, "HS256")
            http = httpx.AsyncClient(
                base_url=f"http://{host}",
                timeout=20,
                headers={"authorization": f"Bearer {token}"},
            )
            # What tests and libraries have made is not the service's to walk through.
            gc.collect()
            gc.freeze()
            yield Service(runner, host, http, log.texts)
            gc.unfreeze()
            stored = runner.run(_stored(http))
            runner.run(http.aclose())
            runner.run(stack.aclose())
            assert stored == []
    logging.getLogger().removeHandler(log)
    assert not log.texts


async def _stored(http: httpx.AsyncClient) -> Any:
    """Return what the project of bad requests has: messages or bans would be a defect."""
    document = """{
        channels(projectId: "bad-input") { widgetId lastCreated }
        bans(projectId: "bad-input") { id }
    }"""
    data = (await http.post("/graphql", json={"query": document})).json()["data"]
    # A channel that somebody is connected to is listed as well.
    written = [one for one in data["channels"] if one["lastCreated"] is not None]
    return written + data["bans"]
