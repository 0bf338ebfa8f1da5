"""What stands between a publisher and a channel: one place that every publish passes.

All of it is in memory, cheapest first, and no round trip: the channel's policy is followed
(`app.services.policies`), its words and its schema are compiled when the first message comes.
A message counts against slow mode and rate only when nothing else is against it.
"""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.domain.blocked_words import BlockedWords
from app.domain.channel import Channel
from app.domain.data_schema import DataSchema
from app.domain.json_value import JsonValue, decode_json
from app.domain.message import Draft
from app.domain.policy import ChannelPolicy, Hold, Pacing, Writers
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput, Forbidden, Rejected
from app.services.pacing import ChannelRates, Pauses
from app.services.policies import PolicyService
from app.telemetry.log_fields import event

__all__ = ["UNBOUND", "Admission", "Admitted"]

logger = logging.getLogger(__name__)

_COMPILED_MAX: Final = 200
"""Channels whose words and schema are kept compiled, 50 kB each, 5 MB at the most; the one that was
compiled first goes first, and is compiled again (under a millisecond) when it is published to."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that may be published, and what else its channel asks."""

    held: bool = False
    """Whether it has to wait for a moderator."""
    pacing: Pacing | None = None
    """What it was counted for here, and has to keep to over all processes; None: nothing."""


UNBOUND: Final = Admitted()
"""Into a channel without a policy."""


class _Compiled:
    """What a policy says of data, ready to check it."""

    def __init__(self, policy: ChannelPolicy) -> None:
        self.policy = policy
        self.words = BlockedWords(policy.blocked_words) if policy.blocked_words else None
        self.schema = _schema(policy) if policy.has_schema else None


