"""What the bus asks of its backend: broadcaster's face, and a short way out and in beside it.

broadcaster queues what comes for each subscriber, without a bound, and publishes with an await
for each event. So a backend takes texts at once (`post`), and hands over what comes by itself:
broadcaster's listener is the task that does so.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn

from broadcaster import BroadcastBackend

from app.delivery.backends.outbox import Inbox, Outbox, Receive
from app.errors import Unavailable

__all__ = ["Backend"]


class Backend(BroadcastBackend, ABC):
    """Carries texts by topic, to whoever has subscribed to it.

    `connect`, `disconnect`, `subscribe` and `unsubscribe` are called by `Broadcast`.
    """

    def __init__(self) -> None:
        self.reconnects = 0
        """How often the connection to the broker was opened again."""
        self._topics: set[str] = set()
        self.attach(lambda _topic, _text: None, lambda: None)

    def attach(self, receive: Receive, on_missed: Callable[[], None]) -> None:
        """Say whom to tell; before `connect`.

        Args:
            receive: called on the loop for each text that comes. One that raises is logged, and
                the text counts as missed.
            on_missed: called on the loop whenever events may have been lost.
        """
        self._on_missed = on_missed
        self._inbox = Inbox(receive, on_missed)

    @property
    def inbox(self) -> Inbox:
        """What has come and waits."""
        return self._inbox

    @property
    def outbox(self) -> Outbox | None:
        """What waits to be sent; None: there is no broker."""
        return None

    @abstractmethod
    def post(self, topic: str, text: str) -> bool:
        """Send a text to a topic soon, in the order of the calls; return False where it is dropped.

        It is dropped where too many wait.

        Raises:
            PayloadTooLarge: the broker takes no text of this size.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Return when what was posted is sent, or given up."""

    async def subscribe(self, group: str) -> None:
        """Receive a topic's events; while the connection is lost, as soon as it is back.

        When this returns, what is posted later comes.
        """
        self._topics.add(group)

    async def unsubscribe(self, group: str) -> None:
        """Receive a topic's events no more."""
        self._topics.discard(group)

    async def publish(self, channel: str, message: Any) -> None:
        """Post a text, as broadcaster does, and flush.

        Raises:
            Unavailable: too many wait.
            PayloadTooLarge: the broker takes no text of this size.
        """
        if not self.post(channel, message):
            raise Unavailable("too many events wait to be sent; retry later")
        await self.flush()

    async def next_published(self) -> NoReturn:
        """Hand over what comes, for as long as broadcaster's listener runs."""
        await self._inbox.hand_over_forever()
