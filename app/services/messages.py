"""Publishing, retracting, searching and subscribing: the rights and checks, then the work."""

import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from typing import Final, cast
from uuid import NAMESPACE_OID, UUID, uuid5

from uuid_utils import uuid4, uuid7

from app.defaults import MAX_DATA_BYTES, REPLAY_MAX_MESSAGES
from app.delivery.groups import FanOut
from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.domain.channel import Channel, checked_client_id
from app.domain.json_value import JsonValue, checked_data
from app.domain.message import Draft, Message, OnRepeat
from app.domain.query import EVERY_MESSAGE, CompiledFilters
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput, Forbidden, Rejected, Unavailable, UnknownCursor, shown
from app.services.admission import UNBOUND, Admission
from app.services.live.messages import EventOf, MessageSource
from app.services.searching import Searches, Searching
from app.storage.retractions import ForeignMessageError, MessageRetractions
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter

__all__ = ["MessageService"]

_RETRACTED_MAX: Final = 1_000
"""Ids in one retraction."""
_REASON_MAX: Final = 500
"""Characters of its reason."""


class MessageService:
    """Everything that can be done with messages, whatever transport asks."""

    def __init__(
        self,
        *,
        hub: Hub,
        writer: MessageWriter,
        history: SharedHistory,
        retractions: MessageRetractions,
        search: Searches,
        admission: Admission | None = None,
        hold: Callable[[Draft], Awaitable[Message]] | None = None,
        max_data_bytes: int = MAX_DATA_BYTES,
        replay_max_messages: int = REPLAY_MAX_MESSAGES,
        turns: MatchingTurns | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: delivers.
            writer: stores.
            history: reads by sequence.
            retractions: takes messages back.
            search: reads by query.
            admission: asks of publishers what the channel's policy says; None: nothing.
            hold: keeps a message until a moderator approves it; None: none can be kept.
            max_data_bytes: bound of a message's data as compact JSON.
            replay_max_messages: the most that `last` may ask for.
            turns: of the process, for filters that may take long; None: its own.
        """
        self._hub = hub
        self._fan_out = FanOut(hub, turns)
        self._writer = writer
        self._history = history
        self._retractions = retractions
        self._search = search
        self._admission = admission
        self._hold = hold
        self._max_data_bytes = max_data_bytes
        self._replay_max = replay_max_messages
        self._recent_transients = _RecentTransients()

    async def publish(
        self,
        viewer: Viewer,
        channel: Channel,
        data: object,
        *,
        client_id: str | None = None,
        persistent: bool = True,
        idempotency_key: str | None = None,
        on_repeat: OnRepeat = OnRepeat.KEEP,
    ) -> Message:
        """Publish one message; return it when it is committed, or handed to the bus.

        Args:
            viewer: who publishes; its username is stamped on the message.
            channel: where.
            data: decoded JSON, Decimal for fractions; at most 64 levels deep.
            client_id: the widget instance, 1 to 128 printable characters; None: the viewer's
                signed one, else made up. A signed one is for whoever holds its token.
            persistent: False: delivered to whoever is connected, never stored.
            idempotency_key: 1 to 128 printable characters; the same key sent again in
                this channel by the same publisher returns the first message and publishes
                nothing. The publisher is the token's subject, else the signed client id,
                whatever the client id, else that. Without any the made-up client id follows
                from the key, so that a retry finds the first.
            on_repeat: REPLACE: the publisher's earlier message under the key is retracted, and
                this one stored, in one transaction.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput, PayloadTooLarge: an argument is out of bounds; nothing was stored.
            Rejected: what was published under the key was retracted by somebody else.
            Rejected, RateLimited: the channel's policy does not allow it; nothing was stored.
            Unavailable: the database or the bus is away or overloaded; retry later, with
                the same key.
        """
        viewer.require(Permission.PUBLISH, channel)
        if idempotency_key is not None:
            checked_client_id("id", idempotency_key)
        if on_repeat is OnRepeat.REPLACE:
            _check_replacing(idempotency_key, persistent=persistent)
        if client_id is None:
            client_id = viewer.client_id or _made_up_client_id(viewer, idempotency_key)
        else:
            viewer.claimed_client_id("clientId", client_id)
        draft = Draft(
            channel=channel,
            id=str(uuid7()),
            client_id=client_id,
            username=viewer.username,
            data_json=checked_data(data, self._max_data_bytes),
            idempotency_key=idempotency_key,
            publisher=viewer.publisher,
            retraction_id=str(uuid7()) if on_repeat is OnRepeat.REPLACE else None,
        )
        admitted = UNBOUND
        if self._admission is not None:
            admitted = self._admission.admit(
                viewer, draft, cast("JsonValue", data), persistent=persistent
            )
        if not persistent:
            return self._publish_transient(draft)
        try:
            if admitted.held:
                return await self._held(draft)
            written = await self._writer.write(draft, admitted.pacing)
        except Exception:
            if self._admission is not None:
                self._admission.give_back(draft, admitted)
            raise
        if written.message is not None:
            return written.message
        if written.first_id is None:
            raise Rejected(
                f"the message published under the id {shown(idempotency_key)} was retracted by a "
                "moderator; nothing can be published under it again"
            )
        first = await self._history.by_id(channel, written.first_id)
        if first is None:
            raise Unavailable("the message was published before and has been deleted meanwhile")
        return first

    async def retract(
        self, viewer: Viewer, channel: Channel, ids: Sequence[str], reason: str | None = None
    ) -> int:
        """Take stored messages back; return how many, once that is committed.

        Args:
            viewer: who retracts: with the permission `moderate` anybody's messages, else those
                it has published itself, proven by a token or a signed client id.
            channel: where.
            ids: of the messages, 1 to 1,000. What the channel does not have, or not any more,
                is not counted.
            reason: told to whoever listens, at most 500 printable characters.

        Raises:
            Forbidden, Unauthenticated: one of the messages is somebody else's. Nothing was
                retracted.
            BadUserInput: an argument is out of bounds.
            Unavailable: the database is away; to ask again does no harm.
        """
        moderates = viewer.may(Permission.MODERATE)
        viewer.require(Permission.MODERATE if moderates else Permission.PUBLISH, channel)
        if not moderates and viewer.publisher is None:
            raise Forbidden(
                "messages can be retracted by whoever published them with a token or a signed "
                "client id, and by moderators; neither came"
            )
        unique = _checked_ids(ids)
        if reason is not None and (len(reason) > _REASON_MAX or not reason.isprintable()):
            raise BadUserInput(
                f"reason is {shown(reason)}; allowed are at most {_REASON_MAX} printable characters"
            )
        try:
            return await self._retractions.retract(
                channel,
                unique,
                retractor=viewer.publisher,
                any_publisher=moderates,
                reason=reason,
            )
        except ForeignMessageError as error:
            raise Forbidden(
                f"ids holds {shown(error.message_id)}, which somebody else published; only "
                "moderators may retract it"
            ) from None

    def search(self, viewer: Viewer, channel: Channel, asker: Hashable = None) -> Searching:
        """Return the search of stored messages, if the viewer may search this channel.

        Args:
            viewer: who searches; all searches of one token's subject stand in one line. A signed
                client id gives no line of its own: anybody gets as many of them as they like.
            channel: which.
            asker: the connection that a viewer without a subject asks by; None: not known.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
        """
        viewer.require(Permission.SEARCH, channel)
        return self._search.asked_by(asker if viewer.subject is None else viewer.publisher)

    async def subscribe(
        self,
        viewer: Viewer,
        channel: Channel,
        filters: CompiledFilters = EVERY_MESSAGE,
        *,
        after: str | None = None,
        after_sequence: int | None = None,
        last: int | None = None,
        on_closed: Callable[[], None] = lambda: None,
        events: bool = False,
        event_of: EventOf | None = None,
    ) -> MessageSource:
        """Join a channel; when this returns nothing published later is missed.

        Args:
            viewer: who listens.
            channel: to what.
            filters: all must hold for a message to be delivered.
            after: the id of a stored message: all stored after it come first.
            after_sequence: the same by place in the channel's order; 0: before the first.
            last: the newest n stored messages come first; 0 to the configured bound.
                With `after`, only the newest n of those after it.
            on_closed: called once when the subscription ends.
            events, event_of: what else comes, and as what: see `MessageSource`.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput: `last` is out of bounds.
            UnknownCursor: the channel has no stored message `after`.
            Unavailable: the database is away.
        """
        viewer.require(Permission.SUBSCRIBE, channel)
        if last is not None and not 0 <= last <= self._replay_max:
            raise BadUserInput(f"last is {last}; allowed are 0 to {self._replay_max}")
        source = MessageSource(
            self._hub,
            self._fan_out,
            self._history,
            channel,
            filters,
            on_closed,
            events=events,
            event_of=event_of,
        )
        try:
            joined_at = await source.start()
            start = after_sequence if after is None else await self._sequence_of(channel, after)
            if start is not None and start > joined_at:
                # This process may be a moment behind the one that named the place.
                head = (await self._history.heads([channel]))[channel].sequence
                if start > head:
                    raise UnknownCursor(f"after is the place {start}; the channel ends at {head}")
            if last is not None:
                newest = await self._history.before_last(channel, joined_at, last)
                start = max(start or 0, newest)
            if start is not None:
                source.replay_after(start)
        except BaseException:
            source.close()
            raise
        return source

    async def _sequence_of(self, channel: Channel, message_id: str) -> int:
        sequence = await self._history.sequence_of(channel, message_id)
        if sequence is None:
            raise UnknownCursor(
                f"after is {shown(message_id)}; expected the id of a stored message of this channel"
            )
        return sequence

    async def _held(self, draft: Draft) -> Message:
        if self._hold is None:
            raise Rejected("messages of this channel wait for a moderator; this server keeps none")
        return await self._hold(draft)

    def _publish_transient(self, draft: Draft) -> Message:
        first = self._recent_transients.first(draft)
        if first is not None:
            return first
        created = max(int(time.time() * 1000), self._hub.last_created(draft.channel))
        message = draft.placed(None, created)
        self._hub.publish_transient(message)
        self._recent_transients.add(draft, message)
        return message


def _check_replacing(idempotency_key: str | None, *, persistent: bool) -> None:
    if not persistent:
        raise BadUserInput(
            "onRepeat is REPLACE and persistent is false; only stored messages can be replaced"
        )
    if idempotency_key is None:
        raise BadUserInput(
            "onRepeat is REPLACE and id is missing; it names the message to be replaced"
        )


def _checked_ids(ids: Sequence[str]) -> list[str]:
    if not 1 <= len(ids) <= _RETRACTED_MAX:
        raise BadUserInput(f"ids has {len(ids)} items; allowed are 1 to {_RETRACTED_MAX}")
    checked: dict[str, None] = {}
    for place, text in enumerate(ids):
        try:
            checked[str(UUID(text))] = None
        except ValueError:
            raise BadUserInput(
                f"ids[{place}] is {shown(text)}; expected the id of a message"
            ) from None
    return list(checked)


class _RecentTransients:
    """The idempotency keys of the last messages that are not stored: this process's memory.

    Bounded by number, bytes and age; the oldest is forgotten first, and a retry after that is
    published again.
    """

    _MAX: Final = 10_000
    _MAX_BYTES: Final = 8 * 1024 * 1024
    _MAX_AGE_SECONDS: Final = 300.0
    """Whoever retries does so within seconds."""
    _ENTRY_BYTES: Final = 800
    """What one takes beside its data: the message, its ids and its key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._messages: dict[Hashable, tuple[Message, float]] = {}
        self._bytes = 0

    def first(self, draft: Draft) -> Message | None:
        key = draft.repeat_key
        if key is None:
            return None
        self._forget_old()
        found = self._messages.get(key)
        return None if found is None else found[0]

    def add(self, draft: Draft, message: Message) -> None:
        key = draft.repeat_key
        if key is None:
            return
        self._forget(key)
        # A copy: the one that is delivered keeps its decoded data, which may be many times larger.
        self._messages[key] = (replace(message), self._clock())
        self._bytes += self._size(message)
        self._forget_old()

    def _forget_old(self) -> None:
        earliest = self._clock() - self._MAX_AGE_SECONDS
        while self._messages:
            key, (_, since) = next(iter(self._messages.items()))
            if (
                since >= earliest
                and len(self._messages) <= self._MAX
                and self._bytes <= self._MAX_BYTES
            ):
                return
            self._forget(key)

    def _forget(self, key: Hashable) -> None:
        if (known := self._messages.pop(key, None)) is not None:
            self._bytes -= self._size(known[0])

    def _size(self, message: Message) -> int:
        return len(message.data_json) + self._ENTRY_BYTES


def _made_up_client_id(viewer: Viewer, idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return str(uuid4())
    return str(uuid5(NAMESPACE_OID, f"{viewer.subject or ''}\0{idempotency_key}"))
