"""Listening sockets: bound by this process, or passed by systemd; and how processes share them."""

import os
import socket
import sys
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Final, TypeAlias

from app import setting_names
from app.errors import ConfigurationError

__all__ = ["Group", "activated", "addresses_of", "bind", "close", "dealt"]

Group: TypeAlias = list[socket.socket]
"""The sockets of one process: one an address."""

_FIRST_PASSED: Final = 3
"""sd_listen_fds(3): "the first file descriptor is SD_LISTEN_FDS_START", which is 3."""


def addresses_of(host: str, port: int) -> list[tuple[int, str, int]]:
    """Return family, address and port of each address that `host` means.

    Raises:
        ConfigurationError: it means none of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ConfigurationError(
            f"{setting_names.HOST}: expected an address of this machine, got {host!r}"
        ) from None
    return list(dict.fromkeys((family, str(place[0]), port) for family, _, _, _, place in found))


def bind(host: str, port: int, count: int = 1) -> list[Group]:
    """Return, for each of `count` processes, bound sockets that do not listen yet.

    On Linux each process has sockets of its own on one port (SO_REUSEPORT), over which the
    kernel spreads new connections evenly; elsewhere the processes share them.

    Args:
        host: name or address; a name with several addresses is bound on all.
        port: 0 lets the system choose one, the same for every address and process.
        count: of processes.

    Raises:
        ConfigurationError: the address is not ours, or the port is taken or not allowed.
    """
    addresses = [(family, address) for family, address, _ in addresses_of(host, port)]
    several = count > 1 and sys.platform == "linux"
    made: list[Group] = []
    try:
        if several and port:
            # SO_REUSEPORT would quietly share the port with another service of this user.
            close([_bound(addresses, port, reuse=False)])
        for _ in range(count if several else 1):
            made.append(_bound(addresses, port, reuse=several))
            port = made[0][0].getsockname()[1]
    except OSError as error:
        close(made)
        raise ConfigurationError(
            f"{setting_names.PORT}: expected a free port on {host}, got {port}: "
            f"{(error.strerror or 'it cannot be used').lower()}"
        ) from None
    return dealt(made, count)


def activated(environment: MutableMapping[str, str]) -> Group | None:
    """Return the listening sockets that systemd passed to this process; None: it passed none.

    Takes the variables that tell of them out of the environment: no child is meant by them.
    https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html

    Raises:
        ConfigurationError: what was passed is no listening TCP socket.
    """
    # "LISTEN_PID: [...] the daemon should check whether it is really meant for it".
    meant = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not (meant and count.isdecimal() and int(count)):
        return None
    return [_passed(_FIRST_PASSED + number) for number in range(int(count))]


def dealt(groups: Sequence[Group], count: int) -> list[Group]:
    """Return sockets for each of `count` processes, so that each socket is some process's.

    Processes share sockets where there are fewer groups, and have several where there are more.
    """
    if len(groups) < count:
        return [list(groups[number % len(groups)]) for number in range(count)]
    return [[one for group in groups[number::count] for one in group] for number in range(count)]


def close(groups: Iterable[Iterable[socket.socket]]) -> None:
    """Close all sockets. Idempotent."""
    for group in groups:
        for listening in group:
            listening.close()


def _bound(addresses: Sequence[tuple[int, str]], port: int, *, reuse: bool) -> Group:
    bound: Group = []
    try:
        for family, address in addresses:
            # With the protocol named: else asyncio's own loop leaves Nagle's algorithm on, and an
            # answer in two writes waits 40 ms for the peer's delayed acknowledgement.
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            bound.append(listening)
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6 and len(addresses) > 1:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((address, port))
            listening.setblocking(False)
            port = listening.getsockname()[1]
    except OSError:
        close([bound])
        raise
    return bound


def _passed(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        listening = socket.socket(fileno=number)
        suits = (
            listening.family in {socket.AF_INET, socket.AF_INET6}
            and listening.type == socket.SOCK_STREAM
            and listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )
    except OSError:
        suits = False
    if not suits:
        raise ConfigurationError(
            f"LISTEN_FDS: expected listening TCP sockets (ListenStream=, Accept=no), got something "
            f"else as descriptor {number}"
        )
    listening.setblocking(False)
    return listening
