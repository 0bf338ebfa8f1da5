"""Publishes numbers, one after the other, through restarts."""

import threading
from contextlib import suppress
from itertools import count
from typing import Final

import httpx

__all__ = ["Publisher", "wait_for_connections"]

_PAUSE_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 40
_PUBLISH: Final = """
    mutation ($data: JSON!, $id: ID!, $by: ID! = "numbers") {
      poll: publish(projectId: "demo", widgetId: "poll", data: $data, id: $id, clientId: $by) { id }
      quiz: publish(projectId: "demo", widgetId: "quiz", data: $data, id: $id, clientId: $by) { id }
      b: publish(projectId: "demo", widgetId: "poll", data: "passing", persistent: false) { id }
      c: publish(projectId: "demo", widgetId: "quiz", data: "passing", persistent: false) { id }
    }
"""
_COUNTS: Final = """{
    poll: connectionCount(projectId: "demo", widgetId: "poll") { count }
    quiz: connectionCount(projectId: "demo", widgetId: "quiz") { count }
}"""


class Publisher:
    """Publishes 0, 1, 2, … on demo/poll and demo/quiz until told to stop.

    Each number has a key and is sent again until it is acknowledged: stored exactly once. A
    message that is not stored, and whose id is no cursor, follows each.

    Args:
        url: the server's, which may be away for a while.
    """

    def __init__(self, url: str) -> None:
        self.published = 0
        """Numbers below this are acknowledged."""
        self._url = url
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End after the number under way; return how many there are."""
        self._stopping.set()
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive(), f"{self.published} was never acknowledged"
        return self.published

    def _run(self) -> None:
        with httpx.Client() as client:
            for number in count():
                while not self._publish(client, number):
                    self._stopping.wait(_PAUSE_SECONDS)
                self.published = number + 1
                if self._stopping.wait(_PAUSE_SECONDS):
                    return

    def _publish(self, client: httpx.Client, number: int) -> bool:
        request = {"query": _PUBLISH, "variables": {"data": number, "id": f"number {number}"}}
        with suppress(httpx.HTTPError):
            answer = client.post(f"{self._url}/graphql", json=request)
            return answer.status_code == 200 and "errors" not in answer.json()
        return False


def wait_for_connections(url: str, poll: int, quiz: int) -> None:
    """Wait until so many connections subscribe to the messages of demo/poll and demo/quiz."""
    deadline = threading.Event()
    timer = threading.Timer(_PATIENCE_SECONDS, deadline.set)
    timer.start()
    try:
        with httpx.Client() as client:
            counts = None
            while counts != (poll, quiz):
                assert not deadline.wait(_PAUSE_SECONDS), f"{counts} connections"
                answer = client.post(f"{url}/graphql", json={"query": _COUNTS}).json()["data"]
                counts = (answer["poll"]["count"], answer["quiz"]["count"])
    finally:
        timer.cancel()
