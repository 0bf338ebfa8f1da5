"""The backend of a process that is alone: what it posts comes back to it."""

from app.delivery.backends.backend import Backend

__all__ = ["MemoryBackend"]


class MemoryBackend(Backend):
    """Events within one process."""

    async def connect(self) -> None:
        """Do nothing: there is no broker."""

    async def disconnect(self) -> None:
        """Do nothing. Idempotent."""

    def post(self, topic: str, text: str) -> bool:
        """Hand a text over soon; return False where 10,000, or 16 MiB of them, wait for that."""
        return topic not in self._topics or self._inbox.take(topic, text)

    async def flush(self) -> None:
        """Return at once: what was posted has come."""
