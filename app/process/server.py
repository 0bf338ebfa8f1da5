"""One server process: uvicorn with our bounds, and an end that is prompt and in order.

On SIGTERM or SIGINT: stop accepting, tell one connection after another to end when what it has
acknowledged is finished, so that clients come back, let the application drain, then end. Bounded
in time whatever hangs. A second SIGTERM tells all that are left at once; a second Ctrl+C waits
for nobody.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from app.defaults import (
    BACKLOG,
    KEEP_ALIVE_SECONDS,
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_FRAME_BYTES,
    PING_INTERVAL_SECONDS,
    PING_TIMEOUT_SECONDS,
    SHUTDOWN_GRACE_SECONDS,
    SHUTDOWN_SPREAD_SECONDS,
)
from app.errors import ConfigurationError, StartupError, WidgetwireError
from app.process.farewell import Farewell, Leaving
from app.telemetry.log_fields import event
from app.wire.http import BoundedHttpProtocol, HttpBounds
from app.wire.peer import Peers
from app.wire.shared import Shared
from app.wire.trusted_proxies import TrustedProxies
from app.wire.websocket import WebSocketProtocol

__all__ = ["ServerOptions", "raise_file_limit", "run_server"]

_logger = logging.getLogger(__name__)

_GARBAGE_THRESHOLDS: Final = (20_000, 50, 100)
"""New objects before the youngest are looked at, then how many of those before the older."""
_LIFESPAN_SECONDS: Final = 1.0
"""What the application's own shutdown (pools, tasks) gets after the drain."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one process serves.

    Args:
        trusted_proxies: their `X-Forwarded-For` is believed.
        max_connections_per_address: open at once, the next is answered 429; 0: any number.
        max_frame_bytes: largest WebSocket message from a client.
        ping_interval_seconds: a quiet socket is pinged this often.
        ping_timeout_seconds: an unanswered ping closes the socket after this.
        keep_alive_seconds: an idle HTTP connection is closed after this.
        backlog: connections the kernel queues before accept.
        shutdown_grace_seconds: what drain and running requests get after SIGTERM.
        shutdown_spread_seconds: of that, how long it takes until the last connection is told;
            at most half.
        access_log: log one line per HTTP request.
    """

    bounds: HttpBounds = field(default_factory=HttpBounds)
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    max_frame_bytes: int = MAX_FRAME_BYTES
    ping_interval_seconds: float = PING_INTERVAL_SECONDS
    ping_timeout_seconds: float = PING_TIMEOUT_SECONDS
    keep_alive_seconds: int = KEEP_ALIVE_SECONDS
    backlog: int = BACKLOG
    shutdown_grace_seconds: float = SHUTDOWN_GRACE_SECONDS
    shutdown_spread_seconds: float = SHUTDOWN_SPREAD_SECONDS
    access_log: bool = False


class _Lifespan:
    """Logs a refusal to start as one line instead of Starlette's traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except (ConfigurationError, WidgetwireError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except Exception:
            if not failed:
                raise
            await send(failed[0])


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        app: Starlette,
        options: ServerOptions,
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._app = app
        self._options = options
        self._on_ready = on_ready
        self.asked = 0.0
        self._first: int | None = None
        self._farewell = Farewell(
            # uvicorn's annotation names its own classes; these are ours.
            cast("set[Leaving]", self.server_state.connections),
            min(options.shutdown_spread_seconds, options.shutdown_grace_seconds / 2),
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which turns a clean end into death
        # by SIGTERM.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in signals:
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        if self.should_exit:
            if (self._first, number) == (signal.SIGINT, signal.SIGTERM):
                # A Ctrl+C reaches a supervisor and its workers alike, and it tells them too.
                self._first = None
                return
            self._farewell.hurry()
            self.force_exit = self.force_exit or number == signal.SIGINT
            return
        self._first = number
        self.should_exit = True
        self.asked = time.monotonic()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _collect_garbage_seldom()
        _logger.info("this process serves", extra=event("process.serving"))
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        grace = self._options.shutdown_grace_seconds
        deadline = time.monotonic() + grace
        last = threading.Timer(grace + _LIFESPAN_SECONDS + 0.5, _abandon)
        last.daemon = True
        last.start()
        _logger.info(
            "shutting down with %d connections",
            len(self.server_state.connections),
            extra=event("process.stopping", connections=len(self.server_state.connections)),
        )
        try:
            for server in self.servers:
                server.close()
            for listening in sockets or []:
                listening.close()
            Shared.of(self.server_state, self.config).leaving = True
            leave = getattr(self._app.state, "leave", None)
            if leave is not None:
                leave()
            await self._farewell.run()
            await self._drain(deadline - time.monotonic())
            # uvicorn waits in whole turns of 0.1 s; None would be for ever.
            left = max(0.1, deadline - time.monotonic())
            self.config.timeout_graceful_shutdown = left  # type: ignore[assignment]
            await asyncio.wait_for(super().shutdown(), left + _LIFESPAN_SECONDS)
        except TimeoutError:
            _logger.error(
                "shutting down took too long; the rest is abandoned",
                extra=event("process.stopped_late"),
            )
        finally:
            last.cancel()

    async def _drain(self, seconds: float) -> None:
        drain = getattr(self._app.state, "drain", None)
        if drain is None:
            return
        try:
            await asyncio.wait_for(drain(), seconds)
        except TimeoutError:
            _logger.error(
                "draining took longer than %g s; sockets are closed as they are",
                seconds,
                extra=event("process.stopped_late"),
            )
        except Exception:
            _logger.exception("draining failed; sockets are closed as they are")


def run_server(
    app: Starlette,
    sockets: list[socket.socket],
    options: ServerOptions,
    on_ready: Callable[[], None],
) -> float:
    """Serve `app` until SIGTERM or SIGINT; return when that came, as `time.monotonic` tells it.

    Args:
        app: when the process is to end, its `state.leave` is called, if set; when the last
            connection has been told, its `state.drain` is awaited, if set.
        sockets: bound; closed when the process is to end.
        options: see there.
        on_ready: called once requests are answered.

    Raises:
        StartupError: the application's lifespan failed; the log says why.
    """
    config = uvicorn.Config(
        _Lifespan(app),
        # uvicorn takes any callable that makes protocols; its annotation says type.
        http=partial(  # type: ignore[arg-type]
            BoundedHttpProtocol,
            bounds=options.bounds,
            peers=Peers(options.trusted_proxies, options.max_connections_per_address),
        ),
        ws=WebSocketProtocol,
        ws_max_size=options.max_frame_bytes,
        ws_ping_interval=options.ping_interval_seconds,
        ws_ping_timeout=options.ping_timeout_seconds,
        # A deflate window costs each connection more memory than everything else together.
        ws_per_message_deflate=False,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=options.access_log,
        server_header=False,
        # `app.wire.peer` finds out who the client is.
        proxy_headers=False,
        backlog=options.backlog,
        timeout_keep_alive=options.keep_alive_seconds,
    )
    server = _Server(config, app, options, on_ready)
    try:
        server.run(sockets)
    except SystemExit as stopped:
        if stopped.code == STARTUP_FAILURE:
            raise StartupError from None
        raise
    return server.asked


def raise_file_limit() -> None:
    """Let this process, and those it starts, open as many sockets as the system grants it."""
    try:
        import resource  # noqa: PLC0415 (Unix only)
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS refuses an unlimited number of files though it reports one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_garbage_seldom() -> None:
    # With the defaults, looking for cycles took 43 % of a process that took publishes over
    # sockets: every 700 new objects it went over those of this moment's messages, and time
    # and again over all modules and schemas, which live as long as the process.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def _abandon() -> None:
    # Only a blocked event loop or a task that refuses to end gets the process here.
    _logger.error("shutting down hangs; the process ends now", extra=event("process.stopped_late"))
    os._exit(0)
