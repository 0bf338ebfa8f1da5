"""Bans in GraphQL: a project's moderators place, lift and list them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Annotated, Final, cast

import strawberry
from strawberry import UNSET

from app.domain.ban import Ban, BanMode, BanRequest, IdentityKind
from app.domain.channel import checked_project_id
from app.schema.arguments import ProjectId, given
from app.schema.scalars import Timestamp
from app.schema.types import Info

__all__ = ["BanMutations", "BanQueries"]

_IN_A_TURN: Final = 100
_UNTIL = "From when on it is over; null: it never is."
_MODE = "What is taken away."


@strawberry.enum(name="BanMode", description="What a ban takes away.")
class BanModeType(Enum):
    """The modes, by the domain's names."""

    MUTE = strawberry.enum_value(
        BanMode.MUTE.value,
        description="Publishing, retracting and moderating are refused: FORBIDDEN. Reading goes "
        "on.",
    )
    SHADOW = strawberry.enum_value(
        BanMode.SHADOW.value,
        description="Publishing is answered as ever, but the message is not stored, and reaches "
        "the publisher's own connection alone. Moderating is refused.",
    )
    KICK = strawberry.enum_value(
        BanMode.KICK.value,
        description="Everything is refused: FORBIDDEN. Open subscriptions and legacy sockets end.",
    )


@strawberry.input(
    name="BanInput", description="Whom to ban: exactly one of username, sub and clientId."
)
class BanInput:
    """The wire form of a `BanRequest`."""

    username: str | None = strawberry.field(
        default=UNSET, description="Of their tokens, 1 to 256 printable characters."
    )
    sub: str | None = strawberry.field(
        default=UNSET, description="Of their tokens, 1 to 256 printable characters."
    )
    client_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="One that the server signed."
    )
    until: Timestamp | None = strawberry.field(default=UNSET, description=_UNTIL)
    reason: str | None = strawberry.field(
        default=UNSET, description="Told to the person; 1 to 500 printable characters."
    )
    mode: BanModeType = strawberry.field(default=BanModeType.MUTE, description=_MODE)


@strawberry.type(name="Ban", description="One person who is banned from one project.")
class BanType:
    """Made from a `Ban`."""

    id: strawberry.ID = strawberry.field(description="What unban takes.")
    project_id: strawberry.ID = strawberry.field(description="From whose channels.")
    username: str | None = strawberry.field(
        description="Of the person's tokens; null: the ban names another thing."
    )
    sub: str | None = strawberry.field(
        description="Of the person's tokens; null: the ban names another thing."
    )
    client_id: strawberry.ID | None = strawberry.field(
        description="Signed by the server; null: the ban names another thing."
    )
    until: Timestamp | None = strawberry.field(description=_UNTIL)
    reason: str | None = strawberry.field(description="What the person is told; null: nothing.")
    mode: BanModeType = strawberry.field(description=_MODE)


@strawberry.type
class BanQueries:
    """The part of the root of queries that is about bans."""

    @strawberry.field(
        description="The project's bans in force, the newest first. Needs the permission moderate."
    )
    async def bans(self, info: Info, project_id: ProjectId) -> list[BanType]:
        context = info.context
        bans = await context.services.bans.bans(context.viewer, _checked(project_id))
        return cast("list[BanType]", _shown_in_turns(bans))


@strawberry.type
class BanMutations:
    """The part of the root of mutations that is about bans."""

    @strawberry.mutation(
        description="Ban a person from all channels of the project, in the place of an earlier ban "
        "of the same person, whose id is gone then. It holds everywhere within a second. At most "
        "10,000 are in force in a project. Needs the permission moderate."
    )
    async def ban(
        self,
        info: Info,
        project_id: ProjectId,
        input: Annotated[  # noqa: A002  the contract's name
            BanInput, strawberry.argument(description="Whom, how, until when and why.")
        ],
    ) -> BanType:
        bans = info.context.services.bans
        request = BanRequest.of(
            username=given(input.username),
            sub=given(input.sub),
            client_id=given(input.client_id),
            mode=BanMode[input.mode.name],
            until=given(input.until),
            reason=given(input.reason),
            now_ms=bans.present_ms(),
        )
        return _shown(await bans.ban(info.context.viewer, _checked(project_id), request))

    @strawberry.mutation(
        description="Lift a ban. false: the project has none with this id in force. Needs the "
        "permission moderate."
    )
    async def unban(
        self,
        info: Info,
        project_id: ProjectId,
        id: Annotated[  # noqa: A002  the contract's name
            strawberry.ID, strawberry.argument(description="As ban returned it.")
        ],
    ) -> bool:
        bans = info.context.services.bans
        return await bans.unban(info.context.viewer, _checked(project_id), id)


def _checked(project_id: strawberry.ID) -> str:
    return checked_project_id(project_id)


async def _shown_in_turns(bans: Sequence[Ban]) -> AsyncIterator[BanType]:
    # The engine takes 30 µs for each: ten thousand of them would hold up everybody else.
    for place, ban in enumerate(bans):
        if place % _IN_A_TURN == _IN_A_TURN - 1:
            await asyncio.sleep(0)
        yield _shown(ban)


def _shown(ban: Ban) -> BanType:
    kind, name = ban.identity
    return BanType(
        id=strawberry.ID(ban.id),
        project_id=strawberry.ID(ban.project_id),
        username=name if kind is IdentityKind.USERNAME else None,
        sub=name if kind is IdentityKind.SUB else None,
        client_id=strawberry.ID(name) if kind is IdentityKind.CLIENT_ID else None,
        until=None if ban.until is None else Timestamp(ban.until),
        reason=ban.reason,
        mode=BanModeType[ban.mode.name],
    )
