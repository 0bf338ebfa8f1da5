"""A new version takes over the port: the running service hands its listening sockets to it.

The sockets themselves go from process to process, with the connections that wait in them: at no
moment does nobody listen. The old service goes on until the new one is ready.

    new                                   old
     │──connect──────────────────────────► │
     │◄─how many sockets, and the sockets──│
     │   (starts, is ready)                │   (serves on)
     │──READY────────────────────────────► │
     │◄────────────────────────────LEAVING─│   ends as on SIGTERM

They meet at a name in Linux's abstract namespace, made of the listening addresses: it belongs to
the network namespace, as the port does, and ends with its process. Only the same user is answered.
"""

import contextlib
import errno
import hashlib
import json
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from os import geteuid
from typing import Final

from app import __version__
from app.errors import ConfigurationError
from app.process.listening import Group, close

__all__ = ["Handover", "Takeover"]

_PROTOCOL: Final = 1
"""Of what is said between two versions; it only changes when they could not understand it."""
_READY: Final = b"ready"
_LEAVING: Final = b"leaving"
_MOST_SOCKETS: Final = 253
"""SCM_MAX_FD: what one message may carry."""
_MOST_BYTES: Final = 4096
_ANSWER_SECONDS: Final = 5.0
_NAME_POLL_SECONDS: Final = 0.5
_NOBODY: Final = {errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET}

_logger = logging.getLogger(__name__)


def name_of(addresses: Iterable[tuple[str, int]]) -> str:
    """Return where the service that listens on these addresses is asked for its sockets."""
    text = " ".join(sorted({f"{address} {port}" for address, port in addresses}))
    return f"\0widgetwire-takeover-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class Takeover:
    """The sockets of the service that still runs; the new service's side.

    Made by `ask`.
    """

    def __init__(self, connection: socket.socket, groups: list[Group], version: str) -> None:
        self._connection = connection
        self.groups = groups
        """Listening already, one an old process."""
        self.version = version
        """Of the service that runs."""

    @classmethod
    def ask(cls, addresses: Sequence[tuple[str, int]]) -> "Takeover | None":
        """Ask the service on these addresses for its sockets; None: nobody serves there.

        Raises:
            ConfigurationError: there is one that cannot hand them over, or not to this user.
        """
        if sys.platform != "linux":
            raise ConfigurationError("--takeover: expected Linux; elsewhere end the old one first")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(name_of(addresses))
            if _user_of(connection) != geteuid():
                raise ConfigurationError(
                    "--takeover: the running service belongs to another user: expected user "
                    f"{geteuid()}, got {_user_of(connection)}"
                )
            said, numbers, _, _ = socket.recv_fds(
                connection, _MOST_BYTES, _MOST_SOCKETS, socket.MSG_CMSG_CLOEXEC
            )
            return cls._of(connection, said, numbers)
        except OSError as error:
            connection.close()
            if error.errno in _NOBODY:
                return None
            raise ConfigurationError(
                f"--takeover: the running service does not hand over its port ({error}): another "
                "takeover may be under way"
            ) from error
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _of(
        cls, connection: socket.socket, said: bytes, numbers: Sequence[int]
    ) -> "Takeover | None":
        sockets = [socket.socket(fileno=number) for number in numbers]
        if not said:
            connection.close()
            return None  # It is ending.
        told = json.loads(said)
        if told["protocol"] != _PROTOCOL or "refused" in told:
            close([sockets])
            why = told.get("refused", "it speaks another protocol")
            raise ConfigurationError(
                f"--takeover: widgetwire {told['version']} cannot hand over its port: {why}; end "
                "it, then start this one"
            )
        left = iter(sockets)
        groups = [[next(left) for _ in range(size)] for size in told["groups"]]
        return cls(connection, groups, told["version"])

    def finish(self) -> None:
        """Everything serves: have the old service end. Returns once it is going to."""
        with self._connection:
            try:
                self._connection.send(_READY)
                if self._connection.recv(_MOST_BYTES) == _LEAVING:
                    _logger.info(
                        "took over the port from widgetwire %s, which ends now", self.version
                    )
                    return
            except OSError:
                pass
        _logger.warning("the service whose port this one took over has ended by itself")


class Handover:
    """Hands the listening sockets to whoever takes over; the running service's side.

    A thread of its own waits for that. One takeover at a time: a second one waits and is told
    nothing. Whoever asked and ends before it is ready changes nothing.

    Args:
        groups: the sockets of each process.
        on_taken: called once, from that thread, when the new service is ready.
    """

    def __init__(self, groups: Sequence[Group], on_taken: Callable[[], None]) -> None:
        self._groups = groups
        self._on_taken = on_taken
        self._name = name_of(listening.getsockname()[:2] for listening in groups[0])

    def start(self) -> None:
        """Begin to wait, where the system can do it."""
        if sys.platform == "linux":
            threading.Thread(target=self._serve, name="handover", daemon=True).start()

    def _serve(self) -> None:
        try:
            with self._listening() as listening:
                while not self._taken_by(listening.accept()[0]):
                    pass
        except OSError as error:
            _logger.error("nobody can take over the port of this process any more: %s", error)
        else:
            _logger.info("another process took over the port; this one ends")
            self._on_taken()

    def _listening(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pause = threading.Event()
        while True:
            try:
                listening.bind(self._name)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                # The service before this one on the port is ending.
                pause.wait(_NAME_POLL_SECONDS)
            else:
                listening.listen(8)
                return listening

    def _taken_by(self, connection: socket.socket) -> bool:
        """Hand over to whoever has connected; return whether it serves now."""
        with connection, contextlib.suppress(OSError):
            if self._ready(connection):
                connection.send(_LEAVING)
                return True
        return False

    def _ready(self, connection: socket.socket) -> bool:
        if _user_of(connection) != geteuid():
            _logger.warning("user %d may not take over the port", _user_of(connection))
            return False
        # Workers may share sockets.
        groups = list({id(group[0]): group for group in self._groups}.values())
        numbers = [listening.fileno() for group in groups for listening in group]
        if min(numbers) < 0:
            return False  # This process is ending.
        told: dict[str, object] = {"protocol": _PROTOCOL, "version": __version__}
        if len(numbers) > _MOST_SOCKETS:
            told["refused"] = f"it has {len(numbers)} sockets, at most {_MOST_SOCKETS} can go"
            numbers = []
        told["groups"] = [len(group) for group in groups]
        socket.send_fds(connection, [json.dumps(told).encode()], numbers)
        return connection.recv(_MOST_BYTES) == _READY


def _user_of(connection: socket.socket) -> int:
    """Return the user at the other end, as the kernel knows it: struct ucred of unix(7)."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    user: int = struct.unpack("3i", credentials)[1]
    return user
