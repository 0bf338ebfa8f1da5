"""One query's kept result in a channel, held by all who show it and all who ask for it."""

from collections.abc import Callable
from typing import Protocol

from app.domain.message import Message
from app.domain.query import CompiledFilters
from app.services.live.kept_result import KeptResult

__all__ = ["Listener", "SharedResult"]


class Listener(Protocol):
    """Whoever shows a result."""

    def change(self) -> None:
        """Take note that the result may be another."""

    def begin_again(self) -> None:
        """Take note that what the result was made of is gone."""

    def drop(self) -> None:
        """Take note that changes go unnoticed from here on."""


class SharedResult:
    """A kept result and those who hold it; it goes with the last of them.

    Args:
        kept: the result.
        filters: of its query.
        account: counts memory; false: there is no room for more.
        on_released: called when nobody holds it any more.
    """

    def __init__(
        self,
        kept: KeptResult,
        filters: CompiledFilters,
        account: Callable[[int], bool],
        on_released: Callable[["SharedResult"], None],
    ) -> None:
        self.kept = kept
        self.filters = filters
        self._account = account
        self._on_released = on_released
        self._listeners: dict[Listener, None] = {}
        self._holds = 0
        self._counted = 0

    def hold(self) -> None:
        """Keep it until as many have let go of it."""
        self._holds += 1

    def release(self) -> None:
        """Undo one `hold`."""
        self._holds -= 1
        if not self._holds:
            self._on_released(self)
            self.kept.close()
            self._account(-self._counted)
            self._counted = 0

    def listen(self, listener: Listener) -> None:
        """Tell a listener of what happens, until it stops; it holds the result meanwhile."""
        self._listeners[listener] = None
        self.kept.is_watched = True
        self.hold()

    def stop(self, listener: Listener) -> None:
        """Tell it no more. Idempotent."""
        if listener in self._listeners:
            del self._listeners[listener]
            self.kept.is_watched = bool(self._listeners)
            self.release()

    def apply(self, message: Message, gone_at: int | None = None) -> None:
        """Take a stored message that the filters accept, as `KeptResult.apply` does."""
        if self.kept.apply(message, gone_at):
            self.change()

    def change(self) -> None:
        """Tell all that the result may be another."""
        for listener in tuple(self._listeners):
            listener.change()

    def begin_again(self) -> None:
        """Read everything again that is asked for: what it was made of is gone."""
        self.kept.forget()
        for listener in tuple(self._listeners):
            listener.begin_again()

    def read_again(self) -> None:
        """Read everything again that is asked for: it may lack what the table has."""
        self.kept.forget()
        self.change()

    def drop(self) -> None:
        """Let all go."""
        for listener in tuple(self._listeners):
            listener.drop()

    def count_memory(self) -> None:
        """Count what it takes now; where there is no room, nothing is kept any more."""
        more = self.kept.size - self._counted
        if self._holds and self._account(more):
            self._counted += more
        else:
            self.kept.stop_keeping()
            self._account(-self._counted)
            self._counted = 0
