"""The sending half: one turn of the loop for all, and nobody's failure is another's."""

import asyncio

import pytest

from app.telemetry.counters import COUNTED
from app.wire.frames import text_frame
from app.wire.outbound import _WRITES_PER_TURN, FrameWriter, Turn

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """A transport that keeps what is written, or fails."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False
        self._broken = broken

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._broken:
            raise RuntimeError("the handle is closed")
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def connected(turn: Turn, wire: Wire) -> FrameWriter:
    writer = FrameWriter(turn)
    writer.write_through(wire, 1 << 20)
    return writer


async def test_a_connection_that_cannot_be_written_to_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those behind it in the turn kept their frames, and were never written to again.

    A connection adds itself to the turn with its first frame: with one left over from a turn
    that broke off, it never did.
    """
    turn = Turn(asyncio.get_running_loop())
    wires = [Wire(broken=n == 1) for n in range(3)]
    writers = [connected(turn, wire) for wire in wires]
    for text in (b"one", b"two"):
        for writer in writers:
            writer.send(text)
        await asyncio.sleep(0)
    assert [wire.written for wire in wires] == [
        text_frame(b"one") + text_frame(b"two"),
        b"",
        text_frame(b"one") + text_frame(b"two"),
    ]
    assert [wire.aborted for wire in wires] == [False, True, False]
    assert caplog.text.count("could not be written to") == 1


async def test_a_waiting_reader_of_a_connection_that_breaks_is_woken() -> None:
    turn = Turn(asyncio.get_running_loop())
    wire = Wire(broken=True)
    wire.get_write_buffer_size = lambda: 1  # type: ignore[method-assign]
    writer = connected(turn, wire)
    writer.pause_writing()
    writer.send(b"text")
    waiting = asyncio.create_task(writer.drained())
    await asyncio.sleep(0)
    writer.resume_writing()
    await asyncio.wait_for(waiting, 5)
    assert wire.aborted


async def test_who_asks_is_called_when_all_that_waits_is_written() -> None:
    turn = Turn(asyncio.get_running_loop())
    called: list[bytes] = []
    turn.then(lambda: called.append(b"nothing waits"))
    assert called == [b"nothing waits"]
    wires = [Wire() for _ in range(_WRITES_PER_TURN + 10)]
    for writer in [connected(turn, wire) for wire in wires]:
        writer.send(b"text")
    turn.then(lambda: called.append(wires[-1].written))
    await asyncio.sleep(0)
    assert len(called) == 1, "the last ones are written in the next turn"
    await asyncio.sleep(0)
    assert called[1] == text_frame(b"text")


async def test_what_is_written_is_counted_and_what_waits_for_a_reader_is_known() -> None:
    turn = Turn(asyncio.get_running_loop())
    wire = Wire()
    wire.get_write_buffer_size = lambda: 7  # type: ignore[method-assign]
    writer = connected(turn, wire)
    before = COUNTED.frames_out, COUNTED.bytes_out
    writer.send(b"one")
    writer.send(b"two")
    await asyncio.sleep(0)
    assert COUNTED.frames_out - before[0] == 2
    assert COUNTED.bytes_out - before[1] == len(wire.written)
    writer.pause_writing()
    writer.send(b"three")
    assert turn.blocked == {writer}
    assert writer.unsent_bytes == 7 + len(text_frame(b"three"))
    writer.resume_writing()
    assert turn.blocked == set()
    writer.pause_writing()
    writer.end_writing()
    assert turn.blocked == set()
