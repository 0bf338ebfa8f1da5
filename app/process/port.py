"""The port of a service: where its listening sockets come from, and who gets them next."""

import os
import signal
from collections.abc import MutableMapping
from typing import Self

from app import setting_names
from app.config import Settings, broadcast_scheme
from app.errors import ConfigurationError
from app.process.listening import Group, activated, addresses_of, bind, dealt
from app.process.takeover import Handover, Takeover

__all__ = ["Port"]


class Port:
    """The listening sockets of this service.

    Args:
        sockets: those of each process.
        host: as it was asked for; None: the first socket's.
        taken: what they were taken from, if another service still listens.
    """

    def __init__(
        self, sockets: list[Group], host: str | None = None, taken: Takeover | None = None
    ) -> None:
        self.sockets = sockets
        self._taken = taken
        address, self._port = sockets[0][0].getsockname()[:2]
        self._host: str = host or address

    @classmethod
    def open(
        cls, settings: Settings, environment: MutableMapping[str, str], *, takeover: bool
    ) -> Self:
        """Return systemd's sockets, or those of the service that runs, or new ones.

        Args:
            settings: host, port and number of processes.
            environment: of this process; systemd's variables are taken out of it.
            takeover: ask the service that serves there for its sockets, if there is one.

        Raises:
            ConfigurationError: the port cannot be had.
        """
        passed = activated(environment)
        if passed is not None:
            return cls(dealt([passed], settings.workers))
        if takeover:
            if settings.port == 0:
                raise ConfigurationError(
                    f"--takeover: expected the port of a running service in {setting_names.PORT}, "
                    "got 0"
                )
            if broadcast_scheme(settings.broadcast_url) == "memory":
                raise ConfigurationError(
                    "--takeover: expected a bus that joins both services for a while, got memory://"
                )
            addresses = addresses_of(settings.host, settings.port)
            taken = Takeover.ask([(address, port) for _, address, port in addresses])
            if taken is not None:
                return cls(dealt(taken.groups, settings.workers), settings.host, taken)
        return cls(bind(settings.host, settings.port, settings.workers), settings.host)

    @property
    def url(self) -> str:
        """http://HOST:PORT"""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def ready(self) -> None:
        """Everything serves: the service before this one ends, and another may take over."""
        if self._taken is not None:
            self._taken.finish()
        Handover(self.sockets, _end).start()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
