"""Ids of messages that only their publisher is given: any process of the service knows them.

They look like every message's id, a UUID version 7. Their last 32 bits sign the rest for one
publisher and channel, so that nothing has to be stored: a client that resumes after such an id, or
takes the message back, is answered as if it were stored.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final
from uuid import UUID

from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.viewer import Viewer

__all__ = ["ShadowIds"]

_SIGNED_BYTES: Final = 12
_SIGNATURE_BYTES: Final = 4
"""One of four thousand million others passes for one: it is a cursor, no right."""
_PURPOSE: Final = b"widgetwire 1"
_KEY_BYTES: Final = 32


class ShadowIds:
    """Makes and knows them.

    Args:
        secrets: of the service: the first signs, all verify.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [
            blake2b(one.encode(), digest_size=_KEY_BYTES, person=_PURPOSE).digest()
            for one in secrets
        ]

    def new(self, viewer: Viewer, channel: Channel) -> str:
        """Return an id for a message that the viewer publishes in a channel."""
        signed = uuid7().bytes[:_SIGNED_BYTES]
        return str(UUID(bytes=signed + _signature(self._keys[0], signed, viewer, channel)))

    def knows(self, viewer: Viewer, channel: Channel, message_id: str) -> bool:
        """Return whether `new` made the id for this viewer and channel.

        Args:
            viewer: who sends it.
            channel: where.
            message_id: any text.
        """
        try:
            came = UUID(message_id).bytes
        except ValueError:
            return False
        signed, signature = came[:_SIGNED_BYTES], came[_SIGNED_BYTES:]
        return any(_signature(key, signed, viewer, channel) == signature for key in self._keys)


def _signature(key: bytes, signed: bytes, viewer: Viewer, channel: Channel) -> bytes:
    # Of a token without a subject the name is what there is.
    who = viewer.publisher or f"username:{viewer.username}"
    text = signed + f"{channel.key}\0{who}".encode()
    return blake2b(text, key=key, digest_size=_SIGNATURE_BYTES).digest()
