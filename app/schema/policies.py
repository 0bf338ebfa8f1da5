"""Channel policies in GraphQL: whoever listens may know what is asked, moderators set it."""

from enum import Enum
from typing import Annotated

import strawberry
from strawberry import UNSET

from app.domain.channel import parse_channel
from app.domain.policy import ChannelPolicy, Hold, Writers
from app.schema.arguments import ProjectId, WidgetId
from app.schema.scalars import JSON, Timestamp
from app.schema.types import Info

__all__ = ["ChannelPolicyType", "PolicyMutations", "PolicyQueries", "policy_type"]

_SLOW = "Minimum seconds between two messages of one publisher, 0 to 86400; not for moderators."
_RATE = "Maximum messages per second in the channel, 1 to 100000; null: no limit."
_OPENS = "Publishing is refused before this time; null: the channel is open."
_CLOSES = "Publishing is refused from this time on; null: the channel stays open."
_WORDS = (
    "Words that data must not contain, in strings or keys. Matches whole words and ignores "
    "case and accents. At most 500 words of 1 to 64 characters."
)
_SCHEMA = (
    "A JSON Schema (draft 2020-12) that data must satisfy: at most 32 KiB, without external "
    "references; null: any data."
)
_RETENTION = (
    "Messages are deleted at this age in seconds, 60 to 315360000; null: the server's setting "
    "applies."
)


@strawberry.enum(name="Writers", description="Who may publish to a channel.")
class WritersType(Enum):
    """Made from `Writers`."""

    EVERYONE = strawberry.enum_value(
        Writers.EVERYONE.value, description="Everyone with the permission publish."
    )
    VERIFIED = strawberry.enum_value(
        Writers.VERIFIED.value,
        description="Only publishers with a token or a client id that the server signed.",
    )
    NOBODY = strawberry.enum_value(Writers.NOBODY.value, description="Nobody, moderators included.")


@strawberry.enum(name="Hold", description="What happens to an accepted message.")
class HoldType(Enum):
    """Made from `Hold`."""

    NONE = strawberry.enum_value(Hold.NONE.value, description="It is published.")
    UNTIL_APPROVED = strawberry.enum_value(
        Hold.UNTIL_APPROVED.value, description="It waits for a moderator's approval."
    )


@strawberry.input(
    name="ChannelPolicyInput",
    description="The fields to change. Omitted fields stay unchanged; null resets a field to "
    "its default.",
)
class ChannelPolicyInput:
    """The wire form of a change."""

    writers: WritersType | None = strawberry.field(default=UNSET, description="Who may publish.")
    slow_mode_seconds: int | None = strawberry.field(default=UNSET, description=_SLOW)
    max_publishes_per_second: int | None = strawberry.field(default=UNSET, description=_RATE)
    opens_at: Timestamp | None = strawberry.field(default=UNSET, description=_OPENS)
    closes_at: Timestamp | None = strawberry.field(default=UNSET, description=_CLOSES)
    hold: HoldType | None = strawberry.field(
        default=UNSET, description="Whether messages wait for a moderator's approval."
    )
    blocked_words: list[str] | None = strawberry.field(default=UNSET, description=_WORDS)
    data_schema: JSON | None = strawberry.field(default=UNSET, description=_SCHEMA)
    retention_seconds: int | None = strawberry.field(default=UNSET, description=_RETENTION)


@strawberry.type(name="ChannelPolicy", description="The rules for publishing to a channel.")
class ChannelPolicyType:
    """Made from a `ChannelPolicy`."""

    writers: WritersType = strawberry.field(description="Who may publish.")
    slow_mode_seconds: int = strawberry.field(description=_SLOW)
    max_publishes_per_second: int | None = strawberry.field(description=_RATE)
    opens_at: Timestamp | None = strawberry.field(description=_OPENS)
    closes_at: Timestamp | None = strawberry.field(description=_CLOSES)
    hold: HoldType = strawberry.field(
        description="Whether messages wait for a moderator's approval."
    )
    blocked_words: list[str] = strawberry.field(description=_WORDS)
    data_schema: JSON | None = strawberry.field(description=_SCHEMA)
    retention_seconds: int | None = strawberry.field(description=_RETENTION)


def policy_type(policy: ChannelPolicy) -> ChannelPolicyType:
    """Return a policy as GraphQL has it."""
    return ChannelPolicyType(
        writers=WritersType(policy.writers.value),
        slow_mode_seconds=policy.slow_mode_seconds,
        max_publishes_per_second=policy.max_publishes_per_second,
        opens_at=_timestamp(policy.opens_at),
        closes_at=_timestamp(policy.closes_at),
        hold=HoldType(policy.hold.value),
        blocked_words=list(policy.blocked_words),
        data_schema=JSON(bytes(policy.data_schema)) if policy.has_schema else None,
        retention_seconds=policy.retention_seconds,
    )


@strawberry.type
class PolicyQueries:
    """Root fields of queries."""

    @strawberry.field(
        description="The rules for publishing to a channel. Requires the permission subscribe."
    )
    def channel_policy(
        self, info: Info, project_id: ProjectId, widget_id: WidgetId
    ) -> ChannelPolicyType:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        return policy_type(context.services.policies.get(context.viewer, channel))


@strawberry.type
class PolicyMutations:
    """Root fields of mutations."""

    @strawberry.mutation(
        description="Change the rules for publishing to a channel. Takes effect everywhere "
        "within a second; channelEvents subscribers are notified. Requires the "
        "permission moderate."
    )
    async def set_channel_policy(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        policy: Annotated[ChannelPolicyInput, strawberry.argument(description="The changes.")],
    ) -> ChannelPolicyType:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        changed = await context.services.policies.set(context.viewer, channel, _change(policy))
        return policy_type(changed)


def _change(policy: ChannelPolicyInput) -> dict[str, object]:
    sent: dict[str, object] = {
        "writers": policy.writers,
        "slowModeSeconds": policy.slow_mode_seconds,
        "maxPublishesPerSecond": policy.max_publishes_per_second,
        "opensAt": policy.opens_at,
        "closesAt": policy.closes_at,
        "hold": policy.hold,
        "blockedWords": policy.blocked_words,
        "dataSchema": policy.data_schema,
        "retentionSeconds": policy.retention_seconds,
    }
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in sent.items()
        if value is not UNSET
    }


def _timestamp(milliseconds: int | None) -> Timestamp | None:
    return None if milliseconds is None else Timestamp(milliseconds)
