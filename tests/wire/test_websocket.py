"""Our protocol class under uvicorn, over real sockets, byte by byte."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect

from app.telemetry.log_fields import facts_of
from app.wire.session import MAX_UNACCEPTED_BYTES, Outlet
from tests.transports.raw_http import UPGRADE, answer_to
from tests.turns import Turns
from tests.wire.wire import (
    Echo,
    attaching,
    client_frame,
    connected,
    serving,
    until,
)

pytestmark = pytest.mark.anyio

GOODBYE = client_frame(0x8, (1000).to_bytes(2, "big") + b"done")
HALF_A_FRAME = client_frame(0x1, b"never finished")[:9]


async def test_a_session_hears_and_answers_without_a_task() -> None:
    session = Echo()
    async with serving(attaching(session)) as (server, port), connected(port) as wire:
        await wire.say(client_frame(0x1, b"hello"))
        assert await wire.frame() == (0x81, b"hello")
        assert not server.server_state.tasks
        assert len(server.server_state.connections) == 1
        await wire.say(GOODBYE)
        assert await wire.frame() == (0x88, b"\x03\xe8")
        assert await wire.at_end()
        await session.ended.wait()
    assert session.events == [b"hello", "lost"]


async def test_what_is_sent_in_one_turn_arrives_in_order_and_a_shared_text_to_everyone() -> None:
    session, shared = Echo(), b"to all"

    def burst(outlet: Outlet, _text: bytes) -> None:
        for text in (shared, b"other", shared, "ü".encode() * 40_000, shared):
            outlet.send(text)

    session.on_text = burst
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        await wire.say(client_frame(0x1, b"go"))
        answers = [await wire.frame() for _ in range(5)]
    assert answers[0] == answers[2] == answers[4] == (0x81, shared)
    assert answers[1] == (0x81, b"other")
    assert answers[3] == (0x81, "ü".encode() * 40_000)


async def test_what_was_sent_before_a_close_arrives_and_nothing_after_it() -> None:
    session = Echo()

    def answer(outlet: Outlet, _text: bytes) -> None:
        outlet.send(b"first")
        outlet.send(b"second")
        outlet.close(4400, "x" * 200)
        outlet.send(b"never")
        outlet.close(1000, "only the first close counts")

    session.on_text = answer
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        await wire.say(client_frame(0x1, b"go") + client_frame(0x1, b"not heard any more"))
        assert [await wire.frame() for _ in range(2)] == [(0x81, b"first"), (0x81, b"second")]
        assert await wire.frame() == (0x88, (4400).to_bytes(2, "big") + b"x" * 123)
        await wire.say(GOODBYE)
        assert await wire.at_end()
        await session.ended.wait()
    assert session.events == [b"go", "lost"]


async def test_a_binary_message_is_told_to_the_session() -> None:
    session = Echo()
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        await wire.say(client_frame(0x2, b"\0") + client_frame(0x1, b"text"))
        assert await wire.frame() == (0x81, b"text")
    assert session.events[:2] == ["binary", b"text"]


async def test_more_messages_than_a_turn_takes_are_all_heard() -> None:
    session = Echo()
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        texts = [b"%d" % number for number in range(1000)]
        await wire.say(b"".join(client_frame(0x1, text) for text in texts))
        assert [(await wire.frame())[1] for _ in texts] == texts
    assert session.events[:1000] == texts


async def test_messages_that_take_long_leave_turns_to_others() -> None:
    """Sixty documents in one read, each parsed for the first time, held the loop for a second."""
    session = Echo()

    def work(_outlet: Outlet, _text: bytes) -> None:
        done_at = time.thread_time() + 0.004
        while time.thread_time() < done_at:
            pass

    session.on_text = work
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        with Turns() as turns:
            await wire.say(client_frame(0x1, b"x") * 100)
            await until(lambda: len(session.events) == 100)
    assert turns.longest_seconds < 0.1


async def test_a_paused_session_hears_nothing_until_it_resumes_and_is_not_taken_for_dead() -> None:
    session, paused = Echo(), asyncio.Event()

    def pause(outlet: Outlet, text: bytes) -> None:
        if text == b"one":
            outlet.pause_reading()
            paused.set()
        outlet.send(text)

    session.on_text = pause
    app = attaching(session)
    async with (
        serving(app, ws_ping_interval=0.1, ws_ping_timeout=0.1) as (_, port),
        connected(port) as wire,
    ):
        await wire.say(client_frame(0x1, b"one") + client_frame(0x1, b"two"))
        await paused.wait()
        assert await wire.frame() == (0x81, b"one")
        # Pings go unanswered for longer than the timeout: nobody reads the answers.
        assert [await wire.frame() for _ in range(4)] == [(0x89, b"")] * 4
        assert session.events == [b"one"]
        assert session.outlet is not None
        session.outlet.resume_reading()
        while (frame := await wire.frame()) == (0x89, b""):
            pass
        assert frame == (0x81, b"two")


async def test_a_reader_that_stops_is_closed_with_1013_and_holds_no_more_than_the_bound() -> None:
    session = Echo()
    session.on_text = lambda _outlet, _text: None
    app = attaching(session, max_outbound_bytes=100_000)
    async with serving(app) as (_, port), connected(port, receive_buffer=4096) as wire:
        await session.is_open.wait()
        assert session.outlet is not None
        sent = 0
        while not session.ended.is_set():
            session.outlet.send(b"m" * 1000)
            sent += 1
            await asyncio.sleep(0)
        assert session.events == ["lost"]
        # It reads again: whole frames up to the goodbye, and less than was sent.
        came = 0
        while (frame := await wire.frame())[0] == 0x81:
            assert frame[1] == b"m" * 1000
            came += 1
        assert frame == (0x88, b"\x03\xf5reading too slowly")
        assert came < sent


async def test_a_peer_that_never_reads_again_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.wire.websocket.CLOSE_TIMEOUT_SECONDS", 0.2)
    session = Echo()
    app = attaching(session, max_outbound_bytes=100_000)
    async with serving(app) as (server, port), connected(port, receive_buffer=4096):
        await session.is_open.wait()
        assert session.outlet is not None
        while not session.ended.is_set():
            session.outlet.send(b"m" * 1000)
            await asyncio.sleep(0)
        await until(lambda: not server.server_state.connections)


async def test_a_flood_of_pings_with_unread_pongs_holds_one_pong() -> None:
    session = Echo()
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        for number in range(100):
            await wire.say(client_frame(0x9, b"%d" % number))
        assert [await wire.frame() for _ in range(100)] == [
            (0x8A, b"%d" % number) for number in range(100)
        ]
        await session.is_open.wait()
        outlet: Any = session.outlet
        outlet.pause_writing()  # As the transport does when the peer reads no more.
        for number in range(10_000):
            await wire.say(client_frame(0x9, b"%d" % number))
        await wire.say(client_frame(0x1, b"mark"))
        await until(lambda: session.events)
        outlet.resume_writing()
        assert await wire.frame() == (0x81, b"mark")
        assert await wire.frame() == (0x8A, b"9999")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (client_frame(0x1, b"x" * 1001), 1009),
        (client_frame(0x1, b"\xff"), 1007),
        (client_frame(0x3, b"x"), 1002),
        (client_frame(0x1, b"x", mask=False), 1002),
        (client_frame(0x1, b"x" * 600, fin=False) + client_frame(0x0, b"x" * 600), 1009),
    ],
)
async def test_a_breach_closes_with_its_code_though_the_peer_goes_on_sending(
    said: bytes, code: int
) -> None:
    session = Echo()
    app = attaching(session)
    async with serving(app, ws_max_size=1000) as (_, port), connected(port) as wire:
        await wire.say(said + b"\0" * 100_000)
        assert await wire.closed() == code
        assert await wire.at_end()
        await session.ended.wait()
    assert session.events == ["lost"]


async def test_half_a_frame_then_silence_ends_with_a_code_that_invites_back() -> None:
    session = Echo()
    app = attaching(session)
    async with (
        serving(app, ws_ping_interval=0.1, ws_ping_timeout=0.1) as (_, port),
        connected(port) as wire,
    ):
        await wire.say(HALF_A_FRAME)
        assert await wire.closed() == 1001
        await session.ended.wait()


async def test_a_peer_that_answers_pings_stays() -> None:
    session = Echo()
    app = attaching(session)
    async with (
        serving(app, ws_ping_interval=0.1, ws_ping_timeout=0.1) as (_, port),
        connect(f"ws://127.0.0.1:{port}/", ping_interval=None) as client,
    ):
        ends = time.monotonic() + 0.6
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + 0.6):
                await client.recv()
        assert time.monotonic() >= ends - 0.05
        await client.send("still here")
        assert await client.recv() == "still here"


async def test_a_cut_connection_is_told_to_the_session() -> None:
    session = Echo()
    async with serving(attaching(session)) as (_, port), connected(port) as wire:
        await session.is_open.wait()
        wire.writer.transport.abort()
        await session.ended.wait()
    assert session.outlet is not None
    session.outlet.send(b"nobody")
    session.outlet.close(1000, "")
    session.outlet.pause_reading()
    session.outlet.resume_reading()
    assert session.events == ["lost"]


async def test_shutting_down_waits_for_the_session_s_last_word() -> None:
    session = Echo()
    async with serving(attaching(session)) as (server, port), connected(port) as wire:
        await session.is_open.wait()
        server.should_exit = True
        await session.shutting_down.wait()
        assert session.outlet is not None
        session.outlet.send(b"acknowledged")
        session.outlet.close(1012, "restarting")
        assert await wire.frame() == (0x81, b"acknowledged")
        assert await wire.frame() == (0x88, b"\x03\xf4restarting")
        await wire.say(client_frame(0x8, b"\x03\xf4"))
        assert await wire.at_end()
    assert session.events == ["shutdown", "lost"]


async def test_a_session_that_says_nothing_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.wire.websocket._SHUTDOWN_SECONDS", 0.1)
    session = Echo()
    async with serving(attaching(session)) as (server, port), connected(port) as wire:
        await session.is_open.wait()
        server.should_exit = True
        assert await wire.closed() == 1012
    assert session.events == ["shutdown", "lost"]


@pytest.mark.parametrize("wrong", ["Sec-WebSocket-Key: short", "Sec-WebSocket-Version: 12"])
async def test_a_wrong_upgrade_request_is_refused(wrong: str) -> None:
    headers = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    name, _, value = wrong.partition(": ")
    headers[name] = value
    async with serving(attaching(Echo())) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = "".join(f"{key}: {text}\r\n" for key, text in headers.items())
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n" + lines.encode() + b"\r\n"
        )
        answer = await reader.read()
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 "))
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "unfinished",
    [
        pytest.param([client_frame(0x1, b"x" * 2**20)[:-1]], id="announced"),
        pytest.param([client_frame(0x1, b"x" * MAX_UNACCEPTED_BYTES)[:-1]], id="just allowed"),
        pytest.param(
            [client_frame(0x2, b"x" * 1000, fin=False)]
            + [client_frame(0x0, b"x" * 1000, fin=False)] * 1047,
            id="fragments",
        ),
    ],
)
async def test_sockets_that_have_shown_nothing_hold_little(unfinished: list[bytes]) -> None:
    """200 of them that push 1 MiB each made the process hold 204 MiB; this is 40 of them."""
    sockets, session = 40, Echo(accepts=False)
    async with serving(attaching(session)) as (server, port), AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(port)) for _ in range(sockets)]
        for wire in wires:
            await wire.say(b"".join(unfinished))

        def held() -> list[int]:
            protocols: list[Any] = list(server.server_state.connections)
            readers = [protocol._reader for protocol in protocols]
            return [0 if reader is None else reader.held_bytes for reader in readers]

        if len(unfinished) > 1 or len(unfinished[0]) > 2**20:
            # Refused from the header alone, before the rest was read.
            assert [await wire.closed() for wire in wires] == [1009] * sockets
            assert sum(held()) == 0
        else:
            await until(lambda: held() == [MAX_UNACCEPTED_BYTES - 1] * sockets)


async def test_opening_and_closing_are_lines_of_the_log_for_debugging(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A socket that did not work left no trace at all."""
    session = Echo()
    with caplog.at_level(logging.DEBUG, "app.wire.websocket"):
        async with serving(attaching(session)) as (_, port):
            async with connected(port, target=b"/?token=secret") as wire:
                await wire.say(client_frame(0x8, (4001).to_bytes(2, "big") + b"done\nwith it"))
                await session.ended.wait()
            async with connected(port) as wire:
                await wire.say(client_frame(0x3))
                assert await wire.closed() == 1002
                # Refused: never opened.
                assert (await answer_to(port, UPGRADE)).startswith(b"HTTP/1.1 403")
    facts = [facts_of(record) for record in caplog.records if "socket" in record.getMessage()]
    opened, closed, other, refused = facts
    assert (opened["event"], opened["path"]) == ("socket.opened", "/")
    assert opened["connection_id"] == closed["connection_id"] != other["connection_id"]
    expected = {"event": "socket.closed", "code": 4001, "by": "client", "received": 0, "sent": 1}
    assert closed.items() >= expected.items()
    assert refused.items() >= {"code": 1002, "by": "server"}.items()
    # Neither the query nor what the client said at the end.
    assert "secret" not in caplog.text
    assert not any("done" in str(fact) for one in facts for fact in one.values())


async def test_nothing_is_kept_for_lines_that_nobody_wants() -> None:
    session = Echo()
    async with serving(attaching(session)) as (server, port), connected(port):
        await session.is_open.wait()
        (protocol,) = server.server_state.connections
        assert protocol._story is None  # type: ignore[union-attr]
