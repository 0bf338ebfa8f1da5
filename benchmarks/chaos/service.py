"""The service under test: one parent, two workers, one port for all its lives."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from benchmarks.servers import Server, another

__all__ = ["WORKERS", "Service"]

WORKERS: Final = 2
_MODULE: Final = "app.process.worker"


class Service:
    """Two workers, started again on the same port.

    Args:
        database_url: None: its own embedded database.
        settings: further `WIDGETWIRE_…`, and what else its processes' environment shall have.
        port: to listen on.
        log: a file for what it logs.
    """

    def __init__(
        self, database_url: str | None, settings: dict[str, str], port: int, log: Path
    ) -> None:
        self.port = port
        self._database_url = database_url
        self._settings = settings
        self._log = log
        self._server: Server | None = None
        self._orphans: list[psutil.Process] = []

    def start(self) -> None:
        """Start it; returns when it serves.

        Raises:
            RuntimeError: it does not; says what it has logged.
        """
        # Workers whose parent was killed still hold the port.
        psutil.wait_procs(self._orphans, timeout=20)
        self._orphans = []
        with self._log.open("a", encoding="utf-8") as log:
            try:
                self._server = another(
                    self._database_url, self._settings, workers=WORKERS, port=self.port, log=log
                )
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {self.logged()[-1000:]}") from error

    def workers(self) -> list[psutil.Process]:
        """Its workers that run now."""
        if self._server is None:
            return []
        found = []
        with suppress(psutil.Error):
            for process in psutil.Process(self._server.process.pid).children():
                with suppress(psutil.Error):
                    if _MODULE in process.cmdline():
                        found.append(process)
        return found

    def kill(self) -> None:
        """SIGKILL of the parent; its workers notice that it is gone."""
        assert self._server is not None
        self._orphans = self.workers()
        self._server.process.kill()
        self._server.process.wait()

    def kill_all(self) -> None:
        """SIGKILL of the parent and of its workers."""
        self.kill()
        for process in self._orphans:
            with suppress(psutil.Error):
                process.kill()

    def stop(self) -> int | None:
        """SIGTERM; return the exit code. Idempotent."""
        if self._server is None:
            return None
        self._server.stop()
        return self._server.process.returncode

    def mebibytes(self) -> list[float]:
        """The resident memory of each worker, in MiB."""
        found = []
        for process in self.workers():
            with suppress(psutil.Error):
                found.append(process.memory_info().rss / 2**20)
        return found

    def logged(self) -> str:
        """All that it has logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")
