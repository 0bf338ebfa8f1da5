"""Where a service's sockets come from: systemd, the service that runs, or a port of its own."""

import os
import socket
import subprocess

import httpx
import pytest

from app.config import Settings
from app.errors import ConfigurationError
from app.process.listening import close
from app.process.port import Port
from tests.process.passed import ROOT, command

SERVES = """
import os
from app.config import Settings
from app.process.port import Port
from app.process.server import ServerOptions, run_server
from tests.process.tiny import create_app
port = Port.open(Settings(port=1), os.environ, takeover=True)
run_server(
    create_app(Settings()), port.sockets[0], ServerOptions(), lambda: print(port.url, flush=True)
)
"""


def test_a_port_of_its_own_is_named_as_it_was_asked_for() -> None:
    port = Port.open(Settings(port=0, host="localhost", workers=2), {}, takeover=False)
    number = port.sockets[0][0].getsockname()[1]
    assert port.url == f"http://localhost:{number}"
    assert len(port.sockets) == 2
    close(port.sockets)
    assert port.url == f"http://localhost:{number}", "after its end too"
    with socket.socket() as one:
        assert Port([[one]], "::1").url == "http://[::1]:0"


def test_a_takeover_where_nobody_serves_is_an_ordinary_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    port = Port.open(Settings(port=number), {}, takeover=True)
    assert port.url == f"http://127.0.0.1:{number}"
    close(port.sockets)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"port": 0}, "--takeover: expected the port of a running service in WIDGETWIRE_PORT"),
        ({"broadcast_url": "memory://"}, "--takeover: expected a bus that joins both services"),
    ],
)
def test_what_cannot_be_taken_over_is_said(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Port.open(Settings(**settings), {}, takeover=True)


def test_between_two_services_of_a_systemd_socket_clients_wait_and_nobody_is_refused() -> None:
    """systemd holds the socket: what comes while nobody serves waits in it for the next one."""
    with socket.create_server(("127.0.0.1", 0)) as unit:
        url = f"http://127.0.0.1:{unit.getsockname()[1]}"
        for _ in range(2):
            # Nobody serves yet.
            with socket.create_connection(unit.getsockname(), timeout=30) as early:
                early.sendall(b"GET /pid HTTP/1.1\r\nhost: a\r\n\r\n")
                with subprocess.Popen(
                    command([unit], "-c", SERVES),
                    cwd=ROOT,
                    env=os.environ | {"PYTHONPATH": str(ROOT), "TINY": ""},
                    pass_fds=[unit.fileno()],
                    stdout=subprocess.PIPE,
                    text=True,
                ) as service:
                    assert service.stdout is not None
                    assert service.stdout.readline() == f"{url}\n"
                    assert early.recv(1000).startswith(b"HTTP/1.1 200 OK")
                    assert int(httpx.get(f"{url}/pid").text) == service.pid
                    service.terminate()
                    while "drained" not in service.stdout.readline():
                        pass
                    assert service.wait(15) == 0
