"""Serving in several processes: who starts them, replaces them and ends them.

The parent has the listening sockets; each worker is a process of its own (`app.process.worker`)
that inherits some of them and one end of a lifeline: a socket pair on which it says that it is
ready, and whose end tells it that the parent is gone, however the parent died.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from app.errors import StartupError
from app.process.listening import close
from app.telemetry.log_fields import event

__all__ = ["READY", "Supervisor"]

_logger = logging.getLogger(__name__)

READY: Final = b"R"
_LEAST_PAUSE_SECONDS: Final = 0.25
_MOST_PAUSE_SECONDS: Final = 10.0
_STEADY_SECONDS: Final = 30.0
"""A worker that lived this long is replaced at once; one that died younger after a pause."""
_KILL_AFTER_SECONDS: Final = 1.2
"""Past a worker's own bound, so that the parent still ends within 10 s."""


class Supervisor:
    """Keeps one worker per group of sockets alive until it is told to stop.

    Args:
        factory: `module:callable` that makes each worker's application.
        sockets: those of each worker; closed when the workers are to end.
        grace_seconds: what each worker takes at most to drain.
        start_timeout_seconds: a worker not ready by then is killed and counts as failed.
        on_ready: called once, when every worker serves; not when the end was asked for before.
    """

    def __init__(
        self,
        factory: str,
        sockets: Sequence[Sequence[socket.socket]],
        *,
        grace_seconds: float,
        on_ready: Callable[[], None],
        start_timeout_seconds: float = 60.0,
    ) -> None:
        self._factory = factory
        self._sockets = sockets
        self._grace_seconds = grace_seconds
        self._start_timeout_seconds = start_timeout_seconds
        self._on_ready = on_ready
        self._waiting = len(sockets)
        self._stopping = asyncio.Event()
        self._failed = False
        self._directory = ""
        self._processes: set[asyncio.subprocess.Process] = set()

    async def run(self) -> float:
        """Serve until SIGTERM or SIGINT; return when that came, as `time.monotonic` tells it.

        Raises:
            StartupError: a worker ended before it had ever served; the log says why.
        """
        # Where the workers find one another; a worker that ends late may still use it.
        with tempfile.TemporaryDirectory(prefix="widgetwire-", ignore_cleanup_errors=True) as path:
            self._directory = path
            return await self._run()

    async def _run(self) -> float:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        keepers = [
            asyncio.create_task(self._keep(str(number), group), name="worker keeper")
            for number, group in enumerate(self._sockets, 1)
        ]
        await self._stopped(keepers)
        asked = time.monotonic()
        # A listening socket that stayed open here would take connections nobody answers.
        close(self._sockets)
        self._signal_all(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._grace_seconds + _KILL_AFTER_SECONDS)
        if late:
            _logger.error(
                "%d workers did not end in time and are killed",
                len(self._processes),
                extra=event("workers.killed", workers=len(self._processes)),
            )
            self._signal_all(signal.SIGKILL)
        for ended in await asyncio.gather(*keepers, return_exceptions=True):
            if isinstance(ended, Exception):
                _logger.error("a worker keeper ended with an error", exc_info=ended)
        if self._failed:
            raise StartupError
        return asked

    async def _stopped(self, keepers: Sequence["asyncio.Task[None]"]) -> None:
        """Wait until the service is to end, or a keeper ended: its slot would stay empty."""
        stopping = asyncio.create_task(self._stopping.wait(), name="stop signal")
        await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping.is_set():
            self._failed = True
            self._stopping.set()
        await stopping

    def _signalled(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            # The second Ctrl+C: do not wait for clients. A second SIGTERM: hurry.
            self._signal_all(signal.SIGKILL if number == signal.SIGINT else number)
        self._stopping.set()

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, name: str, sockets: Sequence[socket.socket]) -> None:
        pause = _LEAST_PAUSE_SECONDS
        served = False
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                ready, code = await self._run_worker(name, sockets, first=not served)
            except OSError as error:
                # No memory, process or descriptor left for another process: it may come back.
                _logger.error(
                    "a worker could not be started: %s", error, extra=event("worker.not_started")
                )
                ready, code = False, None
            if self._stopping.is_set():
                return
            if not (ready or served):
                _logger.error(
                    "a worker did not start (exit code %s)",
                    code,
                    extra=event("worker.not_started", exit_code=code),
                )
                self._failed = True
                self._stopping.set()
                return
            served = True
            steady = ready and time.monotonic() - started > _STEADY_SECONDS
            pause = _LEAST_PAUSE_SECONDS if steady else min(2 * pause, _MOST_PAUSE_SECONDS)
            _logger.error(
                "a worker ended (exit code %s); another starts in %g s",
                code,
                pause,
                extra=event("worker.ended", exit_code=code, pause_seconds=pause),
            )
            # Not wait_for: Python 3.11's drops a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _run_worker(
        self, name: str, sockets: Sequence[socket.socket], *, first: bool
    ) -> tuple[bool, int | None]:
        """Run one worker to its end; return whether it ever served, and its exit code."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                descriptors = [theirs.fileno(), *(s.fileno() for s in sockets)]
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # Without -P the working directory comes first, and with it any `app` in it.
                    "-P",
                    "-m",
                    "app.process.worker",
                    self._factory,
                    name,
                    self._directory,
                    *map(str, descriptors),
                    pass_fds=descriptors,
                    stdin=asyncio.subprocess.DEVNULL,
                    env=_environment(),
                )
            self._processes.add(process)
            try:
                if self._stopping.is_set():
                    process.terminate()
                ready = await self._ready(ours)
                if ready and first and not self._stopping.is_set():
                    self._waiting -= 1
                    if not self._waiting:
                        self._on_ready()
                elif not ready:
                    await _end(process)
                return ready, await process.wait()
            finally:
                self._processes.discard(process)

    async def _ready(self, lifeline: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._start_timeout_seconds):
                # An end without a word: the worker is gone.
                return await loop.sock_recv(lifeline, 1) == READY
        except (TimeoutError, OSError):
            return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave a worker that did not start the time to end by itself: its exit code tells why."""
    try:
        await asyncio.wait_for(process.wait(), _KILL_AFTER_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _environment() -> dict[str, str]:
    """Return the environment in which a worker imports what this process imported."""
    home = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([home, *([inherited] if inherited else [])]),
    }
