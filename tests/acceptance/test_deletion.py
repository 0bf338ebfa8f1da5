"""Messages are deleted for good, by whoever may, and both processes follow within a second."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.graphql_socket import GraphQLSocket, Refused, Subscription
from tests.acceptance.widget import Widget
from tests.conftest import cloned
from tests.served import Served

pytestmark = pytest.mark.anyio

SECRET = "a secret of thirty-two bytes, at least"
DELETE = """
    mutation ($project: ID!, $widget: ID!, $filters: [MessageFilter!]! = []) {
      deleteMessages(projectId: $project, widgetId: $widget, filters: $filters)
    }
"""
CHANNELS = """
    query ($project: ID!) {
      channels(projectId: $project, limit: 3) { widgetId messages connections lastCreated }
    }
"""
BAN = 'mutation ($project: ID!) { ban(projectId: $project, input: {username: "Zoé"}) { id } }'
Pair = tuple[Served, Served]
Sockets = tuple[GraphQLSocket, GraphQLSocket]


@pytest.fixture(scope="module")
def services(postgres: EmbeddedPostgres, template_database: str) -> Iterator[tuple[str, Pair]]:
    """Two services that know tokens, and the address of their database."""
    for url in cloned(postgres, template_database):
        made = [Served(url, {"WIDGETWIRE_JWT_SECRET": SECRET}, ()) for _ in range(2)]
        try:
            for one in made:
                one.wait_until_ready()
            yield url, (made[0], made[1])
        finally:
            for one in made:
                one.close()


def token(username: str) -> dict[str, Any]:
    claims = {"sub": f"id of {username}", "username": username}
    permissions = ["publish", "subscribe", "search", "admin"]
    return {"authToken": jwt.encode({**claims, "permissions": permissions}, SECRET)}


@pytest.fixture
async def sockets(services: tuple[str, Pair]) -> AsyncIterator[Sockets]:
    """Ada's connection to each process."""
    _, (first, second) = services
    ada = token("Ada")
    async with GraphQLSocket(first, ada) as one, GraphQLSocket(second, ada) as other:
        yield one, other


async def cursor_is_gone(widget: Widget, socket: GraphQLSocket, cursor: str) -> None:
    """Wait, for a second at the most, until a message's id is no cursor any more."""
    async with asyncio.timeout(1):
        while (code := await refusal(await widget.subscribe(socket, after=cursor))) is None:
            pass
    assert code == "UNKNOWN_CURSOR"


async def refusal(subscription: Subscription) -> str | None:
    """Return the code that a subscription was refused with; None: it was not."""
    if subscription.nothing_waits():
        await subscription.complete()
        return None
    try:
        await subscription.next()
    except Refused as refused:
        return refused.code
    return None


async def test_what_an_administrator_deletes_is_gone_in_both(sockets: Sockets) -> None:
    widget = Widget.new()
    messages = [await widget.publish(sockets[0], number) for number in range(6)]
    heard = [await widget.subscribe(socket) for socket in sockets]
    live = [await widget.live(socket, limit=1) for socket in sockets]
    for subscription in live:
        assert (await subscription.next())["totalCount"] == 6
    filters = [{"field": "data", "operator": "LT", "value": 4}]
    assert await sockets[0].execute(DELETE, **widget.ids, filters=filters) == 4
    for socket in sockets:
        await cursor_is_gone(widget, socket, messages[1]["id"])
        assert [one["data"] for one in await widget.stored(socket)] == [4, 5]
    for subscription in live:
        assert await subscription.next() == {"totalCount": 2, "messages": [{"data": 4}]}
    # Those who are there are told nothing, and go on.
    await widget.publish(sockets[1], "next")
    for subscription in heard:
        assert (await subscription.next())["data"] == "next"
    resumed = await widget.subscribe(sockets[1], after=messages[4]["id"])
    assert [one["data"] for one in await resumed.take(2)] == [5, "next"]
    page = (await sockets[1].execute(CHANNELS, project=widget.project))[0]
    assert page.pop("lastCreated") >= messages[-1]["created"]
    assert page == {"widgetId": widget.widget, "messages": 3, "connections": 2}


async def test_a_person_who_is_erased_is_gone_in_both(
    services: tuple[str, Pair], sockets: Sockets
) -> None:
    url, (first, _) = services
    widget = Widget.new()
    await widget.publish(sockets[0], "Ada's")
    async with GraphQLSocket(first, token("Zoé")) as zoe:
        hers = await widget.publish(zoe, "Zoé's", id="key")
        live = [await widget.live(socket) for socket in sockets]
        for subscription in live:
            assert (await subscription.next())["totalCount"] == 2
        await sockets[0].execute(BAN, project="elsewhere")
        refused = erase(url, "Zoé")
        assert refused.returncode == 2
        assert f"{widget.project}/{widget.widget}  1" in refused.stdout
        assert "--yes: required when standard input is not a terminal" in refused.stderr
        done = erase(url, "Zoé", "--project", widget.project, "--yes")
        assert done.returncode == 0, done.stderr
        assert f"erased 1 messages of 'Zoé' in project {widget.project}" in done.stdout
        assert "bans of this username" not in done.stdout, "there are none in that project"
        for subscription in live:
            shown = {"totalCount": 1, "messages": [{"data": "Ada's"}]}
            assert await subscription.next(3) == shown
        for socket in sockets:
            await cursor_is_gone(widget, socket, hers["id"])
        assert (await widget.publish(zoe, "anew", id="key"))["data"] == "anew"


def erase(url: str, username: str, *further: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
    }
    return subprocess.run(
        [sys.executable, "-m", "app", "erase", "--username", username, *further],
        cwd=Path(__file__).parents[2],
        env=inherited | {"WIDGETWIRE_DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
