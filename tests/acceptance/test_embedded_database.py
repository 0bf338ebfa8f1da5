"""The embedded database is killed, suspended, or out of space while messages are published.

The service goes on by itself, nothing acknowledged is lost or stored twice, and subscribers
that stay connected get each message once and in order.
"""

import asyncio
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from tests.acceptance.graphql_socket import PATIENCE_SECONDS
from tests.acceptance.steady_load import SteadyLoad
from tests.served import Served

pytestmark = pytest.mark.anyio

_RECOVERY_SECONDS = 5
_DIED = "the embedded database crashed"
_BACK = (
    r"the embedded database is running again after [\d.]+ s, restarted by (this|another) process"
)
_MIB = 1024 * 1024


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A place for a database whose socket path is short."""
    with tempfile.TemporaryDirectory(prefix="widgetwire-faults-") as directory:
        yield Path(directory) / "data"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own with room for a database and little more."""
    with tempfile.TemporaryDirectory(prefix="widgetwire-disk-") as directory:
        if os.geteuid() != 0:
            pytest.skip("only root may mount the small disk that is to be filled")
        command = ["mount", "-t", "tmpfs", "-o", "size=128m,mode=711", "tmpfs", directory]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            # A container's root usually may not, in CI too: that is no fault of the service.
            pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


def _postmaster(data_dir: Path) -> psutil.Process | None:
    try:
        written = (data_dir / "postgres" / "postmaster.pid").read_text()
        return psutil.Process(int(written.split()[0]))
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return None


def _server(data_dir: Path) -> psutil.Process:
    """The process of the server, which runs."""
    server = _postmaster(data_dir)
    assert server is not None
    return server


def _suspend(data_dir: Path) -> list[psutil.Process]:
    postmaster = _server(data_dir)
    postmaster.suspend()
    suspended = [postmaster, *postmaster.children(recursive=True)]
    for process in suspended[1:]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    return suspended


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


async def _readiness(served: Served) -> int:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        return (await http.get(f"{served.url}/healthz/ready")).status_code


async def _readiness_becomes(served: Served, status: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _readiness(served) != status:  # noqa: ASYNC110  probes must ask
            await asyncio.sleep(0.1)


async def _goes_on_anew(load: SteadyLoad, data_dir: Path, before: psutil.Process) -> None:
    """Wait until publishing goes on with another server than before, within the 5 s."""
    async with asyncio.timeout(_RECOVERY_SECONDS):
        # Backends outlive a killed server for a moment, and may acknowledge something still.
        while _postmaster(data_dir) in {None, before}:  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(0.02)
        await load.goes_on(_RECOVERY_SECONDS)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_publishing_goes_on_soon_after_the_database_is_killed(
    data_dir: Path, serve: Callable[..., Served], workers: str
) -> None:
    """Nobody watched the server: a SIGKILL of it was an outage until somebody came by."""
    served = serve("--workers", workers, database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir))
    async with SteadyLoad(served) as load:
        for times in range(1, 4):
            killed = _server(data_dir)
            killed.kill()
            await _goes_on_anew(load, data_dir, killed)
            # Killed before the watch has seen it run, it would count as one death.
            await asyncio.to_thread(served.wait_for_output, f"(?s)(?:{_BACK}.*?){{{times}}}")
        await _readiness_becomes(served, 200)
        await load.settle()
    assert served.output.count(_DIED) == 3
    served.wait_for_output(_BACK)
    served.terminate()
    assert await asyncio.to_thread(served.wait) == 0
    assert "Traceback" not in served.output
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


async def test_a_suspended_database_is_waited_for_and_not_started_twice(
    data_dir: Path, serve: Callable[..., Served]
) -> None:
    served = serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir))
    async with SteadyLoad(served) as load:
        postmaster = _server(data_dir)
        suspended = _suspend(data_dir)
        try:
            # The fault itself. A publish is given up after 5 s, and the watch tells after 7.
            await asyncio.sleep(10)
            assert await _readiness(served) == 503
        finally:
            _resume(suspended)
        await load.goes_on(_RECOVERY_SECONDS)
        assert _postmaster(data_dir) == postmaster
        served.wait_for_output("the embedded database responds again")
        await _readiness_becomes(served, 200)
        await load.settle()
    assert set(load.refused) == {"UNAVAILABLE"}
    assert "runs but has not responded" in served.output
    assert _DIED not in served.output
    assert "Traceback" not in served.output


