"""One of several server processes, as its parent starts it: ready, and gone with the parent."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from app.process.supervisor import READY
from app.process.worker import server_options

ROOT = Path(__file__).parents[1]


def start(
    factory: str, lifeline: socket.socket, listening: socket.socket
) -> "subprocess.Popen[str]":
    numbers = [str(one.fileno()) for one in (lifeline, listening)]
    return subprocess.Popen(
        [sys.executable, "-m", "app.process.worker", factory, "1", "/", *numbers],
        cwd=ROOT,
        env=os.environ | {"TINY": ""},
        pass_fds=(lifeline.fileno(), listening.fileno()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_says_when_it_serves_and_ends_when_its_parent_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        ours.settimeout(30)
        with start("tests.process.tiny:create_app", theirs, listening) as worker:
            theirs.close()
            assert ours.recv(1) == READY
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            assert httpx.get(f"{url}/pid", timeout=20).text == str(worker.pid)
            # As the system does it for a parent that was killed.
            ours.close()
            output, _ = worker.communicate(timeout=10)
            assert worker.returncode == 0
            assert "Traceback" not in output


def test_an_application_that_cannot_be_made_is_a_line_and_exit_code_2() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        with start("app.composition:create_app", theirs, listening) as worker:
            output, _ = worker.communicate(timeout=30)
        assert worker.returncode == 2
        assert "WIDGETWIRE_DATABASE_URL: expected postgresql://…" in output
        assert "Traceback" not in output


@pytest.mark.parametrize("name", ["keep_alive_seconds", "ping_interval_seconds", "backlog"])
def test_every_process_serves_under_the_settings(name: str) -> None:
    settings = Settings(**{name: 60})
    assert getattr(server_options(settings), name) == 60
    assert server_options(settings).bounds.max_connections == settings.max_connections
