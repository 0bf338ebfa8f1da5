"""A real `widgetwire serve`: a process of its own that tests talk to, kill and wait for."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["Served"]

_ROOT: Final = Path(__file__).parents[1]
_READY: Final = re.compile(r"widgetwire is ready on (http://\S+:\d+)")
_START_TIMEOUT_SECONDS: Final = 60
_END_TIMEOUT_SECONDS: Final = 15
"""The contract's 10 s from SIGTERM, and room for a busy machine."""


class Served:
    """One running service. Make them with the `serve` fixture, which ends them too.

    Args:
        database_url: what it stores in; None: its embedded database.
        environment: settings, `WIDGETWIRE_…`, above the test's own environment.
        arguments: further ones of `widgetwire serve`.
    """

    url: str
    """http://127.0.0.1:PORT"""

    def __init__(
        self,
        database_url: str | None,
        environment: Mapping[str, str],
        arguments: tuple[str, ...],
    ) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
        }
        self.database_url = database_url
        database = {} if database_url is None else {"WIDGETWIRE_DATABASE_URL": database_url}
        self._lines: list[str] = []
        self._said = threading.Condition()
        self._ended = False
        # A group of its own: workers end with it even when it is killed.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", "0", *arguments],
            cwd=_ROOT,
            env=inherited | {"PYTHONUNBUFFERED": "1"} | database | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def ws_url(self) -> str:
        """ws://127.0.0.1:PORT"""
        return "ws" + self.url.removeprefix("http")

    @property
    def output(self) -> str:
        """All that it printed so far, errors included."""
        with self._said:
            return "".join(self._lines)

    def wait_until_ready(self) -> None:
        """Wait for the line that says where it serves; an end before that fails the test."""
        self.url = self.wait_for_output(_READY.pattern, _START_TIMEOUT_SECONDS).group(1)

    def wait_for_output(self, pattern: str, timeout_seconds: float = 15) -> re.Match[str]:
        """Wait until what it printed matches, and return the match.

        Raises:
            AssertionError: it ended, or the time is over, before that.
        """
        with self._said:
            self._said.wait_for(
                lambda: self._ended or re.search(pattern, "".join(self._lines)) is not None,
                timeout_seconds,
            )
        match = re.search(pattern, self.output)
        assert match is not None, f"nothing like {pattern!r} in its output:\n{self.output}"
        return match

    def terminate(self) -> None:
        """Ask it to end, as an operator does (SIGTERM); returns at once."""
        self.process.terminate()

    def kill(self) -> None:
        """End it and its workers without warning (SIGKILL)."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.wait()

    def wait(self, timeout_seconds: float = _END_TIMEOUT_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(timeout_seconds)
        self._reader.join(timeout_seconds)
        return code

    def close(self) -> None:
        """End it if it still runs: in order, or by force when it does not end in time."""
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not end in time:\n{self.output}") from None
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self._lines.append(line)
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()