async def test_a_database_that_is_suspended_and_then_killed_is_replaced(
    data_dir: Path, serve: Callable[..., Served]
) -> None:
    """Its suspended backends hold the shared memory: the next server waited for them for ever."""
    served = serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir))
    async with SteadyLoad(served) as load:
        suspended = _suspend(data_dir)
        suspended[0].kill()
        await _goes_on_anew(load, data_dir, suspended[0])
        await load.settle()
    served.wait_for_output(r"killing \d+ processes left by a dead database")


async def test_one_of_two_services_on_a_directory_starts_the_database_again(
    data_dir: Path, serve: Callable[..., Served]
) -> None:
    services = [
        serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir)),
        serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir)),
    ]
    async with SteadyLoad(*services) as load:
        killed = _server(data_dir)
        killed.kill()
        await _goes_on_anew(load, data_dir, killed)
        # The one that went first must leave nothing to the other but to go on.
        services[0].terminate()
        assert await asyncio.to_thread(services[0].wait) == 0
    said = "".join(service.output for service in services)
    assert said.count("restarted by this process") == 1
    assert await _readiness(services[1]) == 200


async def test_an_orderly_stop_from_outside_is_left_a_moment_and_then_mended(
    data_dir: Path, serve: Callable[..., Served]
) -> None:
    served = serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir))
    async with SteadyLoad(served) as load:
        stopped = _server(data_dir)
        stopped.send_signal(signal.SIGINT)  # a fast shutdown, as `pg_ctl stop` asks for it
        await _goes_on_anew(load, data_dir, stopped)
        await load.settle()
    assert "the embedded database stopped" in served.output
    assert _DIED not in served.output


async def test_a_full_disk_is_an_outage_that_ends_when_there_is_space(
    small_disk: Path, serve: Callable[..., Served]
) -> None:
    served = serve(database_url=None, WIDGETWIRE_DATA_DIR=str(small_disk / "data"))
    # Characters that do not compress away would be nicer; the write-ahead log keeps these whole.
    async with SteadyLoad(served, padding=1500) as load:
        filling = small_disk / "filling"
        _fill(filling)
        await load.is_refused(PATIENCE_SECONDS)
        assert set(load.refused) == {"UNAVAILABLE"}
        async with asyncio.timeout(PATIENCE_SECONDS):
            # PostgreSQL makes room now and then: it removes what it needs no more of its log.
            while await _readiness(served) != 503:
                _fill(filling)
        assert "Traceback" not in served.output
        filling.unlink()
        await load.goes_on(PATIENCE_SECONDS)
        await _readiness_becomes(served, 200)
        await load.settle()
    assert set(load.refused) == {"UNAVAILABLE"}
    assert "Traceback" not in served.output


async def test_a_database_that_a_full_disk_has_ended_is_tried_until_it_starts(
    small_disk: Path, serve: Callable[..., Served]
) -> None:
    """No space for the write-ahead log: PostgreSQL panics, cannot recover, and ends."""
    data_dir = small_disk / "data"
    served = serve(database_url=None, WIDGETWIRE_DATA_DIR=str(data_dir))
    async with SteadyLoad(served) as load:
        written = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
        connection = await asyncpg.connect(
            host=written[4], port=int(written[3]), user="postgres", database="postgres"
        )
        filling = small_disk / "filling"
        _fill(filling)
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            while True:
                await connection.execute("SELECT pg_switch_wal()")
        connection.terminate()
        served.wait_for_output(r"cannot start: free some disk space\. PostgreSQL said: .*FATAL")
        await load.is_refused(PATIENCE_SECONDS)
        await _readiness_becomes(served, 503)
        filling.unlink()
        await load.goes_on(PATIENCE_SECONDS)
        await _readiness_becomes(served, 200)
        await load.settle()
    assert set(load.refused) == {"UNAVAILABLE"}
    assert "Traceback" not in served.output
    for line in served.output.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT|widgetwire is ready", line), line


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(_MIB))
