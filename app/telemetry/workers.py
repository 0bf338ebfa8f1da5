"""The workers of one service answer for each other: whoever is asked asks the others.

The kernel gives a connection to one worker of several, so a scrape would meet another one each
time. Each worker has a Unix socket in a directory of the service's own, and tells whoever
connects what it has measured. One that is gone refuses at once; one that hangs is left out.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from app.telemetry.measured import Reading, read_reading, written

__all__ = ["ALONE", "WorkerPlace", "Workers"]

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS: Final = 1.0


class WorkerPlace(NamedTuple):
    """One worker among those of its service.

    Attributes:
        name: different from all others': `1`, `2`, …; whoever replaces it has it again.
        directory: of the service's workers alone, private to their user; None: there are no
            others.
    """

    name: str
    directory: Path | None


ALONE: Final = WorkerPlace("1", None)


class Workers:
    """The workers of one service, seen from one of them.

    Args:
        read: returns what this worker has measured.
        place: of this worker.
        timeout_seconds: others that have not answered by then are left out.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        place: WorkerPlace = ALONE,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._read = read
        self._name, self._directory = place
        self._timeout = timeout_seconds
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer the others. Where that cannot be, it is logged: each answers alone."""
        if self._directory is None:
            return
        path = self._path(self._name)
        try:
            # Of the one that this one replaces.
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            logger.warning("other workers cannot ask this one for its metrics: %s", error)

    async def stop(self) -> None:
        """Answer no more. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            with contextlib.suppress(OSError):
                self._path(self._name).unlink(missing_ok=True)

    async def readings(self) -> dict[str, Reading]:
        """Return what all workers have measured that answer in time, this one among them."""
        found = {self._name: self._read()}
        others = self._others()
        answers = await asyncio.gather(*map(self._ask, others))
        found |= {
            name: reading
            for name, reading in zip(others, answers, strict=True)
            if reading is not None
        }
        return dict(sorted(found.items()))

    def _others(self) -> list[str]:
        if self._directory is None:
            return []
        try:
            names = [path.stem for path in self._directory.glob("*.sock")]
        except OSError:
            return []
        return [name for name in names if name != self._name]

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{name}.sock"

    async def _ask(self, name: str) -> Reading | None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_unix_connection(self._path(name))
                return read_reading(await reader.read())
        except (OSError, msgspec.DecodeError) as error:
            # It is gone and will be replaced, or it hangs: `widgetwire_workers` tells.
            logger.debug("worker %s does not say what it has measured: %r", name, error)
            return None
        finally:
            if writer is not None:
                writer.close()

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(written(self._read()))
            async with asyncio.timeout(self._timeout):
                await writer.drain()
        except OSError:
            pass  # Whoever asked is gone, or does not read.
        finally:
            writer.close()
