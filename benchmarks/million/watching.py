"""What is watched in the largest channel: one poll by all, and something else by each."""

from typing import Final

from benchmarks.live import Watched
from benchmarks.million.data import Filled

__all__ = ["VIEWERS_OF", "different", "poll"]

VIEWERS_OF: Final = 1_000
"""Different live queries."""


def poll(filled: Filled) -> Watched:
    """How many like it: each vote changes every viewer's result."""
    return Watched(
        widget=filled.widget,
        selection="groups { key count }",
        query=lambda _: {"groupBy": "data.liked"},
        data=lambda number: {"user": f"v{number % 997}", "liked": number % 2 == 0},
    )


def different(filled: Filled, viewers: int) -> Watched:
    """The newest of one user: each vote changes the result of one viewer."""
    return Watched(
        widget=filled.widget,
        selection="totalCount messages { id data }",
        query=lambda number: {
            "filters": [{"field": "data.user", "operator": "EQ", "value": f"u{number}"}],
            "sortOrder": "DESC",
            "limit": 10,
        },
        data=lambda number: {"user": f"u{number % viewers}", "text": "mine"},
        viewers_of=viewers,
    )
