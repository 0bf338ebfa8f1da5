"""Bytes in, messages out: whatever the network cuts, and whatever a stranger sends."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.wire.frames import Opcode
from app.wire.inbound import Event, FrameError, FrameReader
from tests.wire.wire import client_frame

MAX = 1 << 20


def read(stream: bytes, cuts: list[int] | None = None, max_bytes: int = MAX) -> list[Event]:
    reader, events, at = FrameReader(max_bytes), [], 0
    for cut in [*sorted(cuts or []), len(stream)]:
        reader.feed(stream[at:cut])
        at = max(at, cut)
        while (event := reader.next()) is not None:
            events.append(event)
    return events


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[Event]]:
    """A valid stream of frames, fragments with control frames between, and its events."""
    stream, events = b"", []
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.booleans())
        message = draw(st.text(max_size=300)).encode() if text else draw(st.binary(max_size=300))
        opcode = Opcode.TEXT if text else Opcode.BINARY
        cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=3)))
        edges = [0, *cuts, len(message)]
        for number, (start, stop) in enumerate(pairwise(edges)):
            last = number == len(edges) - 2
            code = opcode if number == 0 else Opcode.CONTINUATION
            stream += client_frame(code, message[start:stop], fin=last)
            if not last and draw(st.booleans()):
                ping = draw(st.binary(max_size=125))
                stream += client_frame(Opcode.PING, ping)
                events.append((Opcode.PING, ping))
        events.append((opcode, message))
    return stream, events


@settings(deadline=None)  # Other tests may hold the machine.
@given(conversations(), st.data())
def test_however_a_stream_is_cut_its_messages_are_the_same(
    conversation: tuple[bytes, list[Event]], data: st.DataObject
) -> None:
    stream, events = conversation
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert read(stream, cuts) == events
    assert read(stream, list(range(len(stream)))) == events


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_random_bytes_end_in_nothing_but_a_frame_error(stream: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(FrameError):
        read(stream, cuts, max_bytes=200)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (client_frame(0x1, b"x", mask=False), 1002),
        (client_frame(0x40 | 0x1, b"x"), 1002),
        (client_frame(0x3), 1002),
        (client_frame(0xB), 1002),
        (client_frame(0x0, b"nothing to continue"), 1002),
        (client_frame(0x1, b"a", fin=False) + client_frame(0x1, b"b"), 1002),
        (client_frame(0x9, b"p", fin=False), 1002),
        (client_frame(0x9, b"p" * 126), 1002),
        (client_frame(0x8, b"\x03"), 1002),
        (client_frame(0x8, (1005).to_bytes(2, "big")), 1002),
        (client_frame(0x8, (5000).to_bytes(2, "big")), 1002),
        (client_frame(0x8, (1000).to_bytes(2, "big") + b"\xff"), 1007),
        (client_frame(0x1, b"\xce\xba\xff"), 1007),
        (client_frame(0x1, b"\xed\xa0\x80"), 1007),
        (client_frame(0x1, b"cut \xce"), 1007),
        (b"\x82\xff" + b"\xff" * 8, 1002),
    ],
)
def test_a_broken_frame_is_refused_with_its_code(stream: bytes, code: int) -> None:
    with pytest.raises(FrameError) as caught:
        read(stream)
    assert caught.value.code == code


def test_a_message_too_big_is_refused_from_its_header_alone() -> None:
    header = client_frame(0x2, b"x" * 200)[:4]
    with pytest.raises(FrameError, match="has 200 bytes, at most 100") as caught:
        read(header, max_bytes=100)
    assert caught.value.code == 1009


def test_fragments_are_bounded_in_sum() -> None:
    fragments = client_frame(0x2, b"x" * 60, fin=False) + client_frame(0x0, b"x" * 41)[:2]
    with pytest.raises(FrameError) as caught:
        read(fragments, max_bytes=100)
    assert caught.value.code == 1009
    assert read(client_frame(0x2, b"x" * 100), max_bytes=100) == [(Opcode.BINARY, b"x" * 100)]


def test_text_that_cannot_become_valid_fails_before_its_frame_is_whole() -> None:
    frame = client_frame(0x1, b"\xce\xba" * 20 + b"\xf4\x90" + b"x" * 200)
    with pytest.raises(FrameError) as caught:
        read(frame[: 8 + 42])
    assert caught.value.code == 1007


def test_what_was_taken_is_not_kept() -> None:
    """A quiet connection held its last read, of up to 256 KiB, until the next one."""
    reader = FrameReader(MAX)
    reader.feed(client_frame(0x1, b"x" * 200_000) + client_frame(0x9, b"half")[:5])
    assert reader.next() == (Opcode.TEXT, b"x" * 200_000)
    assert reader.next() is None
    assert reader.held_bytes == 5
    reader.feed(client_frame(0x9, b"half")[5:] + client_frame(0x1, b"y" * 1000)[:-1])
    assert reader.next() == (Opcode.PING, b"half")
    assert reader.next() is None
    assert reader.held_bytes == 999


def test_the_bound_may_be_raised_between_two_frames() -> None:
    reader = FrameReader(10)
    reader.feed(client_frame(0x1, b"x" * 10) + client_frame(0x1, b"y" * 100))
    assert reader.next() == (Opcode.TEXT, b"x" * 10)
    reader.max_message_bytes = 100
    assert reader.next() == (Opcode.TEXT, b"y" * 100)
