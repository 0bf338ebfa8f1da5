"""The ASGI call of a socket: what the application may say when, and what it hears."""

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from app.transports.websocket.asgi import AsgiCall
from app.transports.websocket.frames import Opcode, frame
from app.transports.websocket.handshake import Handshake
from tests.transports.websocket.upgrade import scope

pytestmark = pytest.mark.anyio


class Connection:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.reading = True

    def open(self, response: bytes, max_outbound_bytes: int) -> bool:
        self.said.append(("open", response.split()[1]))
        return max_outbound_bytes > 0

    def accept_peer(self) -> None:
        self.said.append("accept_peer")

    def refuse(self, response: bytes) -> None:
        self.said.append(("refuse", response.split()[1]))

    def send_framed(self, framed: bytes) -> None:
        self.said.append(framed)

    def close(self, code: int, reason: str) -> None:
        self.said.append(("close", code, reason))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    async def drained(self) -> None:
        await asyncio.sleep(0)


class Call(AsgiCall):
    """A call, and the connection that it is about."""

    def __init__(self) -> None:
        self.connection = Connection()
        super().__init__(self.connection, Handshake(scope()), [])

    async def say(self, kind: str, **rest: object) -> None:
        await self.send({"type": f"websocket.{kind}", **rest})


@pytest.fixture
async def call() -> Call:
    """A call whose application has received the connect event."""
    call = Call()
    assert await call.receive() == {"type": "websocket.connect"}
    return call


async def test_text_and_bytes_go_both_ways(call: Call) -> None:
    await call.say("accept")
    await call.say("send", text="é")
    await call.say("send", bytes=b"\0")
    await call.say("close", code=4400, reason="enough")
    assert call.connection.said == [
        ("open", b"101"),
        frame(Opcode.TEXT, "é".encode()),
        frame(Opcode.BINARY, b"\0"),
        ("close", 4400, "enough"),
    ]
    call = Call()
    call.message(Opcode.TEXT, "é".encode())
    call.message(Opcode.BINARY, b"\0")
    assert [await call.receive() for _ in range(3)] == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "é"},
        {"type": "websocket.receive", "bytes": b"\0"},
    ]


async def test_a_socket_may_be_denied_with_a_response(call: Call) -> None:
    await call.say("http.response.start", status=404, headers=[(b"x", b"y")])
    await call.say("http.response.body", body=b"not ", more_body=True)
    assert call.connection.said == []
    await call.say("http.response.body", body=b"here")
    assert call.connection.said == [("refuse", b"404")]


async def test_a_close_before_the_handshake_is_a_403(call: Call) -> None:
    await call.say("close")
    assert call.connection.said == [("refuse", b"403")]


async def test_what_cannot_be_said_now_is_a_mistake_of_the_application(call: Call) -> None:
    with pytest.raises(RuntimeError, match=r"websocket.send cannot be sent now \(handshake\)"):
        await call.say("send", text="early")
    await call.say("accept")
    with pytest.raises(RuntimeError, match=r"accept cannot be sent now \(open\)"):
        await call.say("accept")
    await call.say("close")
    with pytest.raises(RuntimeError, match=r"close cannot be sent now \(ended\)"):
        await call.say("close")


async def test_whoever_waits_hears_of_the_end_and_can_send_no_more(call: Call) -> None:
    await call.say("accept")
    waiting = asyncio.create_task(call.receive())
    await asyncio.sleep(0)
    call.disconnected(1001, "bye")
    call.disconnected(1006, "")
    gone = {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
    assert await waiting == await call.receive() == gone
    with pytest.raises(ClientDisconnected):
        await call.say("send", text="late")


async def test_what_came_before_the_end_is_received_first(call: Call) -> None:
    call.message(Opcode.TEXT, b"last words")
    call.disconnected(1000, "")
    assert (await call.receive())["text"] == "last words"
    assert (await call.receive())["type"] == "websocket.disconnect"


async def test_reading_stops_while_the_application_does_not_take_what_came(call: Call) -> None:
    for number in range(16):
        call.message(Opcode.TEXT, b"%d" % number)
    assert not call.connection.reading
    for _ in range(8):
        await call.receive()
    assert call.connection.reading


@pytest.mark.parametrize(
    ("failed", "ending"), [(False, ("close", 1000, "")), (True, ("close", 1011, "internal error"))]
)
async def test_an_application_that_returns_without_closing_is_closed_for(
    call: Call, failed: bool, ending: tuple[str, int, str]
) -> None:
    await call.say("accept")
    call.finished(failed=failed)
    call.finished(failed=failed)
    assert call.connection.said[1:] == [ending]


async def test_one_that_never_answered_is_a_500(call: Call) -> None:
    call.finished(failed=True)
    assert call.connection.said == [("refuse", b"500")]


async def test_a_handshake_that_waits_when_the_process_ends_is_a_503(call: Call) -> None:
    call.going_away()
    assert call.connection.said == [("refuse", b"503")]


async def test_a_session_takes_over_before_the_handshake_is_answered_only(call: Call) -> None:
    assert call.attached(None, 1)
    with pytest.raises(RuntimeError, match="only before the handshake is answered"):
        call.attached(None, 1)
    gone = Call()
    gone.disconnected(1006, "")
    assert not gone.attached(None, 1)
    assert gone.connection.said == []