class Admission:
    """Says which messages may be published, and counts them."""

    def __init__(
        self,
        policies: PolicyService,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the rules.

        Args:
            policies: of all channels.
            clock: seconds since the Unix epoch, for opening hours.
            monotonic: seconds of a clock that is never set, for what is counted.
        """
        self._policies = policies.followed.rules
        self._clock = clock
        self._pauses = Pauses(monotonic)
        self._rates = ChannelRates(monotonic)
        self._compiled: dict[Channel, _Compiled] = {}
        policies.followed.listen(self._policy_changed)

    def admit(self, viewer: Viewer, draft: Draft, data: JsonValue, *, persistent: bool) -> Admitted:
        """Return if a message may be published, and count it.

        Args:
            viewer: who publishes.
            draft: the message.
            data: its data, decoded.
            persistent: whether it is to be stored.

        Raises:
            Forbidden: the viewer is not among the channel's writers.
            Rejected: the channel is closed, or the data has a blocked word or does not satisfy
                the schema, or it would be held and is not to be stored.
            RateLimited: the publisher or the whole channel has to wait.
        """
        policy = self._policies.get(draft.channel)
        if policy is None:
            return UNBOUND
        _check_writer(policy, viewer)
        self._check_hours(policy)
        held = policy.hold is Hold.UNTIL_APPROVED
        if held and not persistent:
            raise Rejected(
                "messages of this channel wait for a moderator, and persistent is false; allowed "
                "is true"
            )
        pacing = self._pacing(policy, viewer, draft)
        if pacing is not None:
            self._check_pacing(draft, pacing)
        self._check_data(policy, draft, data)
        if pacing is not None:
            if pacing.pause_seconds:
                self._pauses.note(_publisher(draft), draft.idempotency_key)
            if pacing.per_second:
                self._rates.note(draft.channel, pacing.per_second)
        return Admitted(held, pacing)

    def give_back(self, draft: Draft, admitted: Admitted) -> None:
        """Uncount a message that was admitted and not published."""
        if admitted.pacing is None:
            return
        if admitted.pacing.pause_seconds:
            self._pauses.forget(_publisher(draft))
        if admitted.pacing.per_second:
            self._rates.give_back(draft.channel, admitted.pacing.per_second)

    def _pacing(self, policy: ChannelPolicy, viewer: Viewer, draft: Draft) -> Pacing | None:
        pause, per_second = policy.slow_mode_seconds, policy.max_publishes_per_second or 0
        if pause and (viewer.may(Permission.MODERATE) or self._is_retry(draft)):
            pause = 0
        return Pacing(pause, per_second) if pause or per_second else None

    def _is_retry(self, draft: Draft) -> bool:
        """Return whether the draft finds the publisher's last message: then it is no second one."""
        if draft.retraction_id is not None:
            return False  # It replaces that one.
        return self._pauses.is_retry(_publisher(draft), draft.idempotency_key)

    def _check_hours(self, policy: ChannelPolicy) -> None:
        if policy.opens_at is None and policy.closes_at is None:
            return
        now = int(self._clock() * 1000)
        if policy.opens_at is not None and now < policy.opens_at:
            raise Rejected(
                f"the channel opens at {_shown(policy.opens_at)}; by the server's clock it is "
                f"{_shown(now)}"
            )
        if policy.closes_at is not None and now >= policy.closes_at:
            raise Rejected(
                f"the channel closed at {_shown(policy.closes_at)}; by the server's clock it is "
                f"{_shown(now)}"
            )

    def _check_pacing(self, draft: Draft, pacing: Pacing) -> None:
        if pause := pacing.pause_seconds:
            wait_ms = self._pauses.wait_ms(_publisher(draft), pause)
            if wait_ms:
                raise pacing.too_soon(wait_ms)
        if rate := pacing.per_second:
            wait_ms = self._rates.wait_ms(draft.channel, rate)
            if wait_ms:
                raise pacing.too_many(wait_ms)

    def _check_data(self, policy: ChannelPolicy, draft: Draft, data: JsonValue) -> None:
        if not policy.blocked_words and not policy.has_schema:
            return
        compiled = self._compiled.get(draft.channel)
        if compiled is None or compiled.policy is not policy:
            compiled = self._compile(draft.channel, policy)
        if compiled.words is not None and compiled.words.are_in(data, draft.data_json):
            raise Rejected("data has a word that is blocked in this channel")
        if compiled.schema is not None:
            compiled.schema.check(data, draft.data_json)

    def _compile(self, channel: Channel, policy: ChannelPolicy) -> _Compiled:
        self._compiled.pop(channel, None)
        if len(self._compiled) >= _COMPILED_MAX:
            del self._compiled[next(iter(self._compiled))]
        try:
            compiled = self._compiled[channel] = _Compiled(policy)
        except BadUserInput as error:
            # Another version of the service, or of its validator, took it.
            logger.error(
                "the dataSchema of %s cannot be used",
                channel.key,
                extra=event("policy.unusable", channel=channel.key),
            )
            raise Rejected("the channel's dataSchema cannot be used; set it anew") from error
        return compiled

    def _policy_changed(self, channel: Channel, policy: ChannelPolicy | None) -> None:
        self._compiled.pop(channel, None)
        if policy is None or policy.max_publishes_per_second is None:
            self._rates.forget(channel)


def _publisher(draft: Draft) -> Hashable:
    return draft.channel, draft.publisher or f"client:{draft.client_id}"


def _check_writer(policy: ChannelPolicy, viewer: Viewer) -> None:
    match policy.writers:
        case Writers.EVERYONE:
            return
        case Writers.NOBODY:
            raise Forbidden("nobody may publish in this channel now")
        case Writers.VERIFIED:
            if viewer.anonymous and viewer.publisher is None:
                raise Forbidden(
                    "only verified publishers may publish in this channel: send a token, or a "
                    "client id that the server signed"
                )


def _schema(policy: ChannelPolicy) -> DataSchema:
    text = bytes(policy.data_schema)
    schema = decode_json(text)
    if not isinstance(schema, dict):
        raise BadUserInput("dataSchema is no object")
    return DataSchema(schema, text)


def _shown(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{milliseconds} ({at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')})"
