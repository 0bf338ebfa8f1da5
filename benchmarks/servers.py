"""The servers under test: a process of their own on a core of its own, and their Postgres."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Final, Literal, cast

import asyncpg
import psutil
import uvloop

from app.embedded.postgres import EmbeddedPostgres
from benchmarks.launch import Launch, LeftOutError
from benchmarks.machine import load_core, on_core, pin, server_core, worker_core
from benchmarks.rivals import mercurius, nchan
from benchmarks.tree import TREE

__all__ = ["RIVALS", "Kind", "Server", "another", "postgres", "present", "serve"]

Kind = Literal["widgetwire", "stock", "mercurius", "nchan"]

RIVALS: Final[tuple[Kind, ...]] = ("mercurius", "nchan")
"""Those that need more than Python."""

_READY: Final = re.compile(r"ready on http://[^:]+:(\d+)")
_START_SECONDS: Final = 60
_LAUNCHES: Final[dict[Kind, Callable[[], AbstractContextManager[Launch]]]] = {
    "widgetwire": lambda: nullcontext(_ours()),
    "stock": lambda: nullcontext(_python("benchmarks.stock")),
    "mercurius": mercurius.launch,
    "nchan": nchan.launch,
}
_TABLES: Final = ("messages", "channels", "stock_message", "mercurius_message")
_SETTINGS: Final = {
    "WIDGETWIRE_LOG_LEVEL": "error",
    # Of 16 publishers some have nothing to do for seconds.
    "WIDGETWIRE_KEEP_ALIVE_SECONDS": "3600",
    # Raw readers answer no pings.
    "WIDGETWIRE_PING_INTERVAL_SECONDS": "3600",
    "WIDGETWIRE_PING_TIMEOUT_SECONDS": "3600",
}


def _python(module: str, *arguments: str) -> Launch:
    command = [sys.executable, "-m", module, *arguments]
    return Launch(command, _SETTINGS | {"PYTHONUNBUFFERED": "1"})


def _ours(port: int = 0) -> Launch:
    return _python("app.cli", "serve", "--port", str(port), "--migrate")


def present(kinds: Sequence[Kind]) -> list[Kind]:
    """Those of `kinds` that can be run on this machine; print why the others cannot."""
    found: list[Kind] = []
    for kind in kinds:
        try:
            with _LAUNCHES[kind]():
                found.append(kind)
        except LeftOutError as error:
            print(f"{kind} is left out: {error}", flush=True)
    return found


@contextmanager
def postgres(kept: Path | None = None) -> Iterator[str]:
    """Run a Postgres on the load's core, durable as by default; yield its address.

    WIDGETWIRE_DATABASE_URL, where it is set, is used instead: another machine's, say. Its
    tables are filled.

    Args:
        kept: its directory, which stays as it is left; None: a new one, removed at the end.
    """
    if url := os.environ.get("WIDGETWIRE_DATABASE_URL"):
        yield url
        return
    # Not below a deep path: Postgres' socket path must be short.
    directory = kept or Path(tempfile.mkdtemp(prefix="widgetwire-bench-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory, {"max_connections": "200"})
    try:
        with on_core(load_core()):
            server.start()
        yield server.url
    finally:
        server.stop()
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)


class Server:
    """A running server and what it uses of the machine.

    Args:
        kind: whose.
        launch: how it is started.
        database_url: an empty or an earlier benchmark's database; None: its own embedded one.
        workers: processes; each gets a core.
        settings: further `WIDGETWIRE_…`.
        log: where it writes what it logs; None: where this process does.
        tree: the checkout that it runs from; None: `TREE`.
    """

    def __init__(
        self,
        kind: Kind,
        launch: Launch,
        database_url: str | None,
        workers: int = 1,
        settings: dict[str, str] | None = None,
        log: IO[str] | None = None,
        tree: Path | None = None,
    ) -> None:
        self.kind: Kind = kind
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WIDGETWIRE_")}
        environment |= launch.environment
        environment |= {"WIDGETWIRE_WORKERS": str(workers)}
        if database_url is not None:
            environment["WIDGETWIRE_DATABASE_URL"] = database_url
        environment |= settings or {}
        with on_core(server_core() if workers == 1 else None):
            self.process = subprocess.Popen(
                launch.command,
                cwd=tree or TREE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        # One that says nothing is ended, and found not to have started.
        overdue = threading.Timer(_START_SECONDS, self.process.kill)
        overdue.start()
        try:
            self.port = self._listening(launch.port) if launch.port else self._announced()
        except BaseException:
            self.stop()
            raise
        finally:
            overdue.cancel()
        parent = psutil.Process(self.process.pid)
        shared = workers > 1 or launch.workers_are_children
        self.processes = parent.children() if shared else [parent]
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

    def holds(self, peer_port: int) -> bool:
        """Whether a worker still has the connection that comes from a port of this machine."""
        return any(
            connection.raddr and connection.raddr.port == peer_port
            for process in self.processes
            for connection in process.net_connections("tcp")
        )

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _announced(self) -> int:
        output = cast("IO[str]", self.process.stdout)
        while line := output.readline():
            if match := _READY.search(line):
                return int(match.group(1))
        raise RuntimeError(f"the {self.kind} server did not start: exit {self.process.wait(5)}")

    def _listening(self, port: int) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                # An answer, as the workers are there only then.
                with socket.create_connection(("127.0.0.1", port), _START_SECONDS) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    if client.recv(1):
                        return port
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise RuntimeError(f"the {self.kind} server did not start: exit {self.process.poll()}")


@contextmanager
def serve(
    kind: Kind,
    database_url: str,
    workers: int = 1,
    settings: dict[str, str] | None = None,
    *,
    emptied: bool = True,
) -> Iterator[Server]:
    """Run a server.

    Args:
        kind: whose.
        database_url: what it works on.
        workers: processes; each gets a core.
        settings: further `WIDGETWIRE_…`.
        emptied: remove first what an earlier benchmark has written there.

    Raises:
        LeftOutError: it is a rival that cannot be run on this machine.
    """
    if emptied:
        uvloop.run(_empty(database_url))
    with _LAUNCHES[kind]() as launch:
        server = Server(kind, launch, database_url, workers, settings)
        try:
            with on_core(load_core()):
                yield server
        finally:
            server.stop()


def another(
    database_url: str | None,
    settings: dict[str, str] | None = None,
    tree: Path | None = None,
    *,
    workers: int = 1,
    port: int = 0,
    log: IO[str] | None = None,
) -> Server:
    """Start one more server of ours on a database as it is; whoever asks for it stops it.

    Args:
        database_url: None: the embedded database.
        settings: further `WIDGETWIRE_…`.
        tree: the checkout that it runs from; None: `TREE`.
        workers: processes.
        port: to listen on; 0: a free one.
        log: as for `Server`.
    """
    return Server("widgetwire", _ours(port), database_url, workers, settings, log, tree)


async def _empty(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        # What one run has written must not slow the next one down.
        for table in _TABLES:
            if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
                await connection.execute(f"TRUNCATE {table}")
    finally:
        await connection.close()
