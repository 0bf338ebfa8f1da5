"""Messages of a channel that came before their turn."""

from app.delivery.budget import Budget
from app.domain.message import Message

__all__ = ["Ahead"]

_MESSAGE_BYTES = 500
"""What a message takes in memory beside its data."""


class Ahead:
    """Messages that wait for those before them, by sequence.

    Where there is no room one is not kept: it is read from the table when its turn has come.

    Args:
        budget: shared by all channels of a process.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._messages: dict[int, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message) -> None:
        """Keep a stored message, if there is room."""
        assert message.sequence is not None
        if message.sequence not in self._messages and self._budget.take(_size(message)):
            self._messages[message.sequence] = message

    def take_after(self, position: int) -> list[Message]:
        """Take out the messages that follow `position` without a gap; forget those up to it."""
        ready: list[Message] = []
        while (message := self._messages.pop(position + len(ready) + 1, None)) is not None:
            self._budget.give_back(_size(message))
            ready.append(message)
        reached = position + len(ready)
        if self._messages and min(self._messages) <= reached:
            for sequence in [one for one in self._messages if one <= reached]:
                self._budget.give_back(_size(self._messages.pop(sequence)))
        return ready

    def clear(self) -> None:
        """Forget all of them."""
        for message in self._messages.values():
            self._budget.give_back(_size(message))
        self._messages.clear()


def _size(message: Message) -> int:
    return len(message.data_json) + _MESSAGE_BYTES
