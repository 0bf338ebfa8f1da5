"""Workers that answer for each other."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.telemetry.measured import Metric, Reading, reading_of
from app.telemetry.workers import ALONE, WorkerPlace, Workers

pytestmark = pytest.mark.anyio

NUMBER = Metric("widgetwire_number", "gauge", "A number.")


def measuring(number: float) -> Callable[[], Reading]:
    return lambda: reading_of([(NUMBER, {(): number})])


@asynccontextmanager
async def started(*numbers: float) -> AsyncIterator[tuple[Path, list[Workers]]]:
    # Not pytest's directory: a socket's path must be short.
    with TemporaryDirectory(prefix="widgetwire-") as directory:
        workers = [
            Workers(measuring(number), WorkerPlace(str(name), Path(directory)), timeout_seconds=0.3)
            for name, number in enumerate(numbers, 1)
        ]
        for worker in workers:
            await worker.start()
        try:
            yield Path(directory), workers
        finally:
            for worker in workers:
                await worker.stop()


def shown(readings: dict[str, Reading]) -> dict[str, float]:
    return {name: reading[0].value for name, reading in readings.items()}


async def test_whoever_is_asked_answers_for_all() -> None:
    async with started(10, 20, 30) as (_, workers):
        for worker in workers:
            assert shown(await worker.readings()) == {"1": 10, "2": 20, "3": 30}


async def test_one_that_ended_is_gone_and_whoever_replaces_it_has_its_name() -> None:
    async with started(10, 20) as (directory, workers):
        await workers[1].stop()
        await workers[1].stop()
        assert shown(await workers[0].readings()) == {"1": 10}
        again = Workers(measuring(0), WorkerPlace("2", directory))
        await again.start()
        assert shown(await workers[0].readings()) == {"1": 10, "2": 0}
        await again.stop()


async def test_the_socket_that_a_killed_one_left_is_no_answer_and_no_obstacle() -> None:
    async with started(10) as (directory, workers):
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(directory / "2.sock"))
        left.close()
        assert shown(await workers[0].readings()) == {"1": 10}
        again = Workers(measuring(20), WorkerPlace("2", directory))
        await again.start()
        assert shown(await workers[0].readings()) == {"1": 10, "2": 20}
        await again.stop()


async def test_one_that_hangs_or_talks_nonsense_is_left_out_in_time() -> None:
    async with started(10, 20) as (directory, workers):
        with socket.socket(socket.AF_UNIX) as hanging:
            hanging.bind(str(directory / "3.sock"))
            hanging.listen()

            async def nonsense(_reader: object, writer: asyncio.StreamWriter) -> None:
                writer.write(b"hello")
                writer.close()

            server = await asyncio.start_unix_server(nonsense, directory / "4.sock")
            began = time.monotonic()
            assert shown(await workers[0].readings()) == {"1": 10, "2": 20}
            assert 0.2 < time.monotonic() - began < 2
            server.close()


async def test_one_alone_asks_nobody() -> None:
    alone = Workers(measuring(10), ALONE)
    await alone.start()
    assert shown(await alone.readings()) == {"1": 10}
    await alone.stop()


async def test_one_that_cannot_be_asked_answers_alone_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere = Workers(measuring(10), WorkerPlace("1", Path("/nonexistent/widgetwire")))
    with caplog.at_level(logging.WARNING):
        await nowhere.start()
    assert "other workers cannot ask this one" in caplog.text
    assert shown(await nowhere.readings()) == {"1": 10}
    await nowhere.stop()
