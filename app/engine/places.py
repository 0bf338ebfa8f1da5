"""Places in a document without the document: what its errors need of its text.

The parser's places hold all tokens of the document, comments included, and its text: many
times what the nodes take. A kept document has these instead.
"""

import re
from bisect import bisect_left
from typing import Final

from graphql import DocumentNode, Location, Node, Source, SourceLocation

__all__ = ["keep_places_only"]

_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r]")


class _Lines(Source):
    """A text of which only the line breaks are kept."""

    __slots__ = ("_breaks", "_starts")

    def __init__(self, text: str) -> None:
        found = list(_LINE_BREAK.finditer(text))
        # What shows a line of the text shows an empty one.
        super().__init__("\n" * len(found))
        self._breaks = [one.start() for one in found]
        self._starts = [0, *(one.end() for one in found)]

    def get_location(self, position: int) -> SourceLocation:
        """Return the line and the column of a place, as graphql-core counts them."""
        line = bisect_left(self._breaks, position)
        return SourceLocation(line + 1, position + 1 - self._starts[line])


class _Place(Location):
    """A place without tokens."""

    __slots__ = ()

    def __init__(self, start: int, end: int, source: Source) -> None:
        self.start, self.end, self.source = start, end, source
        self.start_token = self.end_token = None  # type: ignore[assignment]  # nobody asks


def keep_places_only(document: DocumentNode, text: str) -> int:
    """Let go of the tokens and the text of a document that has been validated.

    Args:
        document: as the parser returned it; changed.
        text: what was parsed.

    Returns:
        The number of its nodes.
    """
    count = 0
    lines = _Lines(text)
    nodes: list[Node] = [document]
    while nodes:
        node = nodes.pop()
        count += 1
        if node.loc is not None:
            # Nodes are frozen for those who read them; nobody does yet.
            object.__setattr__(node, "loc", _Place(node.loc.start, node.loc.end, lines))
        for key in node.keys:
            value = getattr(node, key, None)
            if isinstance(value, Node):
                nodes.append(value)
            elif isinstance(value, tuple | list):
                nodes.extend(one for one in value if isinstance(one, Node))
    return count
