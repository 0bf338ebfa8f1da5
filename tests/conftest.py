"""The real parts that tests stand on: a Postgres, a database for each test, a served process.

One embedded server for each process of the session (pytest-xdist starts three for two cores), one
migrated template database in it, and a clone of that for each test or module that asks:
https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import ceil
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from app.embedded.postgres import EmbeddedPostgres
from app.storage.database import Database
from app.storage.migrations import migrate
from tests.clients.built_package import SOURCES, build_package
from tests.node import installed_packages, required_program
from tests.served import Served

_MAX_PROCESSES = 8
"""However many cores there are: each process has a database server of its own."""
_PROCESSES_PER_CORE = 1.5
"""More than half of what tests take they wait: for brokers, databases, leases, restarts."""
_CLUSTER_BYTES = 1 << 30
"""Room for a server's files; it takes a tenth of that."""
_COUNTING = "COVERAGE_PROCESS_CONFIG"
"""Of `patch = ["subprocess"]` in [tool.coverage.run]."""
_TEMPLATE = "widgetwire_template"
_names = (f"widgetwire_test_{number}" for number in count(1))


def pytest_configure() -> None:
    """Let SIGTERM (of `timeout`, of a CI that gives up) end the session as Ctrl+C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    # How long an example takes is the machine's business, and that of who else is on it.
    # Each run draws others, and there are many runs.
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
    settings.register_profile("patient", patient)
    settings.load_profile("patient")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the tests among three processes for two cores; one file runs in this one."""
    alone = len(config.args) == 1 and ".py" in config.args[0]
    return 0 if alone else min(ceil(_cores() * _PROCESSES_PER_CORE), _MAX_PROCESSES)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop under tests marked `anyio`."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def counting() -> str | None:
    """What lets a new process count the lines it runs, when this one does; it is taken away.

    To start under it takes twice as long, and a service runs little that no other test runs:
    see `counted_processes`.
    """
    return os.environ.pop(_COUNTING, None)


@pytest.fixture
def counted_processes(counting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that this test starts count the lines they run, when this one does."""
    if counting is not None:
        monkeypatch.setenv(_COUNTING, counting)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """This process's server; it runs all the time: tests that stop one make one of their own."""
    # Not pytest's directory: Postgres' socket path must be short.
    directory = Path(tempfile.mkdtemp(prefix="widgetwire-tests-", dir=_memory()))
    directory.chmod(0o711)
    # A crash of the machine is not what tests are about; crashes of the server are.
    fast = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "64MB"}
    server = EmbeddedPostgres(directory, fast | {"max_connections": "300"})
    try:
        with server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def template_database(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database that nobody is connected to."""
    _execute(postgres.url, f"CREATE DATABASE {_TEMPLATE}")
    _run(migrate(_of(postgres.url, _TEMPLATE)))
    return _TEMPLATE


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database without any table."""
    yield from cloned(postgres, "template1")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """The address of a migrated database that is this test's own."""
    yield from cloned(postgres, template_database)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The pool of this test's own database."""
    opened = await Database.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def serve(database_url: str) -> Iterator[Callable[..., Served]]:
    """Start a real `widgetwire serve` and return it ready; several share the test's database.

    Called with further arguments of `serve` and settings:
    `serve("--workers", "2", WIDGETWIRE_ANONYMOUS="deny")`; with `database_url=None` it runs on
    its embedded database (set WIDGETWIRE_DATA_DIR), with `wait=False` it may be starting still.
    """
    running: list[Served] = []

    def start(
        *arguments: str,
        database_url: str | None = database_url,
        wait: bool = True,
        **environment: str,
    ) -> Served:
        served = Served(database_url, environment, arguments)
        running.append(served)
        if wait:
            served.wait_until_ready()
        return served

    yield start
    for served in running:
        served.close()


@pytest.fixture(scope="module")
def shared_service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Served]:
    """A `widgetwire serve` for all tests of a module that leave it as it was.

    It has a database of its own. Each test uses a channel of its own.
    """
    yield from served_clone(postgres, template_database, {})


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser."""
    return required_program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def node_path() -> Path:
    """Node.js."""
    return required_program("node")


@pytest.fixture(scope="session")
def npm_packages(node_path: Path) -> Path:
    """A directory with the clients of tests/clients/package.json in its node_modules."""
    return installed_packages(Path(__file__).parent / "clients" / "package.json")


@pytest.fixture(scope="session")
def js_package(node_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npm package of clients/js, compiled; what it needs is in its node_modules."""
    installed = installed_packages(SOURCES / "package.json")
    return build_package(node_path, installed, tmp_path_factory.mktemp("js") / "widgetwire")


def cloned(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Yield the address of a clone of a database, and drop it; for fixtures of any scope."""
    name = next(_names)
    # Not through the write-ahead log: a template is copied as fast as its files.
    _execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _of(postgres.url, name)
    _execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


def served_clone(
    postgres: EmbeddedPostgres, template: str, environment: dict[str, str]
) -> Iterator[Served]:
    """Yield a `widgetwire serve` on a clone of a database; for fixtures of any scope.

    Args:
        postgres: has the database.
        template: the database's name.
        environment: its settings.
    """
    for url in cloned(postgres, template):
        served = Served(url, environment, ())
        try:
            served.wait_until_ready()
            yield served
        finally:
            served.close()


def _cores() -> int:
    # Those this process may use: in a container fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> Path | None:
    """Return where files are kept in memory, if there is room.

    A database is 300 files, made and removed for each test: on a busy disk half a second.
    """
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < _CLUSTER_BYTES:
        return None
    return shared


def _of(url: str, database: str) -> str:
    return url.replace("/postgres?", f"/{database}?")


def _execute(url: str, sql: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    _run(execute())


def _run(coroutine: Coroutine[None, None, None]) -> None:
    # In a thread: the test's own loop may be set in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()
