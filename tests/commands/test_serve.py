"""The service, from its start to its end, as people run it."""

import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.commands import serve as serving
from app.embedded.postgres import EmbeddedPostgres
from tests.commands.run import widgetwire
from tests.served import Served

pytestmark = pytest.mark.usefixtures("counted_processes")


def test_serve_refuses_an_old_schema_with_the_command_to_run(empty_database_url: str) -> None:
    printed = widgetwire("serve", "--port", "0", DATABASE_URL=empty_database_url)
    assert printed.returncode == 2
    assert "run `widgetwire migrate`, or `widgetwire serve --migrate`" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_serve_migrates_when_it_is_told_to(
    empty_database_url: str, serve: Callable[..., Served]
) -> None:
    served = serve("--migrate", database_url=empty_database_url)
    assert httpx.get(f"{served.url}/healthz/live").status_code == 200
    served.terminate()
    assert served.wait() == 0


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_stays_away_is_waited_for_and_then_exit_code_1(command: str) -> None:
    """Exit code 2 said that a setting was wrong, and a supervisor gave up."""
    began = time.monotonic()
    printed = widgetwire(
        command, DATABASE_URL="postgresql://127.0.0.1:1/none", PORT="0", DATABASE_WAIT_SECONDS="2"
    )
    assert printed.returncode == 1
    assert time.monotonic() - began > 2
    assert printed.stderr.count("waiting for it for up to 2 s") == 1
    (last,) = printed.stderr.splitlines()[1:]
    assert last.startswith("widgetwire: cannot reach the database at 127.0.0.1:1/none (")


def test_without_a_wait_a_database_that_is_away_ends_the_start_at_once() -> None:
    printed = widgetwire(
        "serve", DATABASE_URL="postgresql://127.0.0.1:1/none", PORT="0", DATABASE_WAIT_SECONDS="0"
    )
    assert printed.returncode == 1
    assert len(printed.stderr.splitlines()) == 1


def test_a_database_that_refuses_is_not_waited_for(database_url: str) -> None:
    url = database_url.replace("/widgetwire_test_", "/no_such_database_")
    printed = widgetwire("serve", DATABASE_URL=url, PORT="0")
    assert printed.returncode == 2
    assert "waiting" not in printed.stderr
    assert "does not exist" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_a_database_that_starts_late_is_served_once_it_is_there(
    serve: Callable[..., Served],
) -> None:
    """A unit whose database starts with the machine, and after it, gave up."""
    with tempfile.TemporaryDirectory() as directory:
        late = EmbeddedPostgres(Path(directory) / "data")
        with late:
            url = late.url
        served = serve("--migrate", wait=False, database_url=url)
        served.wait_for_output("cannot reach .* waiting for it for up to 60 s")
        with late:
            served.wait_until_ready()
            assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"
            served.terminate()
            assert served.wait() == 0
    assert "Traceback" not in served.output


def test_sigterm_while_it_waits_for_a_database_is_an_end_in_order(
    serve: Callable[..., Served],
) -> None:
    served = serve(wait=False, database_url="postgresql://127.0.0.1:1/none")
    served.wait_for_output("waiting for it")
    served.terminate()
    assert served.wait(10) == 0
    assert "Traceback" not in served.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_runs_whole_on_its_embedded_database_and_ends_with_exit_code_0(
    serve: Callable[..., Served], tmp_path: Path, workers: str
) -> None:
    for _ in range(2):  # the second start finds the first one's data
        served = serve("--workers", workers, database_url=None, WIDGETWIRE_DATA_DIR=str(tmp_path))
        assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"
        served.terminate()
        assert served.wait(10) == 0
        assert "Traceback" not in served.output
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_sigterm_while_it_starts_is_an_end_too(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(wait=False, database_url=None, WIDGETWIRE_DATA_DIR=str(tmp_path))
    served.wait_for_output("creating a database")
    served.terminate()
    assert served.wait(30) == 0
    assert "Traceback" not in served.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sigterm_that_python_drops_is_not_forgotten() -> None:
    """It came within a finalizer: the service started, and nobody asked it to end again."""

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def start() -> None:
        with serving._ended_by_sigterm() as end:
            Finalized()
            assert end.asked
            end.come_if_asked()

    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            start()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 0
