"""A streamed response on its connection: written in turns, bounded, ended by whoever wants to."""

import asyncio
from typing import cast

import pytest

from app.telemetry.log_fields import facts_of
from app.telemetry.logs import LogThrottle
from app.wire import closings, stream
from app.wire.outbound import Turn
from app.wire.stream import StreamWriter, chunk
from tests.wire.test_frame_writer import Transport, end_of_turn

pytestmark = pytest.mark.anyio

LAST = b"0\r\n\r\n"


class Connection:
    """A connection that streams, and whoever streams on it."""

    def __init__(self, *, chunked: bool = True, max_outbound_bytes: int = 1_000) -> None:
        self.transport = Transport()
        self.told: list[str] = []
        self.writer = StreamWriter(
            Turn(asyncio.get_running_loop()),
            self,
            chunked=chunked,
            hang_up=lambda: self.told.append("hung up"),
            give_up=lambda: self.told.append("given up"),
        )
        self.writer.write_through(cast("asyncio.Transport", self.transport), max_outbound_bytes)

    def beat(self) -> None:
        self.told.append("beat")

    def fell_behind(self) -> None:
        self.told.append("behind")
        self.writer.end(instead=True)

    def shutdown(self) -> None:
        self.told.append("shut down")

    def lost(self) -> None:
        self.told.append("lost")

    @property
    def written(self) -> bytes:
        return b"".join(self.transport.writes)


def test_a_chunk_is_its_size_in_hexadecimal_and_its_data() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


async def test_what_is_sent_in_one_turn_is_one_write_and_the_end_hangs_up() -> None:
    connection = Connection()
    connection.writer.send_framed(chunk(b"one"))
    connection.writer.send_framed(chunk(b"two"))
    await end_of_turn()
    assert connection.transport.writes == [chunk(b"one") + chunk(b"two")]
    connection.writer.end(b"bye")
    connection.writer.end(b"again")
    connection.writer.send_framed(chunk(b"late"))
    await end_of_turn()
    assert connection.written == chunk(b"one") + chunk(b"two") + chunk(b"bye") + LAST
    assert connection.told == ["hung up"]


async def test_without_chunks_the_end_is_that_of_the_connection() -> None:
    connection = Connection(chunked=False)
    connection.writer.end(b"bye")
    assert (connection.written, connection.told) == (b"bye", ["hung up"])
    silent = Connection(chunked=False)
    silent.writer.end()
    assert (silent.written, silent.told) == (b"", ["hung up"])


async def test_a_peer_that_reads_slowly_gets_the_end_before_the_connection_is_closed() -> None:
    connection = Connection()
    connection.writer.pause_writing()
    connection.writer.send_framed(chunk(b"one"))
    connection.writer.end(b"bye")
    await end_of_turn()
    assert (connection.written, connection.told) == (b"", [])
    connection.writer.resume_writing()
    assert connection.written == chunk(b"one") + chunk(b"bye") + LAST
    assert connection.told == ["hung up"]


async def test_what_waits_is_bounded_and_given_up_for_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(closings, "_throttle", LogThrottle(others="others"))
    connection = Connection(max_outbound_bytes=100)
    connection.writer.pause_writing()
    for _ in range(20):
        connection.writer.send_framed(b"x" * 10)
    assert connection.told == ["behind"]
    (record,) = caplog.records
    assert facts_of(record).items() >= {"code": 1013, "withheld": 0}.items()
    connection.writer.resume_writing()
    assert connection.written == LAST


async def test_a_peer_that_does_not_read_the_end_either_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CLOSE_TIMEOUT_SECONDS", 0.01)
    connection = Connection()
    connection.writer.pause_writing()
    connection.writer.end()
    async with asyncio.timeout(5):
        while not connection.told:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0.005)
    assert connection.told == ["given up"]


async def test_its_end_is_told_once_and_wakes_whoever_waits() -> None:
    connection = Connection()
    connection.writer.pause_writing()
    waiting = asyncio.create_task(connection.writer.drained())
    await asyncio.sleep(0)
    connection.writer.lost()
    connection.writer.lost()
    await asyncio.wait_for(waiting, 5)
    connection.writer.visit(3)
    connection.writer.fell_behind()
    assert connection.told == ["lost"]


async def test_a_peer_that_takes_nothing_for_too_many_beats_is_given_up() -> None:
    connection = Connection()
    connection.writer.visit(3)
    connection.writer.pause_writing()
    for _ in range(3):
        connection.writer.visit(3)
    assert connection.told == ["beat"]
    connection.writer.resume_writing()  # it took something: counted anew
    connection.writer.pause_writing()
    for _ in range(3):
        connection.writer.visit(3)
    assert connection.told == ["beat"]
    connection.writer.visit(3)
    assert connection.told == ["beat", "given up"]


async def test_a_process_that_goes_away_is_told_to_whoever_still_streams() -> None:
    connection = Connection()
    connection.writer.shutdown()
    assert connection.told == ["shut down"]
    connection.writer.lost()
    connection.writer.shutdown()
    assert connection.told == ["shut down", "lost"]
