"""Payloads that say which cursor their reader may resume after: for event streams.

An event's `id` comes back as `Last-Event-ID` when a browser reconnects:
https://html.spec.whatwg.org/multipage/server-sent-events.html#concept-event-stream-last-event-id
"""

from collections.abc import Awaitable
from typing import Any

from app.domain.message import Message
from app.services.live.source import Respond

__all__ = ["CursoredPayload", "with_cursors"]


class CursoredPayload(bytes):
    """The JSON text of a response, with the cursor of what it tells of."""

    cursor: str


def with_cursors(respond: Respond) -> Respond:
    """Return what responds in the same way, each payload with its cursor if there is one.

    Args:
        respond: to messages, to events with a `cursor`, or to anything else: that has none.
    """

    def responding(event: Any) -> bytes | Awaitable[bytes]:
        payload = respond(event)
        cursor = _cursor_of(event)
        if cursor is None or not isinstance(payload, bytes):
            return payload
        cursored = CursoredPayload(payload)
        cursored.cursor = cursor
        return cursored

    return responding


def _cursor_of(event: Any) -> str | None:
    message = getattr(event, "message", event)
    if isinstance(message, Message):
        # Nobody can resume after what is not stored.
        return None if message.sequence is None else message.id
    cursor: str | None = getattr(event, "cursor", None)
    return cursor
