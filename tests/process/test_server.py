"""One server process: how it begins, and that it ends in order and in time."""

import asyncio
import signal
import threading
import time

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.sync.client import connect

from app.process.server import ServerOptions, _Server
from tests.process.tiny_process import TinyProcess


def test_sigterm_lets_a_running_request_finish_after_the_drain_and_exits_0() -> None:
    with TinyProcess() as tiny:
        url = tiny.url
        answers: list[str] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx.get(f"{url}/slow", timeout=20).text)
        )
        asking.start()
        tiny.line("slow began")
        assert tiny.end() == 0
        asking.join(10)
        assert answers == ["done"]
        tiny.line("drained")


def test_sigint_ends_it_like_sigterm() -> None:
    with TinyProcess() as tiny:
        assert tiny.url
        tiny.process.send_signal(signal.SIGINT)
        assert tiny.wait() == 0


def test_after_sigterm_no_connection_is_accepted() -> None:
    with TinyProcess(wrong="drains for ever", grace_seconds=2) as tiny:
        url = tiny.url
        tiny.process.terminate()
        tiny.line("drained")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/pid")
        assert tiny.wait() == 0


@pytest.mark.parametrize("wrong", ["drains for ever", "fails to drain", "blocks", "never ends"])
def test_whatever_hangs_at_the_end_it_exits_0_in_time(wrong: str) -> None:
    with TinyProcess(wrong=wrong, grace_seconds=0.5) as tiny:
        assert tiny.url
        began = time.monotonic()
        assert tiny.end() == 0
        assert time.monotonic() - began < 5


def test_an_open_socket_is_closed_when_it_ends_and_does_not_hold_it_up() -> None:
    with TinyProcess(grace_seconds=2) as tiny:
        url = tiny.url.replace("http", "ws", 1)
        with connect(f"{url}/echo") as socket:
            socket.send("hello")
            assert socket.recv(10) == "hello"
            tiny.process.terminate()
            with pytest.raises(Exception, match="1012"):
                socket.recv(10)
        assert tiny.wait() == 0


@pytest.mark.anyio
async def test_sockets_are_told_one_after_another_by_the_server_s_options() -> None:
    """10,000 clients that all come back in one instant would bring the next process down."""
    server = _server(shutdown_spread_seconds=6, shutdown_grace_seconds=8)
    assert server._farewell._seconds == 4, "half of the grace: who is told last has time too"
    assert _server(shutdown_spread_seconds=1)._farewell._seconds == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("signals", "hurried", "forced"),
    [
        ("TERM", False, False),
        ("INT", False, False),
        ("TERM TERM", True, False),
        ("TERM INT", True, True),
        ("INT INT", True, True),
        # A Ctrl+C reaches a supervisor and its workers alike, and it tells them too.
        ("INT TERM", False, False),
        ("INT TERM TERM", True, False),
        ("INT TERM INT TERM", True, True),
    ],
)
async def test_a_second_signal_hurries(signals: str, hurried: bool, forced: bool) -> None:
    server = _server()
    for name in signals.split():
        server._stop(signal.Signals[f"SIG{name}"])
    assert server.should_exit
    assert server._farewell._hurried.is_set() is hurried
    assert server.force_exit is forced


def _server(**options: float) -> _Server:
    app = Starlette()
    return _Server(uvicorn.Config(app), app, ServerOptions(**options), lambda: None)  # type: ignore[arg-type]


def test_a_refusal_to_start_is_one_line_and_exit_code_1() -> None:
    with TinyProcess(wrong="refuses to start") as tiny:
        assert tiny.wait() == 1
        text = "".join(tiny.printed)
        assert "TINY: expected a good mood" in text
        assert "Traceback" not in text


@pytest.mark.parametrize("workers", [1, 2])
def test_a_serving_process_collects_garbage_seldom(workers: int) -> None:
    """The function that sets it, credited with a doubling, was called nowhere."""
    with TinyProcess(workers) as tiny:
        threshold, frozen = httpx.get(f"{tiny.url}/garbage").text.split()
        assert int(threshold) == 20_000
        assert int(frozen) > 10_000
        assert tiny.end() == 0


def test_the_server_does_not_name_itself() -> None:
    with TinyProcess() as tiny:
        assert "server" not in httpx.get(f"{tiny.url}/pid").headers
        assert tiny.end() == 0


@pytest.mark.anyio
async def test_many_connections_at_once_are_all_answered() -> None:
    with TinyProcess() as tiny:
        url = tiny.url
        async with httpx.AsyncClient() as client:
            answers = await asyncio.gather(*(client.get(f"{url}/pid") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert tiny.end() == 0
