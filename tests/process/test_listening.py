"""Listening sockets: bound, passed by systemd, shared among processes."""

import os
import socket

import pytest

from app.errors import ConfigurationError
from app.process.listening import activated, addresses_of, bind, close, dealt
from tests.process.passed import with_sockets


def test_each_process_gets_sockets_of_one_port() -> None:
    groups = bind("localhost", 0, 3)
    ports = {listening.getsockname()[1] for group in groups for listening in group}
    assert len(groups) == 3
    assert len(ports) == 1
    close(groups)


def test_connections_are_made_without_nagle_s_algorithm() -> None:
    """asyncio's own loop sets TCP_NODELAY where the socket says that it is TCP, and only there.

    An answer in two writes then took 40 ms more: the other side's delayed acknowledgement.
    """
    ((listening,),) = bind("127.0.0.1", 0)
    with listening:
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_in_use_is_refused_by_name(count: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"WIDGETWIRE_PORT: expected a free .*{port}"):
            bind("127.0.0.1", port, count)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="WIDGETWIRE_HOST"):
        bind("no.such.host.invalid", 0)
    with pytest.raises(ConfigurationError, match="WIDGETWIRE_HOST"):
        addresses_of("no.such.host.invalid", 80)


def test_every_socket_is_some_process_s_however_many_there_are() -> None:
    groups = [[socket.socket()], [socket.socket()], [socket.socket()]]
    (a,), (b,), (c,) = groups
    assert dealt(groups, 3) == [[a], [b], [c]]
    assert dealt(groups, 2) == [[a, c], [b]]
    assert dealt(groups, 1) == [[a, b, c]]
    assert dealt(groups, 5) == [[a], [b], [c], [a], [b]]
    close(groups)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
        {"LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_systemd_meant_for_nobody_or_another_is_left_alone(
    environment: dict[str, str],
) -> None:
    environment["LISTEN_FDNAMES"] = "http"
    assert activated(environment) is None
    # The children of this process are not meant either.
    assert environment == {}


def test_sockets_passed_by_systemd_are_taken_and_not_handed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.listen()
        said = with_sockets(
            [one, other],
            "import os; from app.process.listening import activated;"
            "print([(s.getsockname()[1], s.get_inheritable(), s.getblocking())"
            " for s in activated(os.environ)], 'LISTEN_FDS' in os.environ)",
        )
        ports = [one.getsockname()[1], other.getsockname()[1]]
        assert said == f"{[(port, False, False) for port in ports]} False\n"


def test_what_does_not_listen_is_refused() -> None:
    with socket.socket() as passed:
        said = with_sockets(
            [passed],
            "import os; from app.process.listening import activated; activated(os.environ)",
        )
        assert "ConfigurationError: LISTEN_FDS: expected listening TCP sockets" in said
