"""What a process counts where no object is at hand: plain numbers, read when `/metrics` is asked.

One `COUNTED` a process, for a process is what Prometheus asks. An addition is all that a hot
path pays: no lock, no label look-up, no object of a metrics library.
"""

from collections import Counter
from typing import Final, Literal, get_args

__all__ = ["CONNECTION_KINDS", "COUNTED", "Counted", "RefusalReason"]

CONNECTION_KINDS: Final = (
    "http",
    "graphql-transport-ws",
    "graphql-ws",
    "legacy",
    "sse",
    "multipart",
)
"""What is spoken on a connection now. A stream over HTTP is one of its own until it ends."""

RefusalReason = Literal["origin", "token", "limit", "policy", "rate"]
"""Why somebody was not let in, or not served."""
REFUSAL_REASONS: Final[tuple[RefusalReason, ...]] = get_args(RefusalReason)


class Counted:
    """Since the process began."""

    __slots__ = (
        "bytes_out",
        "closes",
        "connections",
        "connections_opened",
        "errors",
        "frames_in",
        "frames_out",
        "index_builds",
        "refusals",
        "result_reads",
    )

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter(dict.fromkeys(CONNECTION_KINDS, 0))
        """Open now, by kind."""
        self.connections_opened = self.connections.copy()
        self.closes: Counter[tuple[str, str]] = Counter()
        """WebSockets, by who closed them (`server`, `client`) and the code."""
        self.errors: Counter[str] = Counter()
        """Told to clients, by `ErrorCode`."""
        self.refusals: Counter[RefusalReason] = Counter(dict.fromkeys(REFUSAL_REASONS, 0))
        self.frames_in = 0
        """Messages that came on WebSockets."""
        self.frames_out = 0
        """Frames of WebSockets and pieces of streams, as they were written."""
        self.bytes_out = 0
        """Of those frames; before TLS, which ends in front of the service."""
        self.result_reads = 0
        """Parts of results kept in memory that were read from the table."""
        self.index_builds: Counter[str] = Counter()
        """By what became of them: `built`, `failed`, `dropped`."""

    def opened(self, kind: str) -> None:
        """Count a connection, until `ended`; `kind` is one of `CONNECTION_KINDS`."""
        self.connections[kind] += 1
        self.connections_opened[kind] += 1

    def ended(self, kind: str) -> None:
        """Undo one `opened`."""
        self.connections[kind] -= 1


COUNTED: Final = Counted()
