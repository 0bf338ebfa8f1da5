"""One of several server processes; started by `app.process.supervisor.Supervisor`, not by hand.

    python -m app.process.worker FACTORY NAME DIRECTORY LIFELINE SOCKET...

FACTORY is `module:callable` and makes the application; NAME and DIRECTORY are its place among
the workers (`WorkerPlace`); the others are inherited file descriptors. Settings come from the
environment, as in the parent.
"""

import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from app.config import Settings
from app.errors import ConfigurationError, StartupError
from app.process.server import ServerOptions, run_server
from app.process.supervisor import READY
from app.telemetry.logs import configure_logging
from app.telemetry.workers import WorkerPlace
from app.wire.http import HttpBounds
from app.wire.trusted_proxies import TrustedProxies

__all__ = ["main", "server_options"]


def server_options(settings: Settings) -> ServerOptions:
    """Return how one process serves under `settings`."""
    return ServerOptions(
        bounds=HttpBounds(
            header_timeout_seconds=settings.header_timeout_seconds,
            body_timeout_seconds=settings.body_timeout_seconds,
            max_header_bytes=settings.max_header_bytes,
            max_connections=settings.max_connections,
        ),
        trusted_proxies=TrustedProxies(settings.trusted_proxies),
        max_connections_per_address=settings.max_connections_per_address,
        max_frame_bytes=settings.max_frame_bytes,
        ping_interval_seconds=settings.ping_interval_seconds,
        ping_timeout_seconds=settings.ping_timeout_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        backlog=settings.backlog,
        shutdown_grace_seconds=settings.shutdown_grace_seconds,
        shutdown_spread_seconds=settings.shutdown_spread_seconds,
        access_log=settings.access_log,
    )


def main(arguments: list[str]) -> int:
    """Serve until told to end, or until the parent is gone; return the exit code."""
    factory, name, directory, lifeline_number, *numbers = arguments
    lifeline = socket.socket(fileno=int(lifeline_number))
    try:
        settings = Settings()
        configure_logging(settings.log_level, settings.log_format)
        module, _, made_by = factory.partition(":")
        app = getattr(importlib.import_module(module), made_by)(settings)
        app.place = WorkerPlace(name, Path(directory))
        threading.Thread(target=_outlive, args=(lifeline,), daemon=True).start()
        run_server(
            app,
            [socket.socket(fileno=int(number)) for number in numbers],
            server_options(settings),
            on_ready=lambda: _say(lifeline),
        )
    except ConfigurationError as error:
        sys.stderr.write(f"widgetwire: {error}\n")
        return 2
    except StartupError:
        return 1
    return 0


def _say(lifeline: socket.socket) -> None:
    # The parent may be gone already; `_outlive` sees to that.
    with contextlib.suppress(OSError):
        lifeline.send(READY)


def _outlive(lifeline: socket.socket) -> None:
    """End this process when the parent is gone: nobody would stop it or replace it."""
    lifeline.setblocking(True)
    with contextlib.suppress(OSError):
        lifeline.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
