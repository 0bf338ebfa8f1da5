"""The watch over the embedded Postgres, each with a real server that is really killed."""

import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.embedded import watch
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.watch import DatabaseWatch

_PATIENCE_SECONDS = 20

Said = Callable[..., list[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A running server; each test leaves it running."""
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedPostgres(Path(directory) / "data") as started,
    ):
        yield started


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """Wait until the watch has said something so many times; return all such lines."""
    caplog.set_level(logging.INFO, logger=watch.__name__)

    def wait(pattern: str, times: int = 1) -> list[str]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(lines := [m for m in caplog.messages if re.search(pattern, m)]) < times:
            assert time.monotonic() < deadline, caplog.text
            time.sleep(0.02)
        return lines

    return wait


def _killed(server: EmbeddedPostgres) -> psutil.Process:
    process = server.process()
    assert process is not None
    process.kill()
    return process


def test_a_killed_server_is_started_again_with_a_line_for_each_turn(
    server: EmbeddedPostgres, said: Said
) -> None:
    with DatabaseWatch(server):
        killed = _killed(server)
        (back,) = said("is running again")
    assert re.fullmatch(
        r"the embedded database is running again after \d+\.\d s, restarted by this process", back
    )
    assert said("crashed") == ["the embedded database crashed; restarting it"]
    assert server.process() not in {None, killed}
    assert server.answers(5)


def test_a_server_that_was_dead_before_the_watch_began_is_started_too(
    server: EmbeddedPostgres, said: Said
) -> None:
    _killed(server).wait(10)
    with DatabaseWatch(server):
        said("is running again")


def test_a_server_that_is_killed_again_and_again_comes_back_within_two_seconds_more(
    server: EmbeddedPostgres, said: Said
) -> None:
    with DatabaseWatch(server) as watch:
        for times in range(1, 5):
            _killed(server)
            said("is running again", times)
        assert watch._most_pause() == 2
        server_lived_since = time.monotonic()
        while watch._failures:
            assert time.monotonic() - server_lived_since < _PATIENCE_SECONDS
            time.sleep(0.02)
    assert time.monotonic() - server_lived_since > 2


def test_a_server_that_cannot_start_is_tried_again_and_each_failure_is_one_line(
    server: EmbeddedPostgres, said: Said
) -> None:
    settings = server.data_dir / "postgres" / "postgresql.auto.conf"
    good = settings.read_text()
    with DatabaseWatch(server):
        settings.write_text(good + "max_connections = banana\n")
        _killed(server)
        lines = said("cannot start", 3)
        settings.write_text(good)
        said("is running again")
    assert len(said("crashed")) == 1
    for line in lines:
        assert "\n" not in line
        assert 'invalid value for parameter "max_connections": "banana"' in line
    assert [line[line.index("(retrying") :] for line in lines] == [
        f"(retrying within {seconds} s)" for seconds in ("0.5", "1", "2")
    ]


def test_the_pause_between_tries_grows_and_is_bounded(server: EmbeddedPostgres) -> None:
    watch = DatabaseWatch(server)
    pauses = []
    for watch._failures in range(1000):
        pauses.append(watch._most_pause())
        assert pauses[-1] / 2 <= watch._pause() <= pauses[-1]
    assert pauses[:8] == [0, 0.5, 1, 2, 4, 8, 15, 15]
    assert max(pauses) == 15


def test_a_restart_on_purpose_is_not_disturbed(server: EmbeddedPostgres, said: Said) -> None:
    with DatabaseWatch(server):
        for _ in range(3):
            server.restart()
            assert server.answers(5)
        # The watch still works.
        _killed(server)
        said("restarted by this process")
    assert len(said("restarted by this process")) == 1


def test_a_server_that_was_stopped_is_left_a_moment_to_whoever_stopped_it(
    server: EmbeddedPostgres, said: Said
) -> None:
    with DatabaseWatch(server):
        server._cluster.stop("fast")
        assert server.ended_in_order()
        said("stopped; restarting it in 2 s unless another process does")
        with server._starting():
            server._cluster.start()
        said("is running again after .* restarted by another process")


def test_a_hanging_server_is_told_once_and_left_alone(
    server: EmbeddedPostgres, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_ASK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "_ANSWER_SECONDS", 0.1)
    process = server.process()
    assert process is not None
    with DatabaseWatch(server):
        process.suspend()
        said("runs but has not responded")
        time.sleep(0.5)  # it is asked again meanwhile, and that is not told
        process.resume()
        said("responds again")
    assert len(said("runs but has not responded")) == 1
    assert server.process() == process


def test_the_watch_outlives_a_defect_of_its_own(
    server: EmbeddedPostgres, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DatabaseWatch(server):
        with monkeypatch.context() as broken:
            broken.setattr(EmbeddedPostgres, "revive", lambda _: 1 / 0)
            _killed(server)
            said("the check of the embedded database failed; continuing")
        said("is running again")


def test_a_directory_that_is_gone_is_told_and_no_database_is_made(
    server: EmbeddedPostgres, said: Said
) -> None:
    aside = server.data_dir.with_name("aside")
    with DatabaseWatch(server):
        _killed(server).wait(10)
        server.data_dir.rename(aside)
        (line, *_) = said("cannot start: No such file or directory")
        assert str(server.data_dir) in line
        assert not server.data_dir.exists()
        aside.rename(server.data_dir)
        said("is running again")
