"""The way to the database is swallowed, cut, or loses the answer to a COMMIT."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.conftest import SECRET
from tests.acceptance.graphql_socket import GraphQLSocket, Refused
from tests.acceptance.steady_load import SteadyLoad
from tests.acceptance.tokens import token
from tests.acceptance.widget import Widget
from tests.conftest import cloned
from tests.link import Link
from tests.served import Served

pytestmark = pytest.mark.anyio


class Way:
    """From a service to the database of a test, over a port of this machine."""

    def __init__(self, link: Link, database_url: str) -> None:
        self.link = link
        parts = urlsplit(database_url)
        options = parse_qs(parts.query)
        self._socket = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
        self.url = f"postgresql://{parts.username}@127.0.0.1:{link.port}{parts.path}"
        self.lead()

    def lead(self) -> None:
        """Let new connections reach the database."""
        self.link.leads_to = self._socket

    def refuse(self) -> None:
        """Break all connections, and refuse new ones."""
        self.link.leads_to = f"{self._socket}.gone"
        self.link.cut()


@pytest.fixture(scope="module")
def way(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Way]:
    with Link() as link:
        for url in cloned(postgres, template_database):
            yield Way(link, url)


@pytest.fixture(scope="module")
def served(way: Way) -> Iterator[Served]:
    """A service behind the link; each test leaves that as it was."""
    settings = {"WIDGETWIRE_PUBLISH_TIMEOUT_SECONDS": "1", "WIDGETWIRE_JWT_SECRET": SECRET}
    served = Served(way.url, settings, ())
    try:
        served.wait_until_ready()
        yield served
    finally:
        served.close()


async def test_a_black_hole_costs_a_publish_its_time_and_no_connection_for_good(
    served: Served, way: Way
) -> None:
    """No reset and no end: what was sent is gone, and so is every connection, unknowingly."""
    async with SteadyLoad(served) as load:
        way.link.swallow()
        async with GraphQLSocket(served) as socket:
            began = time.monotonic()
            with pytest.raises(Refused) as refused:
                await Widget.new().publish(socket, "into it")
        assert refused.value.code == "UNAVAILABLE"
        assert time.monotonic() - began < 3
        way.lead()
        await load.goes_on(10)
        await load.settle()
    assert set(load.refused) == {"UNAVAILABLE"}
    assert "Traceback" not in served.output


async def test_a_subscription_begins_late_and_not_with_an_error(served: Served, way: Way) -> None:
    """For graphql-ws and Apollo an error ends it, however short the outage was."""
    widget = Widget.new()
    async with GraphQLSocket(served) as before, GraphQLSocket(served) as socket:
        first = await widget.publish(before, 1)
        way.refuse()
        # Channels that the process has open would be joined without the database.
        waiting = [
            asyncio.create_task(begin)
            for begin in (
                widget.subscribe(socket, after=first["id"]),
                Widget.new().live(before),
                Widget.new().watch(before),
            )
        ]
        way.link.refused.clear()
        await asyncio.to_thread(way.link.refused.wait, 20)
        way.lead()
        messages, result, count = await asyncio.gather(*waiting)
        await widget.publish_persistently(before, 2)
        assert (await messages.next())["data"] == 2
        assert (await result.next())["totalCount"] == 0
        assert (await count.next())["count"] == 0
    assert "Traceback" not in served.output


async def test_what_was_committed_is_acknowledged_though_its_answer_was_lost(
    served: Served, way: Way
) -> None:
    """Each kind of writing: it is asked for again, happens once, and is told once."""
    widget, lost = Widget.new(), way.link.answers_lost
    everybody = ("publish", "subscribe", "search", "moderate")
    async with (
        GraphQLSocket(served, {"authToken": token("ann")}) as ann,
        GraphQLSocket(served, {"authToken": token("mo", *everybody)}) as mo,
    ):
        events = await widget.events(ann)
        way.link.lose_the_answer_to(b"key-1")
        first = await widget.publish(ann, 1, id="key-1")
        way.link.lose_the_answer_to(b"key-1")
        second = await widget.publish(ann, 2, id="key-1", on_repeat="REPLACE")
        way.link.lose_the_answer_to(b"a bad joke")
        assert await widget.retract(mo, second["id"], reason="a bad joke") == 1
        await widget.hold("UNTIL_APPROVED", mo)
        way.link.lose_the_answer_to(b"key-2")
        held = await widget.publish(ann, 3, id="key-2")
        # Uuids go over the wire in binary.
        way.link.lose_the_answer_to(UUID(held["id"]).bytes)
        assert await widget.approve(mo, [held["id"]]) == 1
        assert way.link.answers_lost - lost == 5
        told = [await events.next() for _ in range(7)]
        assert [_short(event) for event in told if _short(event)] == [
            ("published", first["id"]),
            ("retracted", first["id"]),
            ("published", second["id"]),
            ("retracted", second["id"]),
            ("published", held["id"]),
        ]
        assert [one["id"] for one in await widget.stored(ann)] == [held["id"]]
    assert "Traceback" not in served.output


def _short(event: dict[str, Any]) -> tuple[str, str] | None:
    match event["kind"]:
        case "MessagePublished":
            return "published", event["message"]["id"]
        case "MessagesRetracted":
            (one,) = event["ids"]
            return "retracted", one
    return None
