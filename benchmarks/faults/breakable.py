"""Servers that are stopped without warning and started again: Postgres and Redis."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.embedded.cluster import Cluster

__all__ = ["BreakablePostgres", "BreakableRedis", "breakable_postgres", "redis_program"]

_SETTINGS: Final = {
    "max_connections": "200",
    # Counts how often each statement is executed.
    "shared_preload_libraries": "pg_stat_statements",
}
_START_SECONDS: Final = 10.0


class BreakablePostgres:
    """An embedded Postgres of its own, durable as by default."""

    def __init__(self, directory: Path) -> None:
        self._cluster = Cluster(directory, _SETTINGS)
        self._cluster.make()
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it, with recovery; returns when it takes connections."""
        self.url = self._cluster.start()

    def stop(self) -> None:
        """End it as a crash would. Idempotent."""
        self._cluster.stop("immediate")


@contextmanager
def breakable_postgres() -> Iterator[BreakablePostgres]:
    """Run an empty Postgres; whatever WIDGETWIRE_DATABASE_URL says, since it will be stopped."""
    # Not below a deep path: Postgres' socket path must be short.
    directory = Path(tempfile.mkdtemp(prefix="widgetwire-bench-"))
    directory.chmod(0o711)
    try:
        server = BreakablePostgres(directory)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def redis_program() -> str | None:
    """Where a Redis server is; None: not on this machine."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class BreakableRedis:
    """A Redis that keeps nothing, on a port of its own."""

    def __init__(self, program: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}"
        arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._command = [program, *arguments, "--port", str(self._port)]
        self.start()

    def start(self) -> None:
        """Start it; returns when it takes connections.

        Raises:
            RuntimeError: it does not within 10 s.
        """
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{self._command[0]} does not start") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Kill it. Idempotent."""
        self._process.kill()
        self._process.wait()
