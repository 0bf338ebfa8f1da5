"""The servers under test: a process of their own on a core of its own, and their Postgres."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Literal, cast

import asyncpg
import psutil
import uvloop

from app.storage.embedded import EmbeddedPostgres
from benchmarks.machine import load_core, pin, server_core, worker_core

__all__ = ["Kind", "Server", "postgres", "serve"]

Kind = Literal["widgetwire", "stock"]

_ROOT: Final = Path(__file__).parents[1]
_READY: Final = re.compile(r"ready on http://[^:]+:(\d+)")
_COMMANDS: Final[dict[Kind, list[str]]] = {
    "widgetwire": ["-m", "app.cli", "serve", "--port", "0", "--migrate"],
    "stock": ["-m", "benchmarks.stock"],
}
_SETTINGS: Final = {
    "WIDGETWIRE_LOG_LEVEL": "error",
    # Of 16 publishers some have nothing to do for seconds.
    "WIDGETWIRE_KEEP_ALIVE_SECONDS": "3600",
    # Raw readers answer no pings.
    "WIDGETWIRE_PING_INTERVAL_SECONDS": "3600",
    "WIDGETWIRE_PING_TIMEOUT_SECONDS": "3600",
}


@contextmanager
def postgres() -> Iterator[str]:
    """Run an empty Postgres on the load's core, durable as by default; yield its address.

    WIDGETWIRE_DATABASE_URL, where it is set, is used instead: another machine's, say. Its
    tables are filled.
    """
    if url := os.environ.get("WIDGETWIRE_DATABASE_URL"):
        yield url
        return
    # Not below a deep path: Postgres' socket path must be short.
    directory = Path(tempfile.mkdtemp(prefix="widgetwire-bench-"))
    directory.chmod(0o711)
    cores = os.sched_getaffinity(0)
    try:
        pin(0, load_core())
        with EmbeddedPostgres(directory, {"max_connections": "200"}) as server:
            os.sched_setaffinity(0, cores)
            yield server.url
    finally:
        os.sched_setaffinity(0, cores)
        shutil.rmtree(directory, ignore_errors=True)


class Server:
    """A running server and what it uses of the machine.

    Args:
        kind: ours, or the one built as the tutorials show.
        database_url: an empty or an earlier benchmark's database.
        workers: processes; each gets a core.
        settings: further `WIDGETWIRE_…`.
    """

    def __init__(
        self,
        kind: Kind,
        database_url: str,
        workers: int = 1,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.kind: Kind = kind
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WIDGETWIRE_")}
        environment |= _SETTINGS | {
            "WIDGETWIRE_DATABASE_URL": database_url,
            "WIDGETWIRE_WORKERS": str(workers),
        }
        environment |= settings or {}
        cores = os.sched_getaffinity(0)
        if workers == 1:
            pin(0, server_core())
        self.process = subprocess.Popen(
            [sys.executable, *_COMMANDS[kind]],
            cwd=_ROOT,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.sched_setaffinity(0, cores)
        self.port = self._wait_until_ready()
        parent = psutil.Process(self.process.pid)
        self.processes = [parent] if workers == 1 else parent.children()
        for number, worker in enumerate(self.processes if workers > 1 else ()):
            pin(worker.pid, worker_core(number))

    def cpu_seconds(self) -> float:
        """CPU time used so far, by all workers."""
        return sum(self.cpu_seconds_each())

    def cpu_seconds_each(self) -> list[float]:
        """CPU time used so far, by each worker."""
        times = [process.cpu_times() for process in self.processes]
        return [one.user + one.system for one in times]

    def resident_bytes(self) -> int:
        """Memory in use, by all workers."""
        return sum(process.memory_info().rss for process in self.processes)

    def open_files(self) -> int:
        """Open descriptors of all workers."""
        return sum(process.num_fds() for process in self.processes)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until_ready(self) -> int:
        output = cast("IO[str]", self.process.stdout)
        deadline = time.monotonic() + 60
        while line := output.readline():
            if match := _READY.search(line):
                return int(match.group(1))
            if time.monotonic() > deadline:
                break
        raise RuntimeError(f"the {self.kind} server did not start: exit {self.process.wait(5)}")


@contextmanager
def serve(
    kind: Kind, database_url: str, workers: int = 1, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run a server on an emptied database of its own kind."""
    uvloop.run(_empty(database_url))
    server = Server(kind, database_url, workers, settings)
    pin(0, load_core())
    try:
        yield server
    finally:
        server.stop()


async def _empty(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        # What one run has written must not slow the next one down.
        for table in ("messages", "channels", "stock_message"):
            if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
                await connection.execute(f"TRUNCATE {table}")
    finally:
        await connection.close()
