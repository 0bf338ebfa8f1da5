"""The sending half: frames joined into few writes, bounded while the peer does not read."""

import asyncio
from typing import cast

import pytest

from app.wire.frames import pong_frame, text_frame
from app.wire.outbound import FrameWriter, Turn

pytestmark = pytest.mark.anyio


class Transport:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.held = 0

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.held


class Writer(FrameWriter):
    """Notes when its peer is too slow."""

    def __init__(self, turn: Turn, max_outbound_bytes: int = 1_000) -> None:
        super().__init__(turn)
        self.behind = 0
        self.transport = Transport()
        self.write_through(cast("asyncio.Transport", self.transport), max_outbound_bytes)

    def fell_behind(self) -> None:
        self.behind += 1


@pytest.fixture
async def turn() -> Turn:
    return Turn(asyncio.get_running_loop())


async def end_of_turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_is_sent_in_one_turn_is_one_write(turn: Turn) -> None:
    writer = Writer(turn)
    for text in (b"a", b"b", b"c"):
        writer.send(text)
    assert writer.transport.writes == []
    await end_of_turn()
    assert writer.transport.writes == [text_frame(b"a") + text_frame(b"b") + text_frame(b"c")]


async def test_a_fan_out_is_framed_once(turn: Turn) -> None:
    writers = [Writer(turn) for _ in range(3)]
    text = b"x" * 100
    for writer in writers:
        writer.send(text)
    await end_of_turn()
    frames = [writer.transport.writes[0] for writer in writers]
    assert frames[0] is frames[1] is frames[2]


async def test_much_is_written_before_the_turn_ends(turn: Turn) -> None:
    """What one connection holds is bounded within a turn too."""
    writer = Writer(turn, 1 << 20)
    for _ in range(3):
        writer.send(bytes(40_000))
    assert len(writer.transport.writes) == 1
    await end_of_turn()
    assert len(b"".join(writer.transport.writes)) == 3 * len(text_frame(bytes(40_000)))


async def test_thousands_of_connections_do_not_hold_the_loop(turn: Turn) -> None:
    writers = [Writer(turn) for _ in range(1_100)]
    for writer in writers:
        writer.send(b"x")
    steps: list[int] = []
    while not steps or steps[-1] < len(writers):
        await asyncio.sleep(0)
        steps.append(sum(bool(writer.transport.writes) for writer in writers))
    assert len(set(steps) - {0}) >= 3, "in pieces, with others between them"


async def test_while_the_peer_does_not_read_frames_wait_and_are_bounded(turn: Turn) -> None:
    writer = Writer(turn, 100)
    writer.transport.held = 60
    writer.pause_writing()
    writer.send(b"x" * 30)
    await end_of_turn()
    assert (writer.transport.writes, writer.behind) == ([], 0)
    writer.send(b"x" * 30)
    assert writer.behind == 1
    writer.resume_writing()
    assert writer.transport.writes == [text_frame(b"x" * 30) * 2]


async def test_a_flood_of_pings_is_answered_once_when_the_peer_reads_again(turn: Turn) -> None:
    writer = Writer(turn)
    writer.pause_writing()
    for number in range(100):
        writer.send_pong(b"%d" % number)
    writer.resume_writing()
    assert writer.transport.writes == [pong_frame(b"99")]
    writer.send_pong(b"now")
    await end_of_turn()
    assert writer.transport.writes[1:] == [pong_frame(b"now")]


@pytest.mark.parametrize("instead", [False, True])
async def test_nothing_follows_the_last_frame(turn: Turn, instead: bool) -> None:
    writer = Writer(turn)
    writer.send(b"before")
    writer.send_last(b"last", instead=instead)
    writer.send(b"after")
    writer.send_last(b"again")
    await end_of_turn()
    before = b"" if instead else text_frame(b"before")
    assert b"".join(writer.transport.writes) == before + b"last"


async def test_drained_waits_for_the_peer_or_for_the_end(turn: Turn) -> None:
    writer = Writer(turn)
    await writer.drained()
    for end in (writer.resume_writing, writer.end_writing):
        writer.pause_writing()
        waiting = asyncio.create_task(writer.drained())
        await end_of_turn()
        assert not waiting.done()
        end()
        await asyncio.wait_for(waiting, 5)
