"""An idempotency key belongs to the publisher, not to whoever claims the client id."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import jwt
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.conftest import cloned
from tests.served import Served
from tests.transports.legacy.served import Client

pytestmark = pytest.mark.anyio

_SECRET = "a secret of more than thirty-two bytes"
# Anna's client id is on each of her messages: everybody knows it.
_ANNAS = "annas-widget"


def _token(subject: str) -> str:
    return jwt.encode({"sub": subject}, _SECRET, "HS256")


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Served]:
    """A service that takes tokens."""
    for url in cloned(postgres, template_database):
        service = Served(url, {"WIDGETWIRE_JWT_SECRET": _SECRET}, ())
        try:
            service.wait_until_ready()
            yield service
        finally:
            service.close()


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("wire", ["GraphQL", "legacy"])
async def test_nobody_uses_up_the_key_of_another_by_claiming_the_client_id(
    served: Served, wire: str, persistent: bool
) -> None:
    """Bob voted under Anna's client id, and Anna's own vote was answered with his."""
    widget = Widget.new()
    async with AsyncExitStack() as sockets:

        async def vote(subject: str | None, client_id: str = _ANNAS) -> dict[str, Any]:
            data = subject or "nobody"
            if wire == "GraphQL":
                payload = None if subject is None else {"authToken": _token(subject)}
                socket = await sockets.enter_async_context(GraphQLSocket(served, payload))
                return await widget.publish(
                    socket, data, id="vote", client_id=client_id, persistent=persistent
                )
            url = f"{served.ws_url}/c8/{widget.project}/{widget.widget}"
            legacy = await sockets.enter_async_context(Client(url, {}))
            token = {} if subject is None else {"token": _token(subject)}
            await legacy.open(client_id=client_id, persistent=persistent, **token)
            return await legacy.publish(data, id="vote")

        bobs, nobodys, annas = await vote("bob"), await vote(None), await vote("anna")
        assert [one["data"] for one in (bobs, nobodys, annas)] == ["bob", "nobody", "anna"]
        # Each retry finds its own, from whatever widget instance a user comes.
        assert (await vote("anna", "another-widget"))["id"] == annas["id"]
        assert (await vote("bob"))["id"] == bobs["id"]
        assert (await vote(None))["id"] == nobodys["id"]
        # A claimed id that looks like a publisher is a claimed id.
        assert (await vote(None, "sub:anna"))["id"] not in {bobs["id"], annas["id"]}
        reader = await sockets.enter_async_context(GraphQLSocket(served))
        assert len(await widget.stored(reader)) == (4 if persistent else 0)


async def test_processes_agree_on_client_tokens_without_a_setting(
    pair: tuple[Served, Served],
) -> None:
    """The secret is kept in the database that they share."""
    token: str | None = None
    seen: set[str] = set()
    async with httpx.AsyncClient(timeout=10) as http:
        for served in (*pair, *pair):
            headers = {} if token is None else {"widgetwire-client": token}
            body = {"query": "{ viewer { clientId clientToken } }"}
            answer = (await http.post(f"{served.url}/graphql", json=body, headers=headers)).json()
            token = answer["data"]["viewer"]["clientToken"]
            seen.add(answer["data"]["viewer"]["clientId"])
    assert len(seen) == 1
