"""Search connections give way: their server processes get the processor when others leave it.

Postgres has no priorities of its own. Where its processes are ours to touch, as those of the
embedded one are, the system's own are used (`nice`): a search then runs at full speed on an idle
machine and gets out of the way of a publish. Where they are not (another machine, a container,
another user), nothing happens: the server's operator may do as much by other means.
"""

import logging
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

from app.storage.database import Connection

__all__ = ["NICENESS", "give_way"]

logger = logging.getLogger(__name__)

NICENESS: Final = 10
"""A tenth of the weight of others. With less, on a machine that is always busy, no search would
end, and one that holds a lock of Postgres for a moment would keep it for long."""

_CREDENTIALS: Final = struct.Struct("3i")
"""Of SO_PEERCRED: process, user, group. https://man7.org/linux/man-pages/man7/unix.7.html"""


async def give_way(connection: Connection) -> None:
    """Lower the priority of a connection's server process, if that can be done; never raises.

    Args:
        connection: a new one.
    """
    try:
        if sys.platform == "linux" and _is_ours(connection):
            os.setpriority(os.PRIO_PROCESS, connection.get_server_pid(), NICENESS)
    except (OSError, ValueError) as error:
        logger.debug("searches keep their priority: %s", error)


def _is_ours(connection: Connection) -> bool:
    """Whether the number of its server process is that of a process of this system.

    A number from another machine or container would be some other process here. Over a Unix
    socket the kernel says which process listens; its child of that number is the one.
    """
    transport = connection._transport  # type: ignore[union-attr]  # asyncpg has no public way
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family != socket.AF_UNIX:
        return False
    with socket.socket(fileno=os.dup(peer.fileno())) as same:
        credentials = same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    listening: int = _CREDENTIALS.unpack(credentials)[0]
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the fourth field, after a name
    # in brackets that may hold anything.
    stat = Path(f"/proc/{connection.get_server_pid()}/stat").read_text(encoding="utf-8")
    return listening > 0 and int(stat.rpartition(")")[2].split()[1]) == listening
