"""What goes wrong with a real Postgres, done to it on purpose and taken back."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil

from app.embedded.postgres import EmbeddedPostgres

__all__ = ["cut_listeners", "frozen", "refusing"]

_REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '{sqlstate}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()
"""
_CUT_LISTENERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'widgetwire listener' AND datname = current_database()
"""


async def cut_listeners(database_url: str) -> int:
    """End the connections by which processes of this database hear of one another.

    NOTIFY keeps nothing for a listener that is away. Returns how many they were.
    """
    connection = await asyncpg.connect(database_url)
    try:
        return len(await connection.fetch(_CUT_LISTENERS))
    finally:
        await connection.close()


@contextmanager
def frozen(postgres: EmbeddedPostgres | Path) -> Iterator[None]:
    """Stop every process of the server (SIGSTOP): it is connected, and says nothing.

    Args:
        postgres: the server, or its data directory.
    """
    data_dir = postgres if isinstance(postgres, Path) else postgres.data_dir
    pid_file = data_dir / "postgres" / "postmaster.pid"
    postmaster = psutil.Process(int(pid_file.read_text(encoding="utf-8").split("\n")[0]))
    # The parent first: it starts nothing behind our back.
    os.kill(postmaster.pid, signal.SIGSTOP)
    stopped = [postmaster, *postmaster.children(recursive=True)]
    try:
        for process in stopped[1:]:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        for process in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)


@asynccontextmanager
async def refusing(database_url: str, sqlstate: str = "53100") -> AsyncIterator[None]:
    """Let Postgres refuse every new message, with the code of a full disk unless told otherwise.

    All else, the presence rows included, is stored as before.
    """
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_REFUSE.format(sqlstate=sqlstate))
        yield
        await connection.execute("DROP TRIGGER refuse ON messages; DROP FUNCTION refuse")
    finally:
        await connection.close()
