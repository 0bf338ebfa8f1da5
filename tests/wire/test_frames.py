"""What we send, read back by another implementation."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from app.wire.frames import (
    PING,
    Opcode,
    close_frame,
    frame,
    pong_frame,
    text_frame,
)


def read_back(data: bytes) -> Frame:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    (event,) = client.events_received()
    assert isinstance(event, Frame)
    return event


@pytest.mark.parametrize("length", [0, 1, 125, 126, 2047, 2048, 65535, 65536, 200_000])
def test_every_length_of_text_is_read_back(length: int) -> None:
    read = read_back(text_frame(b"x" * length))
    assert (read.opcode, read.data, read.fin) == (1, b"x" * length, True)


def test_other_frames_are_read_back() -> None:
    assert read_back(frame(Opcode.BINARY, b"\0\xff")).data == b"\0\xff"
    assert int(read_back(PING).opcode) == 9
    assert read_back(pong_frame(b"p" * 125)).data == b"p" * 125
    assert read_back(close_frame(None, "")).data == b""


def test_a_long_reason_is_cut_between_characters() -> None:
    read = Close.parse(bytes(read_back(close_frame(4400, "ü" * 100)).data))
    assert (read.code, read.reason) == (4400, "ü" * 61)
