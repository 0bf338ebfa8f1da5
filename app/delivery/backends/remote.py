"""What all backends whose broker is somewhere else have in common.

They listen on a connection of their own, open it again with jitter when it is lost, and then
say that events may have been missed: a broker keeps nothing for those who are away. They send
through an outbox and receive through an inbox. How a broker is talked to is the subclass'.
"""

import asyncio
import logging
import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, NoReturn

from app.delivery.backends.backend import Backend
from app.delivery.backends.outbox import Outbox
from app.errors import ConfigurationError
from app.telemetry.log_fields import event
from app.telemetry.tracebacks import error_text

__all__ = ["RemoteBackend"]

logger = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 0.2
"""Before the first attempt to come back, at most: not all processes in the same instant."""
_LONGEST_PAUSE_SECONDS: Final = 2.0
_STEADY_SECONDS: Final = 10.0
"""A listener that fails earlier comes back more slowly each time."""


class RemoteBackend(Backend):
    """Events over one broker."""

    _broker: ClassVar[str]
    """Its name in errors and log lines."""
    _failures: ClassVar[tuple[type[Exception], ...]]
    """What opening and listening raise when another try may succeed."""
    _send_failures: ClassVar[tuple[type[Exception], ...]]
    """What sending raises when another try may succeed."""

    def __init__(self) -> None:
        """Open nothing yet."""
        super().__init__()
        self._outbox = Outbox(self._send, self._send_failures)
        self._listener: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open the listening connection and keep it open.

        Raises:
            ConfigurationError: the first time it must succeed, and it did not: the broker is
                away, or refuses what it is asked.
        """
        try:
            await self._open_or_drop()
            await self._prepare()
        except self._failures as error:
            await self.disconnect()
            why = str(error) or repr(error)
            raise ConfigurationError(f"the bus: {self._broker} cannot be used: {why}") from error
        self._listener = asyncio.create_task(self._listen_forever(), name="event listener")

    async def disconnect(self) -> None:
        """Send what waits, for at most a second, and close all connections. Idempotent."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._outbox.close()
        await self._drop()

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent."""
        return self._outbox

    def post(self, topic: str, text: str) -> bool:
        """Send a text soon; return False where 10,000, or 8 MiB of them, wait already."""
        return self._outbox.post(topic, text)

    async def flush(self) -> None:
        """Return when what was posted is with the broker, or given up after 15 s."""
        await self._outbox.flush()

    @abstractmethod
    async def _open(self) -> None:
        """Open the listening connection and subscribe to all topics; after a failure: `_drop`."""

    @abstractmethod
    async def _listen(self) -> NoReturn:
        """Put what comes into the inbox, prove the connection alive, and raise when it is not."""

    @abstractmethod
    async def _drop(self) -> None:
        """Close the listening connection, however far it was opened. Idempotent."""

    @abstractmethod
    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        """Send (topic, text) pairs in order; returns when the broker has all of them."""

    async def _prepare(self) -> None:
        """Do what is done once, after the first opening."""

    async def _listen_forever(self) -> None:
        """Listen, and open the connection again, whatever ends it.

        A listener that ends leaves a process that looks well and hears nothing.
        """
        loop = asyncio.get_running_loop()
        pause = _PAUSE_SECONDS
        while True:
            began = loop.time()
            try:
                await self._listen()
            except Exception as error:
                self._log_lost(error)
            pause = (
                _PAUSE_SECONDS
                if loop.time() - began > _STEADY_SECONDS
                else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            )
            await self._open_again(pause)
            self.reconnects += 1
            logger.info(
                "the listener is connected to %s again",
                self._broker,
                extra=event("bus.back", broker=self._broker),
            )
            self._on_missed()

    async def _open_again(self, pause: float) -> None:
        while True:
            try:
                await self._drop()
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  (no secret)
                await self._open_or_drop()
            except Exception as error:
                if not isinstance(error, self._failures):
                    logger.exception("the listener could not be connected to %s", self._broker)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                return

    def _log_lost(self, error: Exception) -> None:
        # What is not known to happen is a defect: with its traceback, and no text of its own.
        defect = None if isinstance(error, self._failures) else error
        why = (str(error) or repr(error)) if defect is None else error_text(error)
        logger.warning(
            "the listener lost %s (%s); opening it again",
            self._broker,
            why,
            exc_info=defect,
            extra=event("bus.lost", broker=self._broker),
        )

    async def _open_or_drop(self) -> None:
        try:
            await self._open()
        except BaseException:
            await self._drop()
            raise
