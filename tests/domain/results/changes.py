"""Messages that come and go, and what is left of them."""

from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from app.domain.message import Message
from app.domain.results import Effect
from tests.domain.query.strategies import messages

__all__ = ["Change", "changes", "drawn_messages", "steps"]

Change = tuple[bool, Message]
"""Whether the message comes or goes."""


@st.composite
def changes(draw: st.DrawFn, drawn: list[Message]) -> list[Change]:
    """Draw an order in which messages come, and some of them go."""
    found: list[Change] = []
    there: list[Message] = []
    for message in drawn:
        found.append((True, message))
        there.append(message)
        while there and draw(st.integers(0, 3)) == 0:
            found.append((False, there.pop(draw(st.integers(0, len(there) - 1)))))
    return found


def steps(
    made: list[Change],
    add: Callable[[Message], Effect],
    remove: Callable[[Message], Effect],
) -> Iterator[tuple[Effect, list[Message]]]:
    """Apply the changes; yield after each what came of it, and the messages there are."""
    there: list[Message] = []
    for comes, message in made:
        if comes:
            there.append(message)
            yield add(message), list(there)
        else:
            there.remove(message)
            yield remove(message), list(there)


drawn_messages = messages(most=24)
