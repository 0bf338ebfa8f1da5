"""The union of what happens in a channel, and how it is made of what the channel gives."""

from typing import Annotated, TypeAlias, cast

import strawberry

from app.domain.entry import CaughtUp, Entry, PolicyChange, Retraction
from app.domain.message import Message
from app.domain.policy import policy_from_json
from app.schema.policies import ChannelPolicyType, policy_type
from app.schema.types import MessageType

__all__ = ["ChannelEvent", "channel_event"]


@strawberry.type(name="MessagePublished", description="A message was published.")
class MessagePublishedType:
    """Made of a `Message`."""

    cursor: strawberry.ID = strawberry.field(
        description="The message's id. Pass it as after to resume. Messages that are not "
        "stored cannot be resumed from."
    )
    message: MessageType = strawberry.field(description="The message.")


@strawberry.type(
    name="MessagesRetracted",
    description="Messages were retracted. They no longer appear in searches, replays or live "
    "results.",
)
class MessagesRetractedType:
    """Made of a `Retraction`."""

    cursor: strawberry.ID = strawberry.field(
        description="Pass it as after to resume: a retraction has its own place in the "
        "channel's order."
    )
    ids: list[strawberry.ID] = strawberry.field(description="The ids of the messages.")
    reason: str | None = strawberry.field(description="The reason that was given; null: none.")


@strawberry.type(
    name="ChannelPolicyChanged",
    description="The channel's policy changed.",
)
class ChannelPolicyChangedType:
    """Made of a `PolicyChange`."""

    policy: ChannelPolicyType = strawberry.field(description="The complete new policy.")


@strawberry.type(
    name="CaughtUp",
    description="All stored messages have been sent. Everything that follows is live.",
)
class CaughtUpType:
    """Made of a `CaughtUp`."""

    cursor: strawberry.ID | None = strawberry.field(
        description="The cursor of the last stored entry; null: the channel is empty."
    )


ChannelEvent: TypeAlias = Annotated[
    MessagePublishedType | MessagesRetractedType | ChannelPolicyChangedType | CaughtUpType,
    strawberry.union("ChannelEvent", description="An event of a channel."),
]


def channel_event(
    entry: Entry | CaughtUp,
) -> MessagePublishedType | MessagesRetractedType | ChannelPolicyChangedType | CaughtUpType:
    """Return the event that a subscriber is sent of what the channel gives."""
    match entry:
        case Message():
            return MessagePublishedType(
                cursor=strawberry.ID(entry.id), message=cast("MessageType", entry)
            )
        case Retraction():
            return MessagesRetractedType(
                cursor=strawberry.ID(entry.id),
                ids=[strawberry.ID(one) for one in entry.ids],
                reason=entry.reason,
            )
        case CaughtUp(cursor):
            return CaughtUpType(cursor=None if cursor is None else strawberry.ID(cursor))
        case PolicyChange(_, policy_json):
            return ChannelPolicyChangedType(policy=policy_type(policy_from_json(policy_json)))
