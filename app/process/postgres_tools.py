"""PostgreSQL's own tools on the service's database, embedded or not.

The programs come with the embedded PostgreSQL, so that they are as new as any server that the
service is tested with: `pg_dump` refuses servers that are newer than itself.
"""

import contextlib
import gzip
import os
import shutil
import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from app.embedded.account import account_for
from app.embedded.programs import program_path
from app.errors import ConfigurationError
from app.process.moving.connecting import connected

__all__ = ["PostgresTools", "others_connected", "stored_anything"]

_EMPTY: Final = b"""
SET client_min_messages = warning;
BEGIN;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""
"""What the backup does not have is gone too: a table of a newer version, say."""
_BEGINNING: Final = b"--\n-- PostgreSQL database dump\n"
_OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
"""


async def stored_anything(url: str) -> bool:
    """Return whether anything was ever published there.

    Raises:
        DatabaseUnreachable: the database is away.
    """
    async with connected(url, "restore") as connection:
        there = await connection.fetchval("SELECT to_regclass('channels') IS NOT NULL")
        return bool(there and await connection.fetchval("SELECT EXISTS (SELECT FROM channels)"))


async def others_connected(url: str) -> int:
    """Return how many connections others have to the database.

    Raises:
        DatabaseUnreachable: the database is away.
    """
    async with connected(url, "restore") as connection:
        others: int = await connection.fetchval(_OTHERS)
        return others


@dataclass(frozen=True, slots=True)
class PostgresTools:
    """The tools, on one database.

    Attributes:
        url: of the database.
        data_dir: of the embedded one; None: the database is external.
    """

    url: str
    data_dir: Path | None

    def psql(self, arguments: Sequence[str]) -> int:
        """Run `psql` with this terminal; return its exit code.

        Args:
            arguments: for psql, after the database.

        Raises:
            ConfigurationError: it cannot be executed.
        """
        with self._started("psql", [self._address(), *arguments]) as psql:
            return psql.wait()

    def dump(self, file: IO[bytes]) -> bool:
        """Write a backup of one moment, as compressed SQL; return whether it is whole.

        What went wrong is on standard error.

        Raises:
            ConfigurationError: `pg_dump` cannot be executed.
        """
        arguments = [self._address(), "--compress=gzip:6", "--no-owner", "--no-privileges"]
        with self._started("pg_dump", arguments, stdout=file) as pg_dump:
            return pg_dump.wait() == 0

    def load(self, file: IO[bytes]) -> bool:
        """Replace all that the database has by a backup; return whether that was done.

        In one transaction: where it was not done, nothing was changed, and what went wrong is on
        standard error.

        Raises:
            ConfigurationError: the file is no whole backup, or `psql` cannot be executed.
        """
        quiet = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        with self._started("psql", [self._address(), *quiet], stdin=subprocess.PIPE) as psql:
            assert psql.stdin is not None
            try:
                psql.stdin.write(_EMPTY)
                # The checksum at its end tells a whole file from a part of one.
                with gzip.open(file) as sql:
                    if not sql.peek(len(_BEGINNING)).startswith(_BEGINNING):
                        raise gzip.BadGzipFile("it is not pg_dump's")
                    shutil.copyfileobj(sql, psql.stdin)
                psql.stdin.write(b"\nCOMMIT;\n")
            except BrokenPipeError:
                pass  # psql has said why it ended
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                # It never comes to COMMIT, so that all is as it was. Killed: what it was in the
                # middle of would be an error to tell of.
                psql.kill()
                raise ConfigurationError(f"it is no whole backup ({error})") from None
            finally:
                with contextlib.suppress(BrokenPipeError):
                    psql.stdin.close()
            return psql.wait() == 0

    def _address(self) -> str:
        """The address without its password, which other users of the machine could read."""
        parts = urlsplit(self.url)
        if parts.password is None:
            return self.url
        credentials, _, host = parts.netloc.rpartition("@")
        username = credentials.partition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{username}@{host}"))

    def _started(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        stdin: Any = None,
        stdout: Any = None,
    ) -> "subprocess.Popen[bytes]":
        environment = dict(os.environ)
        if (password := urlsplit(self.url).password) is not None:
            environment["PGPASSWORD"] = unquote(password)
        command: Sequence[str] = [str(program_path(program)), *arguments]
        user = group = None
        if self.data_dir is not None:
            account = account_for(self.data_dir / "postgres")
            command, user, group = account.command(command, entering=(self.data_dir / "run",))
        try:
            return subprocess.Popen(  # noqa: S603 - the wheel's own programs, no shell
                command,
                user=user,
                group=group,
                extra_groups=None if user is None else (),
                env=environment,
                stdin=stdin,
                stdout=stdout,
            )
        except OSError as error:
            raise ConfigurationError(
                f"PostgreSQL's program {program} cannot be executed: {error}"
            ) from None
