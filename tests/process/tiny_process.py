"""Runs `tests.process.tiny` and listens to what it prints."""

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import httpx

_TIMEOUT_SECONDS = 30


class TinyProcess:
    """One running tiny service, with its lines in order."""

    def __init__(self, workers: int = 1, grace_seconds: float = 8, wrong: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.tiny", str(workers), str(grace_seconds)],
            cwd=Path(__file__).parents[1],
            env=os.environ
            | {"TINY": wrong, "WIDGETWIRE_SHUTDOWN_GRACE_SECONDS": str(grace_seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            self._lines.put(line.strip())

    def line(self, beginning: str) -> str:
        """Wait for the next line that begins so."""
        while not (line := self._lines.get(timeout=_TIMEOUT_SECONDS)).startswith(beginning):
            pass
        return line

    def line_containing(self, part: str) -> str:
        """Wait for the next line that holds this."""
        while part not in (line := self._lines.get(timeout=_TIMEOUT_SECONDS)):
            pass
        return line

    @property
    def url(self) -> str:
        """Its address; waits until it serves. Call once."""
        return f"http://127.0.0.1:{self.line('ready').split()[1]}"

    def end(self) -> int:
        """SIGTERM it; return its exit code, at most the contract's 10 s later.

        And some more: on a busy machine.
        """
        self.process.terminate()
        return self.wait(15)

    def wait(self, seconds: float = _TIMEOUT_SECONDS) -> int:
        """Wait for its end, which may be that of its start, and for all it printed."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def __enter__(self) -> "TinyProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(15)
        assert self.process.stdout is not None
        self.process.stdout.close()


def worker_pids(url: str, count: int) -> set[int]:
    """Ask over new connections until `count` different workers have answered."""
    pids: set[int] = set()
    for _ in range(200):
        # Connection by connection: the kernel chooses the worker when one is made.
        pids.add(int(httpx.get(f"{url}/pid", timeout=20).text))
        if len(pids) >= count:
            return pids
    raise AssertionError(f"only {pids} answered")
