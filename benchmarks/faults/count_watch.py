"""Asks for a connection count time and again, on a thread and connections of its own."""

import json
import threading
import time
import urllib.request
from http.client import HTTPException
from typing import Final

from benchmarks import wire

__all__ = ["CountWatch"]

_EVERY_SECONDS: Final = 0.1
_TIMEOUT_SECONDS: Final = 1.0


class CountWatch(threading.Thread):
    """Each answer may come from any worker; one that does not answer is not waited for.

    Args:
        port: of the server.
        widget: whose count.
    """

    def __init__(self, port: int, widget: str) -> None:
        super().__init__(daemon=True)
        query = (
            f'{{ connectionCount(projectId: "{wire.PROJECT}", widgetId: "{widget}") {{ count }} }}'
        )
        self._request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json", "Connection": "close"},
        )
        self._stopping = threading.Event()
        self._began = time.monotonic()
        self.seen: list[tuple[float, int]] = []
        """Seconds since the start, and the count."""

    def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopping.wait(_EVERY_SECONDS):
            try:
                with urllib.request.urlopen(self._request, timeout=_TIMEOUT_SECONDS) as answer:
                    count = json.load(answer)["data"]["connectionCount"]["count"]
            except (OSError, HTTPException):
                continue
            self.seen.append((time.monotonic() - self._began, count))

    def right_since(self, count: int) -> float | None:
        """Seconds from the start until every answer was this; None: the last one is not."""
        since: float | None = None
        for at, seen in list(self.seen):
            if seen != count:
                since = None
            elif since is None:
                since = at
        return since

    def right_for(self, count: int) -> float:
        """For how many seconds every answer has been this; 0 if the last one is not."""
        since = self.right_since(count)
        return 0.0 if since is None else self.seen[-1][0] - since

    def stop(self) -> None:
        """Ask no more. Idempotent."""
        self._stopping.set()
        self.join()
