"""Publishing, retracting, searching and subscribing: the rights and checks, then the work."""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Final, cast
from uuid import NAMESPACE_OID, uuid5

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
from app.errors import (
    BadUserInput,
    Forbidden,
    RateLimited,
    Rejected,
    Unavailable,
    UnknownCursor,
    WidgetwireError,
    shown,
)
from app.peer import UNKNOWN_PEER, Peer
from app.services.admission import UNBOUND, Admission, Admitted
from app.services.held import HeldService
from app.services.live.messages import EventOf, MessageSource
from app.services.live.patience import patiently
from app.services.message_ids import checked_ids
from app.services.rates import PerSecond, Rates
from app.services.recent_messages import RecentMessages
from app.services.rights import Rights
from app.services.searching import Searches, Searching
from app.services.shadow import Echo, ShadowMessages
from app.storage.retractions import ForeignMessageError, MessageRetractions
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter
from app.telemetry.counters import COUNTED
from app.telemetry.histogram import Histogram
from app.telemetry.log_fields import event
from app.telemetry.traces import TRACES

__all__ = ["MessageService"]

logger = logging.getLogger(__name__)

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
        held: HeldService | None = None,
        max_data_bytes: int = MAX_DATA_BYTES,
        replay_max_messages: int = REPLAY_MAX_MESSAGES,
        turns: MatchingTurns | None = None,
        rights: Rights | None = None,
        shadow: ShadowMessages | None = None,
        publishes: Rates | None = None,
        searches: Rates | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: delivers.
            writer: stores.
            history: reads by sequence.
            retractions: takes messages back.
            search: reads by query.
            admission: asks of publishers what the channel's policy says; None: nothing.
            held: keeps messages until a moderator approves them; None: none can be kept.
            max_data_bytes: bound of a message's data as compact JSON.
            replay_max_messages: the most that `last` may ask for.
            turns: of the process, for filters that may take long; None: its own.
            rights: of the process; None: nobody is ever banned.
            shadow: answers those whom a ban shadows; None: nobody is.
            publishes: how many may come in a second, retractions among them; None: any number.
            searches: the same, for searches and openings of live results.
        """
        self._hub = hub
        self._fan_out = FanOut(hub, turns)
        self._writer = writer
        self._history = history
        self._retractions = retractions
        self._search = search
        self._admission = admission
        self._held = held
        self._max_data_bytes = max_data_bytes
        self._replay_max = replay_max_messages
        self._rights = rights or Rights()
        self._shadow = shadow
        self._publishes = publishes or Rates("publishes", PerSecond())
        self._searches = searches or Rates("searches", PerSecond())
        self._recent_transients = RecentMessages()
        self.publish_seconds = {True: Histogram(), False: Histogram()}
        """From the request to its message, of those that were published or held: with True of
        those that are stored."""

    @property
    def fan_out(self) -> FanOut:
        """The groups of all who listen; to be looked at only."""
        return self._fan_out

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
        echo: Echo | None = None,
        peer: Peer = UNKNOWN_PEER,
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
            echo: gives what only the publisher is to see to its own connection; None: it has
                none that listens.
            peer: where from.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput, PayloadTooLarge: an argument is out of bounds; nothing was stored.
            Rejected: what was published under the key was retracted by somebody else, or the
                channel's policy does not allow the message; nothing was stored.
            RateLimited: too many have come, by the server's rates or by the channel's policy; the
                publisher or everybody has to wait.
            Unavailable: the database or the bus is away or overloaded; retry later, with
                the same key.
        """
        began = time.monotonic()
        self._rights.require(viewer, Permission.PUBLISH, channel)
        self._publishes.admit(viewer, peer, channel.project_id)
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
            try:
                admitted = self._admission.admit(
                    viewer, draft, cast("JsonValue", data), persistent=persistent
                )
            except WidgetwireError:
                COUNTED.refusals["policy"] += 1
                raise
        try:
            message = await self._publish_admitted(
                viewer, draft, admitted, echo, persistent=persistent
            )
        except Exception as error:
            if isinstance(error, RateLimited):
                COUNTED.refusals["policy"] += 1
            if self._admission is not None:
                self._admission.give_back(draft, admitted)
            raise
        self.publish_seconds[persistent].observe(time.monotonic() - began)
        return message

    async def _publish_admitted(
        self,
        viewer: Viewer,
        draft: Draft,
        admitted: Admitted,
        echo: Echo | None,
        *,
        persistent: bool,
    ) -> Message:
        if self._shadow is not None and self._rights.shadows(viewer, draft.channel):
            message = await self._shadow.publish(
                viewer, draft, echo, persistent=persistent, held=admitted.held
            )
            if message is None:
                raise _spent(draft)
            return message
        if not persistent:
            return self._publish_transient(draft)
        if admitted.held:
            if self._held is None:
                raise Rejected(
                    "messages of this channel wait for a moderator; this server keeps none"
                )
            return await self._held.hold(draft)
        written = await self._writer.write(draft, admitted.pacing)
        if written.message is not None:
            return written.message
        if written.first_id is None:
            raise _spent(draft)
        first = await self._history.by_id(draft.channel, written.first_id)
        if first is None:
            raise Unavailable("the message was published before and has been deleted meanwhile")
        return first

    async def retract(
        self,
        viewer: Viewer,
        channel: Channel,
        ids: Sequence[str],
        reason: str | None = None,
        echo: Echo | None = None,
        peer: Peer = UNKNOWN_PEER,
    ) -> int:
        """Take messages back, stored ones or held ones; return how many, once that is committed.

        Args:
            viewer: who retracts: with the permission `moderate` anybody's messages, else those
                it has published itself, proven by a token or a signed client id.
            channel: where.
            ids: of the messages, 1 to 1,000. What the channel does not have, or not any more,
                is not counted.
            reason: told to whoever listens, at most 500 printable characters.
            echo, peer: as for `publish`.

        Raises:
            Forbidden, Unauthenticated: one of the messages is somebody else's. Nothing was
                retracted.
            BadUserInput: an argument is out of bounds.
            RateLimited: too many have come; it counts as a publish.
            Unavailable: the database is away; to ask again does no harm.
        """
        moderates = viewer.may(Permission.MODERATE)
        needed = Permission.MODERATE if moderates else Permission.PUBLISH
        self._rights.require(viewer, needed, channel)
        self._publishes.admit(viewer, peer, channel.project_id)
        if not moderates and viewer.publisher is None:
            raise Forbidden(
                "messages can be retracted by whoever published them with a token that has a sub, "
                "or with a signed client id, and by moderators; neither came"
            )
        unique = checked_ids(ids)
        if reason is not None and (len(reason) > _REASON_MAX or not reason.isprintable()):
            raise BadUserInput(
                f"reason is {shown(reason)}; allowed are at most {_REASON_MAX} printable characters"
            )
        try:
            count = await self._retractions.retract(
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
        if self._held is not None and count < len(unique):
            count += await self._held.withdraw(
                channel, unique, None if moderates else viewer.publisher
            )
        if self._shadow is not None and self._rights.shadows(viewer, channel):
            count += len(await self._shadow.retract(viewer, channel, unique, reason, echo))
        if moderates:
            logger.info(
                "a moderator retracted messages of %s",
                channel.key,
                extra=event(
                    "messages.retracted",
                    channel=channel.key,
                    messages=count,
                    moderator=viewer.subject,
                ),
            )
        return count

    def search(
        self,
        viewer: Viewer,
        channel: Channel,
        asker: Hashable = None,
        peer: Peer = UNKNOWN_PEER,
    ) -> Searching:
        """Return the search of stored messages, if the viewer may search this channel.

        Args:
            viewer: who searches; all searches of one token's subject stand in one line. A signed
                client id gives no line of its own: anybody gets as many of them as they like.
            channel: which.
            asker: the connection that a viewer without a subject asks by; None: not known.
            peer: where from.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            RateLimited: too many have come.
        """
        self._rights.require(viewer, Permission.SEARCH, channel)
        self._searches.admit(viewer, peer, channel.project_id)
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
            Unavailable: the database has been away for 30 s.
        """
        self._rights.require(viewer, Permission.SUBSCRIBE, channel)
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
            joined_at = await patiently(source.start)
            start = (
                after_sequence
                if after is None
                else await patiently(partial(self._sequence_of, viewer, channel, after))
            )
            if start is not None and start > joined_at:
                # This process may be a moment behind the one that named the place.
                heads = await patiently(partial(self._history.heads, [channel]))
                if start > heads[channel].sequence:
                    raise UnknownCursor(
                        f"after is the place {start}; the channel ends at {heads[channel].sequence}"
                    )
            if last is not None:
                newest = await patiently(
                    partial(self._history.before_last, channel, joined_at, last)
                )
                start = max(start or 0, newest)
            if start is not None:
                source.replay_after(start)
        except BaseException:
            source.close()
            raise
        return source

    async def _sequence_of(self, viewer: Viewer, channel: Channel, message_id: str) -> int:
        sequence = await self._history.sequence_of(channel, message_id)
        if sequence is None and self._shadow is not None:
            # Whoever was shadowed a moment ago comes back with such an id too.
            sequence = await self._shadow.place_of(viewer, channel, message_id)
        if sequence is None:
            raise UnknownCursor(
                f"after is {shown(message_id)}; expected the id of a stored message of this channel"
            )
        return sequence

    def _publish_transient(self, draft: Draft) -> Message:
        first = self._recent_transients.first(draft)
        if first is not None:
            return first
        created = max(int(time.time() * 1000), self._hub.last_created(draft.channel))
        message = draft.placed(None, created)
        if TRACES.recorder is not None:
            TRACES.recorder.published((message.id,), (TRACES.recorder.current(),))
        self._hub.publish_transient(message)
        self._recent_transients.add(draft, message)
        return message


def _spent(draft: Draft) -> Rejected:
    return Rejected(
        f"the message published under the id {shown(draft.idempotency_key)} was retracted by a "
        "moderator; nothing can be published under it again"
    )


def _check_replacing(idempotency_key: str | None, *, persistent: bool) -> None:
    if not persistent:
        raise BadUserInput(
            "onRepeat is REPLACE and persistent is false; only stored messages can be replaced"
        )
    if idempotency_key is None:
        raise BadUserInput(
            "onRepeat is REPLACE and id is missing; it names the message to be replaced"
        )


def _made_up_client_id(viewer: Viewer, idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return str(uuid4())
    return str(uuid5(NAMESPACE_OID, f"{viewer.subject or ''}\0{idempotency_key}"))
