"""Searches give way where their server processes are ours, and only there."""

import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from app.storage.backend_priority import NICENESS, give_way
from app.storage.database import Database

pytestmark = pytest.mark.anyio


class Connection:
    """A connection to a server process of this number, by this socket."""

    def __init__(self, over: socket.socket | None, pid: int) -> None:
        self._transport = SimpleNamespace(get_extra_info=lambda _name: over)
        self._pid = pid

    def get_server_pid(self) -> int:
        return self._pid


async def lowered(over: socket.socket | None, pid: int, changed: list[int]) -> bool:
    changed.clear()
    connection: Any = Connection(over, pid)
    await give_way(connection)
    return bool(changed)


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes whose priority would have been changed."""
    found: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda _which, pid, _niceness: found.append(pid))
    return found


async def test_the_server_process_of_a_search_gets_the_lowest_turn(database_url: str) -> None:
    database = await Database.connect(database_url, prepare=give_way)
    ((pid,),) = await database.fetch("SELECT pg_backend_pid()")
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    await database.close()


async def test_the_number_of_another_machines_process_is_none_of_ours(changed: list[int]) -> None:
    """Over TCP nothing says whose process it is: the number may be anybody's here."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as over,
    ):
        assert not await lowered(over, os.getpid(), changed)
    assert not await lowered(None, os.getpid(), changed)


async def test_a_process_that_the_listener_did_not_start_is_left_alone(
    changed: list[int],
) -> None:
    """A container's socket may be mounted here; its numbers are its own."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for pid in (os.getpid(), os.getppid(), 2**22 + 1):
            assert not await lowered(ours, pid, changed)


async def test_what_may_not_be_done_is_left(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_which: int, _pid: int, _niceness: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    database = await Database.connect(database_url, prepare=give_way)
    assert [tuple(row) for row in await database.fetch("SELECT 1")] == [(1,)]
    await database.close()
