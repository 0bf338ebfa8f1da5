"""One client that asks over HTTP, one question at a time, and what the answers took."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.load import percentile
from benchmarks.opening import connect

__all__ = ["LENGTH", "Asker", "Took", "repeated"]

LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

_LEAST: Final = 5
_MOST: Final = 500
_WARM: Final = 32
_REFUSED: Final = 3
"""In a row: it will not be answered."""


class Asker:
    """A keep-alive connection.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._socket = connect(port)

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer.

        Raises:
            RuntimeError: there is none, or none of a known length.
            TimeoutError: it takes over 30 s.
        """
        self._socket.sendall(request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive(received)
        length = LENGTH.search(received, 0, end)
        if length is None:
            raise RuntimeError(f"an answer has no length: {bytes(received[:300])!r}")
        missing = end + 4 + int(length[1]) - len(received)
        while missing > 0:
            chunk = self._receive(received)
            received += chunk
            missing -= len(chunk)
        return bytes(received[end + 4 :])

    def result(self, request: bytes) -> dict[str, Any]:
        """Ask, and return `data` of the answer.

        Raises:
            RuntimeError: it is refused.
        """
        answer = json.loads(self.ask(request))
        if "errors" in answer:
            raise RuntimeError(f"a request was answered with {json.dumps(answer)[:500]}")
        found: dict[str, Any] = answer["data"]
        return found

    def _receive(self, before: bytearray) -> bytes:
        chunk = self._socket.recv(1 << 18)
        if not chunk:
            raise RuntimeError(f"the server hung up after {bytes(before[-300:])!r}")
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()


@dataclass(slots=True)
class Took:
    """How long answers of one kind took."""

    milliseconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """How many were refused, by code."""
    _in_row: int = 0

    def add(self, seconds: float, code: str | None) -> None:
        """Note one that took so long; with a code where it was refused."""
        if code is None:
            self.milliseconds.append(seconds * 1000)
            self._in_row = 0
        else:
            self.refused[code] += 1
            self._in_row += 1

    def enough(self, end: float) -> bool:
        """Whether 500 were asked, or 5 and it is later than `end`, or it is always refused."""
        asked = len(self.milliseconds)
        late = time.perf_counter() > end and asked >= _LEAST
        return late or asked >= _MOST or self._in_row >= _REFUSED

    def p(self, share: float) -> float | str:
        """The value below which `share` of them are, or why there is none."""
        if self.milliseconds:
            return percentile(self.milliseconds, share)
        return " ".join(code for code, _ in self.refused.most_common(1)) or "-"

    def times(self, other: "Took") -> float | str:
        """The ratio of the medians, or `-`."""
        mine, others = self.p(0.5), other.p(0.5)
        return mine / others if isinstance(mine, float) and isinstance(others, float) else "-"


def repeated(
    ask: Callable[[int], str | None], first: int, seconds: float, prepare: Callable[[], object]
) -> Took:
    """Ask again and again for about so long, after a tenth of that which does not count.

    Args:
        ask: told the number of the probe; returns the code where it is refused.
        first: number of the first probe.
        seconds: how long, what is not timed included.
        prepare: called before each, not timed.
    """
    probe, end = first, time.perf_counter() + seconds / 10
    # Each of the server's connections prepares its statements once.
    while probe - first < _WARM and (probe == first or time.perf_counter() < end):
        prepare()
        ask(probe)
        probe += 1
    took, end = Took(), time.perf_counter() + seconds
    while not took.enough(end):
        prepare()
        began = time.perf_counter()
        code = ask(probe)
        took.add(time.perf_counter() - began, code)
        probe += 1
    return took
