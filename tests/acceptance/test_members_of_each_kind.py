"""Whoever listens, over whatever carries it: a process is frozen, stopped and killed."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.raw_member import KINDS, SOCKETS, RawMember
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

MEMBERS: Final = int(os.environ.get("MEMBERS", "50"))
FROZEN_SECONDS: Final = float(os.environ.get("FROZEN_SECONDS", "2"))
"""At full size: `MEMBERS=1000 FROZEN_SECONDS=15 pytest` with this file."""

_AT_ONCE: Final = 50


@pytest.fixture(autouse=True)
def _files() -> None:
    """As many files as the system allows; inherited by the service."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def listening(served: Served, widget: Widget) -> AsyncIterator[list[RawMember]]:
    """Yield members of each kind, each with the channel's only message."""
    members: list[RawMember] = []
    try:
        for kind in KINDS:
            for _ in range(0, MEMBERS, _AT_ONCE):
                opened = await asyncio.gather(
                    *(RawMember.open(served, kind, widget) for _ in range(min(_AT_ONCE, MEMBERS)))
                )
                members += opened
                for member in opened:
                    await member.until(b'"first"')
        yield members
    finally:
        for member in members:
            member.close()


async def test_a_frozen_process_goes_on_for_everybody(serve: Callable[..., Served]) -> None:
    widget, served = Widget.new(), serve()
    async with GraphQLSocket(serve()) as elsewhere:
        await widget.publish(elsewhere, "first")
        async with listening(served, widget) as members:
            os.killpg(served.process.pid, signal.SIGSTOP)
            await widget.publish(elsewhere, "meanwhile")
            await asyncio.sleep(FROZEN_SECONDS)  # the fault itself
            os.killpg(served.process.pid, signal.SIGCONT)
            await widget.publish(elsewhere, "then")
            for member in members:
                await member.until(b'"then"')
                # A result may skip what was published between two of its readings.
                if member.kind != "live result":
                    came = [member.received.count(each) for each in (b'"meanwhile"', b'"then"')]
                    assert came == [1, 1], member.kind
            assert not [member.kind for member in members if member.ended]


async def test_a_stopped_process_tells_everybody_to_come_back(
    serve: Callable[..., Served],
) -> None:
    widget, served = Widget.new(), serve()
    async with GraphQLSocket(serve()) as elsewhere:
        await widget.publish(elsewhere, "first")
    async with listening(served, widget) as members:
        served.terminate()
        for member in members:
            await member.end()
            if member.kind in SOCKETS:
                assert member.close_code == 1012, member.kind
            # It would tell a client that there is nothing to come back for.
            assert b"complete" not in member.received, member.kind
        assert await asyncio.to_thread(served.wait) == 0


async def test_after_a_kill_everybody_listens_to_the_next_process(
    serve: Callable[..., Served],
) -> None:
    widget, killed = Widget.new(), serve()
    async with GraphQLSocket(serve()) as elsewhere:
        await widget.publish(elsewhere, "first")
        async with listening(killed, widget) as members:
            await asyncio.to_thread(killed.kill)
            for member in members:
                await member.end()
        async with listening(serve(), widget) as members:
            await widget.publish(elsewhere, "then")
            for member in members:
                await member.until(b'"then"')
