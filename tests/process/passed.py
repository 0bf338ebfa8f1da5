"""Starts a program as systemd does for a socket unit: sd_listen_fds(3)."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ROOT", "command", "with_sockets"]

ROOT = Path(__file__).parents[2]

_EXEC = """
import os, sys
numbers = [int(one) for one in sys.argv[1].split(",")]
# Out of each other's way first.
high = [os.dup2(one, 100 + place) for place, one in enumerate(numbers)]
for place, one in enumerate(high):
    os.dup2(one, 3 + place)
    os.close(one)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(numbers))}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def command(sockets: Sequence[socket.socket], *arguments: str) -> list[str]:
    """Return what runs Python with these arguments and passes it the sockets as 3, 4, …

    To be started with the sockets as `pass_fds`.
    """
    numbers = ",".join(str(one.fileno()) for one in sockets)
    return [sys.executable, "-c", _EXEC, numbers, *arguments]


def with_sockets(sockets: Sequence[socket.socket], program: str) -> str:
    """Run a program with these sockets passed; return what it said, errors included."""
    return subprocess.run(
        command(sockets, "-c", program),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        pass_fds=[one.fileno() for one in sockets],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    ).stdout
